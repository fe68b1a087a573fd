"""Gene programmes of the training wells: principal axes above the noise, rotated to sparse loadings."""

from __future__ import annotations

import numpy as np

# Below so many there would be nothing to attend over; of fewer genes or wells, as many as there are.
FEWEST_PROGRAMMES = 4
VARIMAX_ROUNDS = 100
VARIMAX_TOLERANCE = 1e-6
# Scores are scaled as if there were so many genes, so that one learning rate serves any number of them.
GENES_OF_THE_SCALE = 64


def programme_axes(scaled: np.ndarray, most: int) -> np.ndarray:
    """Weights of the gene programmes that these wells show.

    The axes are the principal ones whose variance exceeds the largest that independent noise of unit variance would
    give, `(1 + √(genes/wells))²` (Marchenko & Pastur 1967). They are rotated by varimax (Kaiser 1958), so that each
    programme is of few genes, and whitened: every programme's score varies alike.

    Args:
        scaled: Standardised expression (wells, genes).
        most: No more programmes than this.

    Returns:
        float32 (programmes, genes): scores are `scaled @ axes.T`. Their signs are fixed by the largest weight.
    """
    wells, genes = scaled.shape
    values = scaled.astype(np.float64)
    if genes <= wells:
        variances, vectors = np.linalg.eigh(values.T @ values / wells)
        axes = vectors.T[::-1]
    else:
        variances, vectors = np.linalg.eigh(values @ values.T / wells)
        axes = vectors.T[::-1] @ values
    variances = variances[::-1]
    edge = (1 + np.sqrt(genes / wells)) ** 2
    count = max(int((variances > edge).sum()), FEWEST_PROGRAMMES)
    # Rounding alone is left of a direction that the wells do not span.
    count = min(count, most, int((variances > 1e-9 * variances[0]).sum()))
    axes, variances = axes[:count], variances[:count]
    axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    rotation = varimax(axes.T * np.sqrt(variances))
    whitened = rotation.T @ (axes / np.sqrt(variances)[:, None])
    largest = np.abs(whitened).argmax(axis=1)
    whitened *= np.sign(whitened[np.arange(count), largest])[:, None]
    scale = np.sqrt(variances.mean() * GENES_OF_THE_SCALE / genes)
    scaled_axes: np.ndarray = (scale * whitened).astype(np.float32)
    return scaled_axes


def varimax(loadings: np.ndarray) -> np.ndarray:
    """The rotation (axes, axes) of loadings (genes, axes) that makes their squares vary most (Kaiser 1958)."""
    rotation = np.eye(loadings.shape[1])
    reached = 0.0
    for _ in range(VARIMAX_ROUNDS):
        rotated = loadings @ rotation
        left, singular, right = np.linalg.svd(loadings.T @ (rotated**3 - rotated * (rotated**2).mean(axis=0)))
        rotation = left @ right
        if singular.sum() < reached * (1 + VARIMAX_TOLERANCE):
            break
        reached = singular.sum()
    return rotation
