"""The published network as a PyTorch user would first write it, and its four scoring passes: the baseline.

Everything is PyTorch's own: `nn.TransformerEncoder`, whose `dropout` also drops attention weights (which
rules the fused kernel out in training), whose evaluation takes the encoder's fast path, and a scoring that walks
the wells once for the latents, once for the predictions, once for the DMSO distances and once for the saliency.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tcell_assets.science.model.settings import NetworkSettings


class PublishedNetwork(nn.Module):
    """Gene tokens, `nn.TransformerEncoder`, mean over genes, MLP to the latent, three heads on the latent."""

    def __init__(self, settings: NetworkSettings, genes: int) -> None:
        super().__init__()
        self.value_projection = nn.Linear(1, settings.d_model, bias=False)
        self.gene_embedding = nn.Embedding(genes, settings.d_model)
        layer = nn.TransformerEncoderLayer(
            settings.d_model, settings.heads, settings.feed_forward, settings.dropout, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, settings.layers)
        self.latent_mlp = nn.Sequential(
            nn.Linear(settings.d_model, settings.d_model),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.d_model, settings.latent),
        )
        self.scores_head = nn.Linear(settings.latent, 3)
        self.is_activated_head = nn.Linear(settings.latent, 1)
        self.activation_score_head = nn.Linear(settings.latent, 1)

    def forward(self, expression: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(wells, genes) to scores (wells, 3), logit, activation score and latent."""
        genes = torch.arange(expression.shape[1], device=expression.device)
        tokens = self.value_projection(expression.unsqueeze(-1)) + self.gene_embedding(genes)
        latent = self.latent_mlp(self.encoder(tokens).mean(dim=1))
        return (
            self.scores_head(latent),
            self.is_activated_head(latent).squeeze(-1),
            self.activation_score_head(latent).squeeze(-1),
            latent,
        )


def published_training_step(
    network: PublishedNetwork, optimizer: torch.optim.Optimizer, expression: Tensor, targets: Tensor
) -> float:
    """One AdamW step on `MSE + BCE + 0.2·MSE_activation`; targets are (wells, 5) in the platform's order."""
    network.train()
    optimizer.zero_grad()
    scores, logit, activation, _ = network(expression)
    loss = (
        nn.functional.mse_loss(scores, targets[:, :3])
        + nn.functional.binary_cross_entropy_with_logits(logit, targets[:, 3])
        + 0.2 * nn.functional.mse_loss(activation, targets[:, 4])
    )
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def published_evaluation(
    network: PublishedNetwork, expression: Tensor, batch_size: int
) -> list[tuple[Tensor, ...]]:
    """One forward pass over the wells in evaluation mode."""
    network.eval()
    return [
        network(expression[start : start + batch_size]) for start in range(0, len(expression), batch_size)
    ]


def published_saliency(network: PublishedNetwork, expression: Tensor, batch_size: int) -> Tensor:
    """Gradient×Input of the activation score, mean of the absolute values over wells: (genes,)."""
    network.eval()
    total = torch.zeros(expression.shape[1], device=expression.device)
    for start in range(0, len(expression), batch_size):
        batch = expression[start : start + batch_size].clone().requires_grad_()
        network.zero_grad()
        network(batch)[2].sum().backward()
        assert batch.grad is not None
        total += (batch.grad * batch.detach()).abs().sum(dim=0)
    return total / len(expression)


def published_scoring(network: PublishedNetwork, expression: Tensor, batch_size: int) -> None:
    """The four passes of the published script over the same wells."""
    for _ in ("latents", "predictions", "distances"):
        published_evaluation(network, expression, batch_size)
    published_saliency(network, expression, batch_size)
