"""Folds of an evaluation: which wells are held out together."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import compounds, is_treated
from tcell_assets.science.evaluation.settings import SCHEMES, Scheme
from tcell_assets.targets import ACTIVATION_LABEL

ALWAYS_TRAINING = -1


def assign_folds(wells: pd.DataFrame, scheme: Scheme, n_folds: int = 5, seed: int = 614) -> pd.Series:
    """The fold in which each well is held out, the same for every model that is compared.

    Args:
        wells: `well_id, batch, plate, metabolite, is_dmso`, where known `compound` and `well_type`, and, for `random`,
            `is_activated`.
        scheme: `random`: stratified by label, 80/20 with 5 folds, as published; replicates of a held-out
            well stay in training. `leave_metabolite_out`: all wells of a compound together, whatever their dose,
            time or cell line; DMSO and untreated wells are in every training set, since no screen meets an unknown
            control. `leave_plate_out` and `leave_batch_out`: every plate, every batch once.
        n_folds: Folds of the first two schemes.
        seed: Of the shuffle.

    Returns:
        Fold numbers from 0, indexed by `well_id`; `ALWAYS_TRAINING` for wells never held out.

    Raises:
        ValueError: Fewer groups to hold out than the scheme needs.
    """
    generator = np.random.default_rng(seed)
    index = pd.Index(wells["well_id"], name="well_id")
    if scheme == "random":
        _require_groups(len(wells), n_folds, "wells", scheme)
        label = wells[ACTIVATION_LABEL].astype("Float64").fillna(-1).astype(float).to_numpy()
        shuffled = np.lexsort((generator.random(len(wells)), label))
        fold = np.empty(len(wells), dtype=int)
        fold[shuffled] = np.arange(len(wells)) % n_folds
        return pd.Series(fold, index=index, name="fold")
    if scheme == "leave_metabolite_out":
        treated = is_treated(wells)
        codes, names = pd.factorize(compounds(wells)[treated].astype(str), sort=True)
        _require_groups(len(names), n_folds, "metabolites", scheme)
        fold = np.full(len(wells), ALWAYS_TRAINING)
        fold[treated] = (generator.permutation(len(names)) % n_folds)[codes]
        return pd.Series(fold, index=index, name="fold")
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, not {scheme!r}")
    group = wells["batch"].astype(str)
    if scheme == "leave_plate_out":
        group = group + " " + wells["plate"].astype(str)
    fold, names = pd.factorize(group, sort=True)
    _require_groups(len(names), 2, "plates" if scheme == "leave_plate_out" else "batches", scheme)
    return pd.Series(fold, index=index, name="fold")


def replicate_leakage(wells: pd.DataFrame, folds: pd.Series) -> float:
    """Share of the held-out treated wells whose compound is also among their fold's training wells."""
    treated = wells[["well_id"]].assign(compound=compounds(wells))[is_treated(wells)]
    fold = folds.loc[treated["well_id"]].to_numpy()
    per_compound = treated.groupby("compound")["well_id"].transform("size").to_numpy()
    within_fold = treated.groupby(["compound", fold])["well_id"].transform("size").to_numpy()
    held_out = fold != ALWAYS_TRAINING
    return float((within_fold < per_compound)[held_out].mean())


def _require_groups(found: int, needed: int, noun: str, scheme: str) -> None:
    if found < needed:
        raise ValueError(
            f"{scheme}: {found} {noun} cannot be held out in {needed} folds. Leave the scheme out."
        )
