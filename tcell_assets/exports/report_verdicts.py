"""What the audits say of a screen or batch, as verdicts with their findings in words."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.tables import TABLES
from tcell_assets.science.evaluation.model_evaluation import best_in_words, warnings_in_words
from tcell_assets.science.evaluation.skill import load_skill
from tcell_assets.science.plates.position import CONSEQUENCES

UNKNOWN = "not judged"
# From harmless to disqualifying.
SEVERITY = ("ok", "watch", "confounded", "fail")
MOST_FINDINGS = 12


@dataclass(frozen=True)
class Verdict:
    """One verdict of the report: what was judged, how, and why."""

    topic: str
    verdict: str
    findings: tuple[str, ...]

    @property
    def css_class(self) -> str:
        """The name its colour has in the style sheet."""
        return self.verdict if self.verdict in SEVERITY else "unknown"


def screen_verdicts(
    position: pd.DataFrame | None,
    design: pd.DataFrame | None,
    similarity: pd.DataFrame | None,
    well_qc: pd.DataFrame | None,
    plate_qc: pd.DataFrame | None,
    comparison: pd.DataFrame | None,
) -> list[Verdict]:
    """Return the verdicts on a screen; a table that is not there is a verdict `not judged` with what makes it."""
    return [
        _position(position, "screen_position_audit"),
        _design(design),
        _swaps(similarity),
        _quality(well_qc, plate_qc),
        _model(comparison),
    ]


def batch_verdicts(
    position: pd.DataFrame | None, well_qc: pd.DataFrame | None, plate_qc: pd.DataFrame | None
) -> list[Verdict]:
    """Return the verdicts on a batch; see `screen_verdicts`."""
    return [_position(position, "position_audit"), _quality(well_qc, plate_qc)]


def _position(audit: pd.DataFrame | None, asset: str) -> Verdict:
    topic = "Position on the plate"
    if audit is None:
        return _not_judged(topic, asset)
    doubtful = audit[audit["verdict"] != "ok"].head(MOST_FINDINGS)
    if doubtful.empty:
        return Verdict(
            topic, _worst(audit["verdict"]), (f"position predicts none of the {len(audit)} variables",)
        )
    worst = _worst(audit["verdict"])
    # What it means is said once, not after each of the variables.
    facts = [
        finding.removesuffix(CONSEQUENCES[verdict]).strip()
        for finding, verdict in zip(doubtful["finding"], doubtful["verdict"], strict=True)
    ]
    return Verdict(topic, worst, (CONSEQUENCES[worst], *facts))


def _design(audit: pd.DataFrame | None) -> Verdict:
    topic = "Design"
    if audit is None:
        return _not_judged(topic, "design_audit")
    by_name = dict(zip(audit["quantity"], audit["value"], strict=True))
    findings = tuple(value for name, value in by_name.items() if name.startswith("finding "))
    verdict = str(by_name.get("verdict", UNKNOWN)).strip('"')
    return Verdict(topic, verdict, findings[:MOST_FINDINGS] or ("nothing to object to",))


def _swaps(similarity: pd.DataFrame | None) -> Verdict:
    topic = "Plate swaps"
    if similarity is None:
        return _not_judged(topic, "plate_similarity")
    suspected = similarity[similarity["is_suspected_swap"]]
    findings = tuple(
        f"{row.plate_a} and {row.plate_b} each resemble the other's batch more than their own"
        for row in suspected.itertuples()
    )
    return Verdict(
        topic, "watch" if findings else "ok", findings or ("every plate resembles its own batch most",)
    )


def _quality(wells: pd.DataFrame | None, plates: pd.DataFrame | None) -> Verdict:
    topic = "Quality"
    if wells is None or plates is None:
        return _not_judged(topic, "well_qc", "plate_qc")
    failed = int((~wells["qc_pass"].astype(bool)).sum())
    flagged = plates[plates["flag"] != "ok"]
    findings = [f"{failed} of {len(wells)} wells fail and enter no training, no DMSO centre and no score"]
    copies = wells[wells["qc_reason"].fillna("").str.contains("copy of ", regex=False)]
    findings += [
        f"{batch} holds wells that the screen held before: {len(rows)} of {(wells['batch'] == batch).sum()} wells are "
        "copies and count nowhere"
        for batch, rows in copies.groupby("batch")
    ]
    findings += [f"plate {row.batch} {row.plate}: {row.flag_reason}" for row in flagged.itertuples()]
    if flagged.empty:
        findings.append(f"no problem with any of the {len(plates)} plates")
    flags = [*plates["flag"], *["watch"] * (not copies.empty)]
    return Verdict(topic, _worst(pd.Series(flags, dtype=str)), tuple(findings[:MOST_FINDINGS]))


def doubt_about_model(models: ModelRegistry, version: str | None) -> str | None:
    """Return a sentence where the model shown is no better than the mean of its held-out wells, else None."""
    skill = load_skill(models.folder(version)) if version in models.versions() else None
    return f"{version} was {skill.sentence}" if skill is not None and skill.is_none else None


def _model(comparison: pd.DataFrame | None) -> Verdict:
    """The Transformer against the best of the ladder and position alone, whole metabolites held out."""
    topic = "Model against baselines"
    if comparison is None:
        return _not_judged(topic, "model_comparison")
    if not (comparison["scheme"] == "leave_metabolite_out").any():
        return Verdict(topic, UNKNOWN, ("no evaluation with metabolites held out",))
    found = warnings_in_words(comparison)
    return Verdict(topic, "watch" if found else "ok", (*best_in_words(comparison), *found[:MOST_FINDINGS]))


def _not_judged(topic: str, *assets: str) -> Verdict:
    command = TABLES[assets[0]].made_by.command
    return Verdict(topic, UNKNOWN, (f"needs {' and '.join(assets)}, which is not there yet: {command}",))


def _worst(verdicts: pd.Series) -> str:
    known = [verdict for verdict in SEVERITY if (verdicts == verdict).any()]
    return known[-1] if known else UNKNOWN
