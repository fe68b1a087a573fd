"""The network written a second time, in float64 NumPy and from the published formulas alone: the tests' oracle."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def numpy_forward(
    weights: dict[str, Array],
    expression: Array,
    *,
    heads: int,
    layers: int,
    mean: Array | None = None,
    standard_deviation: Array | None = None,
) -> dict[str, Array]:
    """Scores, logit, standardised activation score and latent of (wells, genes) expression."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    x = expression.astype(np.float64)
    if mean is not None and standard_deviation is not None:
        x = (x - mean) / (standard_deviation + 1e-8)
    tokens = x[:, :, None] * w["value_projection.weight"][:, 0] + w["gene_embedding.weight"]
    for layer in range(layers):
        prefix = f"encoder.{layer}."
        attended = _attention(tokens, w, prefix + "attention.", heads)
        tokens = _layer_norm(tokens + attended, w, prefix + "attention_norm.")
        hidden = np.maximum(_linear(tokens, w, prefix + "feed_forward.0."), 0)
        tokens = _layer_norm(
            tokens + _linear(hidden, w, prefix + "feed_forward.3."), w, prefix + "feed_forward_norm."
        )
    pooled = tokens.mean(axis=1)
    latent = _linear(np.maximum(_linear(pooled, w, "latent_mlp.0."), 0), w, "latent_mlp.3.")
    if "linear_path.weight" in w:
        latent = latent + x @ w["linear_path.weight"].T
    return {
        "scores": _linear(latent, w, "scores_head."),
        "is_activated": _linear(latent, w, "is_activated_head.")[:, 0],
        "activation_score": _linear(latent, w, "activation_score_head.")[:, 0],
        "latent": latent,
    }


def _linear(values: Array, w: dict[str, Array], prefix: str) -> Array:
    return values @ w[prefix + "weight"].T + w[prefix + "bias"]


def _layer_norm(values: Array, w: dict[str, Array], prefix: str) -> Array:
    centred = values - values.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + 1e-5) * w[prefix + "weight"] + w[prefix + "bias"]


def _attention(tokens: Array, w: dict[str, Array], prefix: str, heads: int) -> Array:
    width = tokens.shape[-1] // heads
    query, key, value = np.split(_linear(tokens, w, prefix + "query_key_value."), 3, axis=-1)
    attended = np.empty_like(tokens)
    for head in range(heads):
        columns = slice(head * width, (head + 1) * width)
        scores = query[..., columns] @ key[..., columns].swapaxes(1, 2) / np.sqrt(width)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        attended[..., columns] = scores / scores.sum(axis=-1, keepdims=True) @ value[..., columns]
    return _linear(attended, w, prefix + "output.")
