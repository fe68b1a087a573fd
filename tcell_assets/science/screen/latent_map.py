"""Two-dimensional maps of the latent space, kept as plain tables, into which new wells can be projected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tcell_assets.science.latents import latent_columns
from tcell_assets.science.well_join import some_names

PROJECTION_NEIGHBOURS = 10


@dataclass(frozen=True, eq=False)
class LatentMap:
    """A fitted map.

    Attributes:
        axes: `feature, mean, pca_1, pca_2`: the mean of each latent axis and its loadings.
        explained: `component, explained_variance_ratio`.
        reference: `well_id, z_00 …` of the wells it was fitted on, and their `umap_1, umap_2` where UMAP was
            asked for.
    """

    axes: pd.DataFrame
    explained: pd.DataFrame
    reference: pd.DataFrame


def fit_latent_map(
    latents: pd.DataFrame,
    *,
    with_umap: bool = True,
    neighbours: int = 15,
    minimum_distance: float = 0.1,
    seed: int = 614,
) -> LatentMap:
    """Fit principal components and, if wanted, UMAP (McInnes et al. 2018) on the latents.

    Args:
        latents: `well_id, z_00, z_01, …`, at least 3 wells.
        with_umap: Needs the package umap-learn.
        neighbours: UMAP's `n_neighbors`, lowered where there are fewer wells.
        minimum_distance: UMAP's `min_dist`.
        seed: UMAP's; principal components have no chance in them, and their sign is fixed by making the largest
            loading positive.

    Raises:
        ValueError: Fewer than 3 wells or 2 latent axes, or a latent is not finite.
    """
    features = latent_columns(latents)
    z = latents[features].to_numpy(dtype=np.float64)
    if len(z) < 3 or len(features) < 2:
        raise ValueError(f"a map needs 3 wells and 2 latent axes, found {len(z)} and {len(features)}")
    if not np.isfinite(z).all():
        broken = set(latents["well_id"][~np.isfinite(z).all(axis=1)])
        raise ValueError(f"latents: not finite in {some_names(broken)}")
    mean = z.mean(axis=0)
    _, singular, loadings = np.linalg.svd(z - mean, full_matrices=False)
    largest = np.abs(loadings).argmax(axis=1)
    loadings = loadings * np.sign(loadings[np.arange(len(loadings)), largest])[:, None]
    ratio = singular**2 / max(float((singular**2).sum()), np.finfo(float).tiny)
    reference = latents[["well_id", *features]].reset_index(drop=True)
    if with_umap:
        reference = reference.join(_umap_coordinates(z, min(neighbours, len(z) - 1), minimum_distance, seed))
    return LatentMap(
        axes=pd.DataFrame({"feature": features, "mean": mean, "pca_1": loadings[0], "pca_2": loadings[1]}),
        explained=pd.DataFrame({"component": ["pca_1", "pca_2"], "explained_variance_ratio": ratio[:2]}),
        reference=reference,
    )


def project(fitted: LatentMap, latents: pd.DataFrame) -> pd.DataFrame:
    """Coordinates of wells in a fitted map, which itself does not move.

    Principal components are exact. UMAP has no closed form for a new well: it gets the mean of its 10 nearest
    reference wells' coordinates, weighted with 1/distance in latent space, which is where umap-learn's own
    `transform` starts from. A reference well gets its fitted coordinates back.

    Args:
        fitted: The map.
        latents: `well_id` and the same latent axes, by the same model.

    Returns:
        `well_id, pca_1, pca_2` and, where the map has UMAP, `umap_1, umap_2`.

    Raises:
        ValueError: The latents have other axes than the map.
    """
    features = fitted.axes["feature"].tolist()
    if latent_columns(latents) != features:
        raise ValueError(
            f"the map has latent axes {features[0]} to {features[-1]}, the wells have "
            f"{some_names(latent_columns(latents))}; project latents of the model the map was fitted with"
        )
    z = latents[features].to_numpy(dtype=np.float64)
    scores = (z - fitted.axes["mean"].to_numpy()) @ fitted.axes[["pca_1", "pca_2"]].to_numpy()
    coordinates = pd.DataFrame(scores, columns=["pca_1", "pca_2"])
    coordinates.insert(0, "well_id", latents["well_id"].to_numpy())
    if "umap_1" in fitted.reference:
        coordinates[["umap_1", "umap_2"]] = _near_reference(fitted.reference, features, z)
    return coordinates


def _umap_coordinates(z: np.ndarray, neighbours: int, minimum_distance: float, seed: int) -> pd.DataFrame:
    try:
        from umap import UMAP
    except ImportError as error:
        raise ImportError("UMAP coordinates need umap-learn: pip install 'tcell-assets[map]'") from error
    # One job: with a seed umap-learn runs single-threaded anyway, and would warn that it does.
    mapper = UMAP(n_neighbors=neighbours, min_dist=minimum_distance, random_state=seed, n_jobs=1)
    return pd.DataFrame(mapper.fit_transform(z), columns=["umap_1", "umap_2"]).astype(np.float64)


def _near_reference(reference: pd.DataFrame, features: list[str], z: np.ndarray) -> np.ndarray:
    from sklearn.neighbors import KNeighborsRegressor

    count = min(PROJECTION_NEIGHBOURS, len(reference))
    # weights="distance" gives a well at distance 0 the coordinates of its twin.
    regressor = KNeighborsRegressor(count, weights="distance", algorithm="brute")
    regressor.fit(
        reference[features].to_numpy(np.float64), reference[["umap_1", "umap_2"]].to_numpy(np.float64)
    )
    return np.asarray(regressor.predict(z))
