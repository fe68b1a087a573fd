"""Distances of wells in latent space to the centre of the DMSO wells."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import cast, get_args

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import contexts, is_treated
from tcell_assets.science.latents import latent_columns
from tcell_assets.science.screen.settings import ReferenceScope
from tcell_assets.science.well_join import rows_for_wells, some_names, usable_wells

MINIMUM_DMSO_WELLS = 3


def _cosine_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    defined = norms > 0
    cosine = np.divide(np.einsum("ij,ij->i", a, b), norms, out=np.full(len(a), np.nan), where=defined)
    return cast(np.ndarray, 1.0 - np.clip(cosine, -1.0, 1.0))


# Of a well's latent z (wells, axes) from its reference's centre, given the mean latent of the training wells. Each is a
# column of `dmso_distances`: `DISTANCES` of `lake/tables/columns.py` describes it.
DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "euclidean": lambda z, centre, training_mean: np.linalg.norm(z - centre, axis=1),
    "cosine": lambda z, centre, training_mean: _cosine_distance(z, centre),
    "cosine_centered": lambda z, centre, training_mean: _cosine_distance(
        z - training_mean, centre - training_mean
    ),
}


def dmso_distances(
    latents: pd.DataFrame,
    wells: pd.DataFrame,
    scope: ReferenceScope = "batch",
    *,
    training_latent_mean: np.ndarray,
    shrinkage: float = 5.0,
    usable: pd.Series | None = None,
    leave_one_out: bool = True,
    rows: Collection[str] | None = None,
) -> pd.DataFrame:
    """Euclidean and cosine distances of every well to its DMSO reference.

    With z the latent of a well, μ the mean latent of the DMSO wells in the scope and m the mean latent of the
    model's training wells:

        euclidean        = ‖z − μ‖
        cosine           = 1 − z·μ / (‖z‖ ‖μ‖)
        cosine_centered  = 1 − (z − m)·(μ − m) / (‖z − m‖ ‖μ − m‖)

    The first two are the published definitions. The uncentred cosine is nearly constant when all latents
    share an offset, which is why the centred one stands beside it. A cosine is undefined where one of its
    vectors has norm 0; the value is then NaN, because 0 or 1 would pass for a measurement.

    A DMSO well is compared with the centre of the other DMSO wells: included in its own centre of n wells its
    distance is (n − 1)/n too small.

    Args:
        latents: `well_id, z_00, z_01, …`, all wells that may enter a reference; for scope `screen` those of
            every batch.
        wells: Well metadata of the same wells: `well_id, batch, plate, is_dmso` and, where known, `context`.
        scope: Which DMSO wells form μ: all given (`screen`), those of the well's batch or plate, or
            `plate_shrunk`, (n_p m_p + k m_b)/(n_p + k) of plate and batch means; always those of the well's own
            context alone (time, cell line, donor, further factors).
        training_latent_mean: Mean latent of the model's training wells, one number a latent axis.
        shrinkage: k of `plate_shrunk`, in wells.
        usable: Booleans indexed by `well_id`; wells marked False enter no centre (they still get distances).
        leave_one_out: False puts each DMSO well in its own centre, as published.
        rows: Wells to return, by default all. A batch asks for its own wells against the whole screen's
            reference by passing all latents and its own `well_id`s here.

    Returns:
        `well_id, euclidean, cosine, cosine_centered, reference_scope, reference_size`, in the order of `rows`
        or of `latents`. `reference_size` counts the DMSO wells the centre was taken over; for `plate_shrunk`
        these are the batch's.

    Raises:
        ValueError: The two tables hold different wells, a latent is not finite, or fewer than 3 usable DMSO
            wells exist in a scope that is needed.
    """
    if scope not in get_args(ReferenceScope):
        raise ValueError(f"scope must be one of {', '.join(get_args(ReferenceScope))}, not {scope!r}")
    if shrinkage < 0:
        raise ValueError(f"shrinkage must be at least 0 wells, not {shrinkage}")
    axes = latent_columns(latents)
    training_mean = np.asarray(training_latent_mean, dtype=np.float64)
    if not axes or training_mean.shape != (len(axes),):
        raise ValueError(
            f"training_latent_mean has shape {training_mean.shape}, the latents have {len(axes)} axes; "
            "both must come from the same model"
        )
    well_ids = latents["well_id"].tolist()
    extra = set(wells["well_id"]) - set(well_ids)
    if extra:
        raise ValueError(
            f"latents: {len(extra)} well(s) of the metadata have no latent: {some_names(extra)}. "
            "Score their batch first, or leave them out of both tables."
        )
    z = rows_for_wells(latents, well_ids, "latents")[axes].to_numpy(dtype=np.float64)
    finite = np.isfinite(z).all(axis=1)
    if not finite.all():
        broken = {well_id for well_id, good in zip(well_ids, finite, strict=True) if not good}
        raise ValueError(f"latents: not finite in {some_names(broken)}. Check the expression of these wells.")
    metadata = rows_for_wells(wells, well_ids, "well metadata")
    is_dmso = metadata["is_dmso"].to_numpy(dtype=bool)
    in_centre = is_dmso & usable_wells(usable, well_ids).to_numpy()
    asked = _asked_positions(well_ids, rows)

    batch = metadata["batch"].astype(str).to_numpy()
    plate = np.array([f"{b} plate {p}" for b, p in zip(batch, metadata["plate"], strict=True)])
    whole_screen = np.full(len(well_ids), "screen")
    groups = {"screen": whole_screen, "batch": batch, "plate": plate, "plate_shrunk": batch}[scope]
    groups, plate = _within_context(groups, plate, metadata, in_centre)
    _require_dmso(scope, groups[asked], groups, in_centre)

    total, size = _dmso_sums(z, groups, in_centre, leave_one_out)
    centre = total / size[:, None]
    if scope == "plate_shrunk":
        plate_total, plate_size = _dmso_sums(z, plate, in_centre, leave_one_out)
        centre = (plate_total + shrinkage * centre) / (plate_size + shrinkage)[:, None]

    distances = pd.DataFrame(
        {
            "well_id": well_ids,
            **{name: distance(z, centre, training_mean) for name, distance in DISTANCES.items()},
            "reference_scope": scope,
            "reference_size": size,
        }
    )
    return distances.iloc[asked].reset_index(drop=True)


def _within_context(
    groups: np.ndarray, plate: np.ndarray, metadata: pd.DataFrame, in_centre: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The groups, each split by context: another cell line or time is no effect of a compound.

    Wells without a treatment whose context has no DMSO, such as empty ones, take the context with most DMSO wells.
    """
    context = contexts(metadata).astype(str).to_numpy(dtype=object)
    if len(set(context)) == 1:
        return groups, plate
    held = pd.Series(context[in_centre])
    if not held.empty:
        lacks_dmso = ~np.isin(context, held.unique())
        untreated = ~is_treated(metadata) & ~metadata["is_dmso"].to_numpy(dtype=bool)
        context = np.where(lacks_dmso & untreated, held.mode().iloc[0], context)

    def split(names: np.ndarray) -> np.ndarray:
        pairs = zip(names, context, strict=True)
        return np.array([f"{name} ({where})" if where else str(name) for name, where in pairs])

    return split(groups), split(plate)


def _asked_positions(well_ids: list[str], rows: Collection[str] | None) -> np.ndarray:
    if rows is None:
        return np.arange(len(well_ids))
    position = {well_id: index for index, well_id in enumerate(well_ids)}
    missing = {row for row in rows if row not in position}
    if missing:
        raise ValueError(f"latents: no latent for {some_names(missing)}. Score their batch first.")
    return np.array([position[row] for row in rows], dtype=int)


def _require_dmso(scope: str, needed: np.ndarray, groups: np.ndarray, in_centre: np.ndarray) -> None:
    counts = pd.Series(in_centre).groupby(groups).sum()
    short = {name: int(counts[name]) for name in sorted(set(needed)) if counts[name] < MINIMUM_DMSO_WELLS}
    if short:
        found = ", ".join(f"{name} ({count})" for name, count in short.items())
        raise ValueError(
            f"DMSO reference '{scope}': fewer than {MINIMUM_DMSO_WELLS} usable DMSO wells in {found}. "
            "Choose a wider reference (plate_shrunk, batch or screen), or check the control's name and the "
            "quality control of these wells; wells are compared with DMSO of their own time, cell line and donor, "
            "unless screen.yaml lists those columns under ignore_columns."
        )


def _dmso_sums(
    z: np.ndarray, groups: np.ndarray, in_centre: np.ndarray, leave_one_out: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Per well, sum and number of the DMSO wells of its group, itself left out where it is one of them."""
    codes, names = pd.factorize(groups)
    total = np.zeros((len(names), z.shape[1]))
    np.add.at(total, codes[in_centre], z[in_centre])
    size = np.bincount(codes[in_centre], minlength=len(names))
    own = (in_centre & leave_one_out).astype(int)
    return total[codes] - own[:, None] * z, size[codes] - own
