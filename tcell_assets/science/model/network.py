"""The multi-task Transformer over genes: expression of a well in, latent z and a head a target out.

Readable top down: `ExpressionTransformer.forward` is the method in order. The encoder runs in the precision of
the caller's autocast; pooling, latent MLP, linear path and heads always compute in fp32, because
in bf16 their outputs correlate only 0.98 with fp32 across wells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, scaled_dot_product_attention

from tcell_assets.science.model.compute import cpu_has_amx
from tcell_assets.science.model.linear_models import LinearHeads
from tcell_assets.science.model.settings import NetworkSettings
from tcell_assets.settings import SettingsError
from tcell_assets.targets import TARGETS, Target, by_head, names_of


class NetworkOutput(NamedTuple):
    """What the network says of each well; every head is a linear map of `latent`.

    Attributes:
        heads: (wells,) of every target by its name: a number, standardised where the target `is_scaled`, or the logit
            of a label.
        latent: (wells, latent).
    """

    heads: dict[str, Tensor]
    latent: Tensor

    def stacked(self) -> Tensor:
        """All heads (wells, targets), in the order of the network's targets."""
        return torch.stack(list(self.heads.values()), dim=1)


class FullAttention(nn.Module):
    """Multi-head self-attention over all pairs of genes, by PyTorch's fused kernel."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.heads = settings.heads
        self.dropout = settings.attention_dropout
        self.query_key_value = nn.Linear(settings.d_model, 3 * settings.d_model)
        self.output = nn.Linear(settings.d_model, settings.d_model)
        nn.init.xavier_uniform_(self.query_key_value.weight)
        nn.init.zeros_(self.query_key_value.bias)
        nn.init.zeros_(self.output.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """(wells, genes, d_model) to the same."""
        query, key, value = (
            split_heads(part, self.heads) for part in self.query_key_value(tokens).chunk(3, dim=-1)
        )
        share = self.dropout if self.training else 0.0
        attended = scaled_dot_product_attention(query, key, value, dropout_p=share)
        mixed: Tensor = self.output(merge_heads(attended))
        return mixed


class InducedAttention(nn.Module):
    """Attention by way of a few learnt queries: genes are read into them, then read back by every gene.

    The induced set attention block of Lee et al. 2019 (Set Transformer, equation 9) without its inner
    feed-forward network; time and memory grow with genes × inducing points instead of genes × genes.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.heads = settings.heads
        self.dropout = settings.attention_dropout
        self.inducing_points = nn.Parameter(torch.empty(settings.inducing_points, settings.d_model))
        self.query_key_value = nn.Linear(settings.d_model, 3 * settings.d_model)
        self.summary_key_value = nn.Linear(settings.d_model, 2 * settings.d_model)
        self.output = nn.Linear(settings.d_model, settings.d_model)
        nn.init.xavier_uniform_(self.inducing_points)
        for projection in (self.query_key_value, self.summary_key_value):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)
        nn.init.zeros_(self.output.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """(wells, genes, d_model) to the same."""
        share = self.dropout if self.training else 0.0
        query, key, value = (
            split_heads(part, self.heads) for part in self.query_key_value(tokens).chunk(3, dim=-1)
        )
        points = self.inducing_points.to(query.dtype).expand(tokens.shape[0], -1, -1)
        summary = scaled_dot_product_attention(split_heads(points, self.heads), key, value, dropout_p=share)
        summary_key, summary_value = (
            split_heads(part, self.heads)
            for part in self.summary_key_value(merge_heads(summary)).chunk(2, dim=-1)
        )
        attended = scaled_dot_product_attention(query, summary_key, summary_value, dropout_p=share)
        mixed: Tensor = self.output(merge_heads(attended))
        return mixed


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """(wells, tokens, d_model) to (wells, heads, tokens, d_model / heads), without a copy."""
    split: Tensor = tokens.unflatten(-1, (heads, -1))  # type: ignore[no-untyped-call]
    return split.transpose(1, 2)


def merge_heads(tokens: Tensor) -> Tensor:
    """The inverse of `split_heads`."""
    return tokens.transpose(1, 2).flatten(2)


class Dropout(nn.Module):
    """`nn.Dropout` with a cheaper mask on the CPU.

    PyTorch draws one number an element there, a fifth of a training step; this draws one 64-bit number for four
    elements, so the dropped share is `probability` to the nearest 1/65 536.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.drop_levels = round(probability * 2**16)

    def forward(self, values: Tensor) -> Tensor:
        """The values, in training with the dropped ones 0 and the others scaled up to the same mean."""
        if not self.training or not self.drop_levels:
            return values
        if values.device.type != "cpu":
            return dropout(values, self.probability)
        draws = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        keep = draws.view(torch.int16)[: values.numel()].view(values.shape) >= self.drop_levels - 2**15
        return (values * keep).mul_(2**16 / (2**16 - self.drop_levels))


class EncoderLayer(nn.Module):
    """A post-LN Transformer layer: `Z = LN(T + MHSA(T))`, `H = LN(Z + FFN(Z))`."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        attention = FullAttention if settings.attention == "full" else InducedAttention
        self.attention = attention(settings)
        self.attention_norm = nn.LayerNorm(settings.d_model)
        self.feed_forward = nn.Sequential(
            nn.Linear(settings.d_model, settings.feed_forward),
            nn.ReLU(inplace=True),
            Dropout(settings.dropout),
            nn.Linear(settings.feed_forward, settings.d_model),
        )
        self.feed_forward_norm = nn.LayerNorm(settings.d_model)
        self.dropout = Dropout(settings.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(wells, genes, d_model) to the same."""
        tokens = self.attention_norm(tokens + self.dropout(self._attended(tokens)))
        normed: Tensor = self.feed_forward_norm(tokens + self.dropout(self.feed_forward(tokens)))
        return normed

    def _attended(self, tokens: Tensor) -> Tensor:
        """Attention, in fp32 on a CPU without AMX even where the rest of the encoder is bf16.

        With AVX512-BF16 alone the fused kernel took 28 ms a well in bf16 against 18 in fp32, and forward and
        backward 105 against 53 (2 541 genes, 2 threads).
        """
        if tokens.device.type == "cpu" and not cpu_has_amx():
            with torch.autocast("cpu", enabled=False):
                attended: Tensor = self.attention(tokens)
        else:
            attended = self.attention(tokens)
        return attended


class ExpressionTransformer(nn.Module):
    """The whole network, its scaler included.

    Args:
        settings: Shape of the network.
        genes: Number of genes, in a fixed order.
        targets: What it predicts; those that name one head share its matrix.
    """

    gene_mean: Tensor
    gene_scale: Tensor

    def __init__(self, settings: NetworkSettings, genes: int, targets: Sequence[Target] = TARGETS) -> None:
        super().__init__()
        refuse_unaffordable_attention(settings, genes)
        self.settings = settings
        self.register_buffer("gene_mean", torch.zeros(genes), persistent=False)
        self.register_buffer("gene_scale", torch.ones(genes), persistent=False)
        self.value_projection = nn.Linear(1, settings.d_model, bias=False)
        self.gene_embedding = nn.Embedding(genes, settings.d_model)
        self.encoder = nn.ModuleList(EncoderLayer(settings) for _ in range(settings.layers))
        self.latent_mlp = nn.Sequential(
            nn.Linear(settings.d_model, settings.d_model),
            nn.ReLU(inplace=True),
            Dropout(settings.dropout),
            nn.Linear(settings.d_model, settings.latent),
        )
        self.linear_path = nn.Linear(genes, settings.latent, bias=False) if settings.linear_path else None
        if self.linear_path is not None:
            # From zero, so that the latent holds no random projection of the input that no loss has asked for.
            nn.init.zeros_(self.linear_path.weight)
        self.target_order = names_of(targets)
        self.targets_of_head = {head: names_of(members) for head, members in by_head(targets).items()}
        for head, members in self.targets_of_head.items():
            self.add_module(f"{head}_head", nn.Linear(settings.latent, len(members)))

    def head(self, name: str) -> nn.Linear:
        """One of the heads, by the name that its targets give it."""
        head = self.get_submodule(f"{name}_head")
        assert isinstance(head, nn.Linear)
        return head

    def set_scaler(self, mean: np.ndarray, standard_deviation: np.ndarray) -> None:
        """Make the z-score with these (genes,) values part of the network."""
        self.gene_mean.copy_(torch.as_tensor(mean))
        self.gene_scale.copy_(torch.as_tensor(standard_deviation + 1e-8))

    @torch.no_grad()
    def start_from(self, linear: LinearHeads, targets: Sequence[Target]) -> None:
        """Make the heads say what a linear model of these targets says, until training moves on.

        The linear path spreads the model's outputs over the latent along random orthonormal axes, from which the
        heads read them, so that no latent axis is without a gradient; the Transformer's last layer starts at zero.
        """
        assert self.linear_path is not None
        axes, _ = torch.linalg.qr(torch.randn(self.settings.latent, len(targets)))
        self.linear_path.weight.copy_(axes @ torch.from_numpy(linear.coefficients).float())
        row_of = {name: row for row, name in enumerate(names_of(targets))}
        for name, members in self.targets_of_head.items():
            rows = [row_of[member] for member in members]
            head = self.head(name)
            head.weight.copy_(axes.T[rows])
            head.bias.copy_(torch.from_numpy(linear.intercepts[rows]))
        last = self.latent_mlp[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def scale(self, expression: Tensor) -> Tensor:
        """The z-score `(x − μ)/(σ + 1e-8)` by the training wells, or x where the model has no scaler."""
        return (expression - self.gene_mean) / self.gene_scale

    def forward(self, expression: Tensor) -> NetworkOutput:
        """Expression (wells, genes) as measured, unscaled, to the outputs of every head."""
        return self.forward_scaled(self.scale(expression))

    def forward_scaled(self, scaled: Tensor) -> NetworkOutput:
        """As `forward`, from expression already passed through `scale` (attribution differentiates here)."""
        tokens = scaled.unsqueeze(-1) * self.value_projection.weight.squeeze(-1) + self.gene_embedding.weight
        for layer in self.encoder:
            tokens = layer(tokens)
        with torch.autocast(scaled.device.type, enabled=False):
            latent = self.latent_mlp(tokens.float().mean(dim=1))
            if self.linear_path is not None:
                latent = latent + self.linear_path(scaled)
            heads = {
                member: column
                for name, members in self.targets_of_head.items()
                for member, column in zip(members, self.head(name)(latent).unbind(dim=1), strict=True)
            }
            return NetworkOutput({name: heads[name] for name in self.target_order}, latent)


def refuse_unaffordable_attention(settings: NetworkSettings, genes: int) -> None:
    """Stop before a run that full attention makes hopeless, and say what it would take.

    Raises:
        SettingsError: `attention` is `full` and there are more genes than `full_attention_gene_limit`.
    """
    if settings.attention == "full" and genes > settings.full_attention_gene_limit:
        full = forward_operations(settings, genes)
        published = forward_operations(settings, 2_541)
        raise SettingsError(
            f"full attention over {genes:,} genes takes {3.5 * full / 1e12:.1f} TFLOP a well and step, "
            f"{full / published:.0f} × the published 2,541 genes; take attention='induced' (linear in "
            f"the genes), select genes, or raise full_attention_gene_limit above {settings.full_attention_gene_limit:,}"
        )


def forward_operations(settings: NetworkSettings, genes: int) -> float:
    """Floating-point operations of one well's forward pass through the encoder.

    Per layer `4·G·K·d` for the two attention products (K = genes, or twice the inducing points) and
    `8·G·d² + 4·G·d·f` for the projections and the feed-forward network. A training step takes 3 times the
    forward's, 3.5 times for the attention, whose fused backward computes its weights again.
    """
    keys = genes if settings.attention != "induced" else 2 * settings.inducing_points
    attention = 4.0 * genes * keys * settings.d_model
    linear = genes * settings.d_model * (8.0 * settings.d_model + 4.0 * settings.feed_forward)
    return settings.layers * (attention + linear)
