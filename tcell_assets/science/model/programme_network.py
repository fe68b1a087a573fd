"""The programme network: attention over gene programmes and a wide read-out of them, in several members.

A gene programme is a weighted sum of genes that vary together: the principal axes of the training wells above what
noise would give, rotated to sparse loadings (`programme_axes.py`). Readable top down: `ProgrammeNetwork.forward_scaled`
is the method in order. Everything computes in fp32: a step is too small
to gain by bf16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

from tcell_assets.science.model.linear_models import LinearHeads
from tcell_assets.science.model.network import Dropout, NetworkOutput, merge_heads, split_heads
from tcell_assets.science.model.settings import NetworkSettings
from tcell_assets.targets import TARGETS, Target, by_head, names_of

# Spread of the read-out's first weights and of the tokens' embeddings; a third of the read-out's learnt less
# (docs/training_presets.md).
READ_OUT_START = 0.3 / 8
VALUE_START, EMBEDDING_START = 0.3, 0.09


class MemberLinear(nn.Module):
    """A linear map a member: (members, …, inputs) to (members, …, outputs)."""

    def __init__(self, members: int, inputs: int, outputs: int, spread: float, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, inputs, outputs) * spread)
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs)) if bias else None

    def forward(self, values: Tensor) -> Tensor:
        """Map (members, rows, inputs), or (members, wells, tokens, inputs)."""
        mapped = torch.bmm(values.flatten(1, -2), self.weight)
        if self.bias is not None:
            mapped = mapped + self.bias
        return mapped.unflatten(1, values.shape[1:-1])  # type: ignore[no-untyped-call,no-any-return]


class ProgrammeAttention(nn.Module):
    """A pre-LN Transformer layer over the tokens of programmes; it starts as the identity."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        members, width = settings.members, settings.d_model
        self.heads, self.width = settings.heads, width
        self.attention_scale = nn.Parameter(torch.ones(members, 1, 1, width))
        self.query_key_value = MemberLinear(members, width, 3 * width, (2 / (4 * width)) ** 0.5, bias=False)
        self.output = MemberLinear(members, width, width, 0.0, bias=False)
        self.feed_forward_scale = nn.Parameter(torch.ones(members, 1, 1, width))
        self.widen = MemberLinear(members, width, settings.feed_forward, width**-0.5)
        self.narrow = MemberLinear(members, settings.feed_forward, width, 0.0, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(members, wells, programmes, width) to the same."""
        normed = layer_norm(tokens, (self.width,)) * self.attention_scale
        query, key, value = (
            split_heads(part.flatten(0, 1), self.heads)
            for part in self.query_key_value(normed).chunk(3, dim=-1)
        )
        attended = merge_heads(scaled_dot_product_attention(query, key, value))
        tokens = tokens + self.output(attended.view_as(tokens))
        normed = layer_norm(tokens, (self.width,)) * self.feed_forward_scale
        deeper: Tensor = tokens + self.narrow(gelu(self.widen(normed)))
        return deeper


class ProgrammeNetwork(nn.Module):
    """The whole network, its scaler included.

    Its members are trained side by side, each on other wells; their latents have one meaning because they share the
    heads, so the prediction that the heads read from the mean latent is the mean of the members' predictions.

    Args:
        settings: Shape of the network.
        genes: Number of genes, in a fixed order.
        targets: What it predicts; those that name one head share its matrix.
        programmes: How many the training wells have.
    """

    gene_mean: Tensor
    gene_scale: Tensor
    programme_axes: Tensor
    linear_coefficients: Tensor
    linear_intercepts: Tensor
    linear_axes: Tensor

    def __init__(
        self,
        settings: NetworkSettings,
        genes: int,
        targets: Sequence[Target] = TARGETS,
        programmes: int | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        members, latent = settings.members, settings.latent
        tokens = settings.programmes if programmes is None else programmes
        self.register_buffer("gene_mean", torch.zeros(genes), persistent=False)
        self.register_buffer("gene_scale", torch.ones(genes), persistent=False)
        self.register_buffer("programme_axes", torch.zeros(tokens, genes))
        self.read_out = MemberLinear(members, tokens, settings.read_out, READ_OUT_START, bias=False)
        width = settings.read_out
        self.layers: nn.ModuleList | None = None
        if settings.attention != "none":
            self.value_embedding = nn.Parameter(
                torch.randn(members, 1, tokens, settings.d_model) * VALUE_START
            )
            self.programme_embedding = nn.Parameter(
                torch.randn(members, 1, tokens, settings.d_model) * EMBEDDING_START
            )
            self.layers = nn.ModuleList(ProgrammeAttention(settings) for _ in range(settings.layers))
            width += settings.d_model
        hidden = max(1, settings.read_out // 2)
        self.hidden = MemberLinear(members, width, hidden, (3 * width) ** -0.5)
        self.dropout = Dropout(settings.dropout)
        self.to_latent = MemberLinear(members, hidden, latent, (3 * hidden) ** -0.5)
        self.has_linear_path = settings.linear_path
        if self.has_linear_path:
            self.register_buffer("linear_coefficients", torch.zeros(members, len(targets), genes))
            self.register_buffer("linear_intercepts", torch.zeros(members, 1, len(targets)))
            self.register_buffer("linear_axes", torch.zeros(len(targets), latent))
        self.target_order = names_of(targets)
        self.targets_of_head = {head: names_of(of_head) for head, of_head in by_head(targets).items()}
        for head, of_head in self.targets_of_head.items():
            self.add_module(f"{head}_head", nn.Linear(latent, len(of_head)))

    def head(self, name: str) -> nn.Linear:
        """One of the heads, by the name that its targets give it."""
        return cast("nn.Linear", self.get_submodule(f"{name}_head"))

    def set_scaler(self, mean: np.ndarray, standard_deviation: np.ndarray) -> None:
        """Make the z-score with these (genes,) values part of the network."""
        self.gene_mean.copy_(torch.as_tensor(mean))
        self.gene_scale.copy_(torch.as_tensor(standard_deviation + 1e-8))

    def set_programmes(self, axes: np.ndarray) -> None:
        """Make these (programmes, genes) weights of scaled expression the programmes."""
        self.programme_axes.copy_(torch.as_tensor(axes))

    @torch.no_grad()
    def start_from(self, linear: Sequence[LinearHeads], targets: Sequence[Target]) -> None:
        """Make each member say what a linear model of these targets says, and learn from there what it does not.

        The linear models stay as they are; their outputs lie in the latent along random orthonormal axes, from which
        the heads read them. The last layer of each member starts at zero.
        """
        axes, _ = torch.linalg.qr(torch.randn(self.settings.latent, len(targets)))
        self.linear_axes.copy_(axes.T)
        self.linear_coefficients.copy_(torch.from_numpy(np.stack([each.coefficients for each in linear])))
        self.linear_intercepts.copy_(torch.from_numpy(np.stack([each.intercepts[None] for each in linear])))
        row_of = {name: row for row, name in enumerate(names_of(targets))}
        for name, members in self.targets_of_head.items():
            head = self.head(name)
            head.weight.copy_(axes.T[[row_of[member] for member in members]])
            nn.init.zeros_(head.bias)
        nn.init.zeros_(self.to_latent.weight)

    def scale(self, expression: Tensor) -> Tensor:
        """The z-score `(x − μ)/(σ + 1e-8)` by the training wells, or x where the model has no scaler."""
        return (expression - self.gene_mean) / self.gene_scale

    def forward(self, expression: Tensor) -> NetworkOutput:
        """Expression (wells, genes) as measured, unscaled, to the outputs of every head."""
        return self.forward_scaled(self.scale(expression))

    def forward_scaled(self, scaled: Tensor) -> NetworkOutput:
        """As `forward`, from expression already passed through `scale` (attribution differentiates here)."""
        with torch.autocast(scaled.device.type, enabled=False):
            return self._read(self._member_latents(scaled).mean(dim=0))

    def members(self, scaled: Tensor) -> NetworkOutput:
        """What each member says: heads (members × wells,), member by member, and their latents."""
        with torch.autocast(scaled.device.type, enabled=False):
            return self._read(self._member_latents(scaled).flatten(0, 1))

    def _member_latents(self, scaled: Tensor) -> Tensor:
        """(wells, genes) to (members, wells, latent)."""
        scores = scaled @ self.programme_axes.T
        wide = self.read_out(scores.expand(self.settings.members, -1, -1))
        if self.layers is not None:
            tokens = scores[None, :, :, None] * self.value_embedding + self.programme_embedding
            for layer in self.layers:
                tokens = layer(tokens)
            # The sum over √n, not the mean: each programme keeps its say however many there are.
            wide = torch.cat([wide, tokens.sum(dim=2) / tokens.shape[2] ** 0.5], dim=-1)
        latents: Tensor = self.to_latent(self.dropout(gelu(self.hidden(wide))))
        if self.has_linear_path:
            linear = torch.einsum("wg,mtg->mwt", scaled, self.linear_coefficients) + self.linear_intercepts
            latents = latents + linear @ self.linear_axes
        return latents

    def _read(self, latent: Tensor) -> NetworkOutput:
        heads = {
            member: column
            for name, members in self.targets_of_head.items()
            for member, column in zip(members, self.head(name)(latent).unbind(dim=1), strict=True)
        }
        return NetworkOutput({name: heads[name] for name in self.target_order}, latent)
