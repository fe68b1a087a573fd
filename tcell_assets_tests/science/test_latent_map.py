"""Maps of the latent space: exact principal components, a fixed UMAP, and new wells that do not move it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from tcell_assets.science.screen.latent_map import LatentMap, fit_latent_map, project


def latents(wells: int = 90, seed: int = 0) -> pd.DataFrame:
    """Three groups of wells, 8 apart in an 8-dimensional latent."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(wells, 8))
    values[np.arange(wells), np.arange(wells) % 3] += 8.0
    table = pd.DataFrame(values, columns=[f"z_{axis:02d}" for axis in range(8)])
    table.insert(0, "well_id", [f"well {number}" for number in range(wells)])
    return table


def test_principal_components_are_those_of_scikit_learn_up_to_sign() -> None:
    table = latents()
    expected = PCA(2).fit(table.filter(like="z_"))
    fitted = fit_latent_map(table, with_umap=False)
    own = project(fitted, table)[["pca_1", "pca_2"]].to_numpy()
    np.testing.assert_allclose(np.abs(own), np.abs(expected.transform(table.filter(like="z_"))), atol=1e-10)
    np.testing.assert_allclose(
        fitted.explained["explained_variance_ratio"], expected.explained_variance_ratio_, atol=1e-12
    )


def test_the_sign_of_a_component_makes_its_largest_loading_positive() -> None:
    axes = fit_latent_map(latents(), with_umap=False).axes
    for component in ("pca_1", "pca_2"):
        loadings = axes[component].to_numpy()
        assert loadings[np.abs(loadings).argmax()] > 0


def test_a_map_without_umap_gives_principal_components_alone() -> None:
    table = latents()
    assert list(project(fit_latent_map(table, with_umap=False), table)) == ["well_id", "pca_1", "pca_2"]


def test_latents_with_other_axes_are_refused() -> None:
    fitted = fit_latent_map(latents(), with_umap=False)
    with pytest.raises(ValueError, match="the map has latent axes z_00 to z_07"):
        project(fitted, latents().drop(columns="z_07"))


def test_latents_that_are_not_finite_are_refused_by_well() -> None:
    broken = latents()
    broken.loc[4, "z_03"] = np.nan
    with pytest.raises(ValueError, match="not finite in well 4"):
        fit_latent_map(broken, with_umap=False)


@pytest.fixture(scope="module")
def umap_map() -> LatentMap:
    return fit_latent_map(latents())


@pytest.mark.slow
def test_the_same_seed_gives_the_same_umap(umap_map: LatentMap) -> None:
    pd.testing.assert_frame_equal(fit_latent_map(latents()).reference, umap_map.reference)


@pytest.mark.slow
def test_a_reference_well_keeps_its_coordinates(umap_map: LatentMap) -> None:
    projected = project(umap_map, latents())
    np.testing.assert_allclose(
        projected[["umap_1", "umap_2"]], umap_map.reference[["umap_1", "umap_2"]], atol=1e-12
    )


@pytest.mark.slow
def test_a_new_well_lands_among_its_own_kind(umap_map: LatentMap) -> None:
    new = latents(seed=1)
    projected = project(umap_map, new)[["umap_1", "umap_2"]].to_numpy()
    known = umap_map.reference[["umap_1", "umap_2"]].to_numpy()
    group = np.arange(90) % 3
    centres = np.stack([known[group == number].mean(axis=0) for number in range(3)])
    nearest = np.linalg.norm(projected[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == group).all()
