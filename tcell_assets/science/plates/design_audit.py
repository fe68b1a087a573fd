"""Can this layout answer the question at all? Replicates, controls, and targets that say the same thing twice."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import combinations, product
from typing import Any, Literal

import numpy as np
import pandas as pd

from tcell_assets.science.conditions import conditions, is_empty, is_treated
from tcell_assets.science.plates.settings import DesignThresholds
from tcell_assets.science.well_join import rows_for_wells, some_names

DesignVerdict = Literal["ok", "watch"]


@dataclass(frozen=True)
class ScoreThreshold:
    """A label that is exactly a score above (or below) a threshold.

    Attributes:
        label: the label's column.
        score: the score's column.
        threshold: halfway between the highest value of one class and the lowest of the other.
        above: whether the label is true above the threshold.
    """

    label: str
    score: str
    threshold: float
    above: bool


@dataclass(frozen=True)
class ScoreSum:
    """A score that is exactly the sum of others.

    Attributes:
        score: the sum's column.
        parts: the columns that are summed.
    """

    score: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class DesignAudit:
    """What a screen's layout and targets allow.

    Attributes:
        n_wells: wells.
        n_batches: screening batches.
        n_plates: plates over all batches.
        n_metabolites: metabolites without DMSO.
        replicates_minimum: wells of the metabolite that has fewest.
        replicates_median: wells per metabolite.
        replicates_maximum: wells of the metabolite that has most.
        metabolites_with_few_replicates: metabolites with fewer wells than the threshold.
        replicate_pairs: pairs of wells with one metabolite.
        same_position_share: share of those pairs at the same row and column; NaN without a pair.
        same_position_by_chance: the share that randomised plates would give.
        across_batches_share: share of those pairs in two batches; NaN without a pair.
        n_dmso: DMSO wells.
        dmso_columns: the columns they lie in.
        dmso_edge_share: share of DMSO wells on edges; NaN without DMSO.
        edge_share: share of all wells on edges.
        batches_with_few_dmso: batches with fewer DMSO wells than the threshold.
        label_agreement_at_one_position: share of pairs of wells at one row and column, with different metabolites, that
            have the same label; NaN without a label.
        label_agreement_by_chance: the share that labels independent of position would give.
        label_thresholds: labels that are a threshold of a score.
        score_sums: scores that are sums of others.
        verdict: `watch` where any finding is a concern, else `ok`.
        findings: every finding in words.
    """

    n_wells: int
    n_batches: int
    n_plates: int
    n_metabolites: int
    replicates_minimum: int
    replicates_median: float
    replicates_maximum: int
    metabolites_with_few_replicates: tuple[str, ...]
    replicate_pairs: int
    same_position_share: float
    same_position_by_chance: float
    across_batches_share: float
    n_dmso: int
    dmso_columns: tuple[int, ...]
    dmso_edge_share: float
    edge_share: float
    batches_with_few_dmso: tuple[str, ...]
    label_agreement_at_one_position: float
    label_agreement_by_chance: float
    label_thresholds: tuple[ScoreThreshold, ...]
    score_sums: tuple[ScoreSum, ...]
    verdict: DesignVerdict
    findings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dictionary; a number that cannot be computed is None."""
        return {
            name: None if isinstance(value, float) and np.isnan(value) else value
            for name, value in asdict(self).items()
        }


def audit_design(
    wells: pd.DataFrame,
    scores: pd.DataFrame | None = None,
    labels: pd.DataFrame | None = None,
    thresholds: DesignThresholds | None = None,
) -> DesignAudit:
    """Audit a layout, and the targets where there are any; no expression is needed.

    Args:
        wells: `well_id, batch, plate, row, column, is_edge, metabolite, is_dmso` and, where known, `condition,
            well_type`; replicates are wells of one condition, and empty wells do not count.
        scores: numeric targets, index `well_id`.
        labels: true/false targets, index `well_id`.
        thresholds: `DesignThresholds()` by default.

    Raises:
        ValueError: there is no well, or a target's wells are not those of the layout.
    """
    thresholds = thresholds or DesignThresholds()
    if wells.empty:
        raise ValueError("The sample sheet has no well; there is no design to audit.")
    scores = pd.DataFrame(index=wells["well_id"]) if scores is None else scores
    labels = pd.DataFrame(index=wells["well_id"]) if labels is None else labels
    scores, labels = (
        table.loc[rows_for_wells(wells, table.index, "wells").index] for table in (scores, labels)
    )
    wells = wells.assign(condition=conditions(wells))[~is_empty(wells)]
    if wells.empty:
        raise ValueError("Every well of the sample sheet is empty; there is no design to audit.")
    scores, labels = (table[table.index.isin(wells["well_id"])] for table in (scores, labels))
    treated, dmso = wells[is_treated(wells)], wells[wells["is_dmso"]]
    replicates = treated["condition"].value_counts()
    n_pairs = _pairs(treated, ["condition"])
    dmso_per_batch = dmso.groupby("batch").size().reindex(sorted(wells["batch"].unique()), fill_value=0)
    agreement, by_chance = _label_agreement(wells, labels)
    audit = DesignAudit(
        n_wells=len(wells),
        n_batches=wells["batch"].nunique(),
        n_plates=len(wells[["batch", "plate"]].drop_duplicates()),
        n_metabolites=len(replicates),
        replicates_minimum=int(replicates.min()) if len(replicates) else 0,
        replicates_median=float(replicates.median()),
        replicates_maximum=int(replicates.max()) if len(replicates) else 0,
        metabolites_with_few_replicates=tuple(
            sorted(replicates.index[replicates < thresholds.fewest_replicates])
        ),
        replicate_pairs=n_pairs,
        same_position_share=_share(_pairs(treated, ["condition", "row", "column"]), n_pairs),
        same_position_by_chance=1.0 / len(wells[["row", "column"]].drop_duplicates()),
        across_batches_share=1.0 - _share(_pairs(treated, ["condition", "batch"]), n_pairs),
        n_dmso=len(dmso),
        dmso_columns=tuple(int(column) for column in sorted(dmso["column"].unique())),
        dmso_edge_share=_share(int(dmso["is_edge"].sum()), len(dmso)),
        edge_share=float(wells["is_edge"].mean()),
        batches_with_few_dmso=tuple(dmso_per_batch.index[dmso_per_batch < thresholds.fewest_dmso_per_batch]),
        label_agreement_at_one_position=agreement,
        label_agreement_by_chance=by_chance,
        label_thresholds=_label_thresholds(scores, labels),
        score_sums=_score_sums(scores),
        verdict="ok",
        findings=(),
    )
    concerns = _concerns(audit, thresholds)
    notes = _notes(audit, scores.shape[1] + labels.shape[1])
    return replace(audit, verdict="watch" if concerns else "ok", findings=(*concerns, *notes))


def _pairs(wells: pd.DataFrame, alike_in: list[str]) -> int:
    """Number of pairs of wells that are alike in all these columns."""
    sizes = wells.groupby(alike_in, sort=False).size()
    return int((sizes * (sizes - 1) // 2).sum())


def _share(part: int, whole: int) -> float:
    return part / whole if whole else np.nan


def _label_agreement(wells: pd.DataFrame, labels: pd.DataFrame) -> tuple[float, float]:
    """How often wells at one position with different metabolites share the first label, and how often by chance."""
    if labels.shape[1] == 0:
        return np.nan, np.nan
    label = labels.iloc[:, 0].dropna().astype(bool)
    labelled = wells[wells["well_id"].isin(label.index)]
    labelled = labelled.assign(label=label.loc[labelled["well_id"]].to_numpy())
    position = ["row", "column"]
    different = _pairs(labelled, position) - _pairs(labelled, [*position, "condition"])
    alike = _pairs(labelled, [*position, "label"]) - _pairs(labelled, [*position, "condition", "label"])
    share_true = float(label.mean())
    return _share(alike, different), share_true**2 + (1.0 - share_true) ** 2


def _label_thresholds(scores: pd.DataFrame, labels: pd.DataFrame) -> tuple[ScoreThreshold, ...]:
    found = []
    for label, score in product(labels.columns, scores.columns):
        both = pd.DataFrame({"label": labels[label], "score": scores[score]}).dropna()
        is_true = both["label"].astype(bool)
        true_scores, false_scores = both.loc[is_true, "score"], both.loc[~is_true, "score"]
        if true_scores.empty or false_scores.empty:
            continue
        if true_scores.min() > false_scores.max():
            halfway = (true_scores.min() + false_scores.max()) / 2
            found.append(ScoreThreshold(str(label), str(score), float(halfway), above=True))
        elif true_scores.max() < false_scores.min():
            halfway = (true_scores.max() + false_scores.min()) / 2
            found.append(ScoreThreshold(str(label), str(score), float(halfway), above=False))
    return tuple(found)


def _score_sums(scores: pd.DataFrame) -> tuple[ScoreSum, ...]:
    found = []
    for score in scores.columns:
        others = [other for other in scores.columns if other != score]
        for size in range(2, len(others) + 1):
            for parts in combinations(others, size):
                known = scores[[score, *parts]].dropna()
                difference = (known[score] - known[list(parts)].sum(axis=1)).abs()
                # Sums are stored with 6 or more decimals; anything looser is a correlation and not an identity.
                if len(known) > len(parts) and difference.max() < 1e-5 * max(known[score].std(), 1e-12):
                    found.append(ScoreSum(str(score), tuple(str(part) for part in parts)))
    return tuple(found)


def _concerns(audit: DesignAudit, thresholds: DesignThresholds) -> list[str]:
    concerns = []
    if audit.same_position_share > thresholds.same_position_share:
        concerns.append(
            f"{audit.same_position_share:.0%} of the replicate pairs lie at the same well position (randomised plates: "
            f"about {audit.same_position_by_chance:.0%}). A position effect looks exactly like a replicated metabolite "
            "effect here; randomise positions between batches."
        )
    if audit.metabolites_with_few_replicates:
        concerns.append(
            f"{len(audit.metabolites_with_few_replicates)} of {audit.n_metabolites} metabolites have fewer than "
            f"{thresholds.fewest_replicates} wells and stay inconclusive: "
            f"{some_names(audit.metabolites_with_few_replicates)}."
        )
    if audit.n_dmso == 0:
        concerns.append("There is no DMSO well; distances to DMSO cannot be computed.")
    elif audit.batches_with_few_dmso:
        concerns.append(
            f"Fewer than {thresholds.fewest_dmso_per_batch} DMSO wells in batch "
            f"{some_names(audit.batches_with_few_dmso)}: no DMSO centre of its own."
        )
    if 0 < len(audit.dmso_columns) < thresholds.fewest_dmso_columns:
        columns = " and ".join(str(column) for column in audit.dmso_columns)
        concerns.append(
            f"All {audit.n_dmso} DMSO wells lie in column {columns}: a difference from DMSO may be a difference "
            "between columns. Spread DMSO over the plate."
        )
    if audit.dmso_edge_share > thresholds.dmso_edge_share:
        concerns.append(
            f"{audit.dmso_edge_share:.0%} of the DMSO wells lie on the edge, {audit.edge_share:.0%} of all wells do: "
            "an edge effect shifts the controls against the metabolites."
        )
    # Halfway between chance and certainty: beyond that, position tells more about a label than it leaves open.
    if audit.label_agreement_at_one_position > (1.0 + audit.label_agreement_by_chance) / 2:
        concerns.append(
            f"Two wells at one position with different metabolites have the same label in "
            f"{audit.label_agreement_at_one_position:.0%} of cases (by chance {audit.label_agreement_by_chance:.0%}): "
            "the label follows the position."
        )
    return concerns


def _notes(audit: DesignAudit, n_targets: int) -> list[str]:
    notes = [
        f"The label {found.label} is exactly {found.score} {'>' if found.above else '<'} {found.threshold:.2f}; "
        "it adds nothing that the score does not say."
        for found in audit.label_thresholds
    ]
    notes += [
        f"The score {found.score} is exactly the sum of {', '.join(found.parts)}."
        for found in audit.score_sums
    ]
    derived = {found.label for found in audit.label_thresholds} | {found.score for found in audit.score_sums}
    if derived:
        notes.append(f"The {n_targets} targets hold {n_targets - len(derived)} independent ones.")
    return notes
