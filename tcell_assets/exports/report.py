"""The screen, or one batch, as one HTML file: verdicts first, then metabolites, plates, maps, model, genes and methods.

Whatever tables lie in the lake are shown; a section whose table is missing says so and how to make it. The file asks
the network for nothing: its content security policy forbids it, and lets no script run but its own two.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pandas as pd

from tcell_assets.exports.hits import HIT_CALLS, calls_shown, class_of_wells
from tcell_assets.exports.report_cards import PROFILE_TABLES, SIGNATURES, cards
from tcell_assets.exports.report_fields import metabolite_columns, well_fields
from tcell_assets.exports.report_figures import (
    HIT_CLASS,
    coloured_genes,
    drawn_wells,
    expression_map,
    gene_directions,
    loss,
    maps,
    well_data,
)
from tcell_assets.exports.report_tables import (
    Cell,
    HeadColumn,
    Row,
    ShownTable,
    column_values,
    shown_table,
)
from tcell_assets.exports.report_verdicts import batch_verdicts, doubt_about_model, screen_verdicts
from tcell_assets.lake.judge import Judge
from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.schema import Column
from tcell_assets.lake.staleness import UNDERSTOOD
from tcell_assets.lake.store import Lake
from tcell_assets.lake.tables import TABLES
from tcell_assets.science.screen.metabolite_scores import score_metabolites

if TYPE_CHECKING:
    from tcell_assets.installation.status import Status

EVALUATION = "model_evaluation"
COMPARISON = "model_comparison"
MAP = "latent_map"
EXPRESSION_MAP = "expression_map"
TOP_GENES = 30

SECTIONS = (
    ("verdicts", "Verdicts"),
    ("understood", "What was understood"),
    ("metabolites", "Metabolites"),
    ("plates", "Plates"),
    ("map", "Map of the wells"),
    ("replicates", "Replicates"),
    ("model", "Model"),
    ("genes", "Genes"),
    ("methods", "Methods"),
    ("dictionary", "Data dictionary"),
)
# The hit table's columns, each with its heading; the tip holds the column's name and meaning.
HIT_HEADINGS = {
    "rank": "Rank",
    "metabolite": "Metabolite",
    "hit_class": "Class",
    "why": "Why",
    "n_replicates": "Wells",
    "q_replicate": "FDR",
    "strength": "Strength",
    "direction": "Direction",
    "q_direction": "Direction FDR",
}
# Why a metabolite is in its class, in the width of a label; its card holds the reason in full.
WHY = {
    "activator": "wells agree, more activated",
    "suppressor": "wells agree, less activated",
    "active_other": "wells agree, another direction",
    "position_suspect": "only their position agrees",
    "inconclusive": "cannot be compared",
    "inactive": "no agreement beyond chance",
}
EVALUATION_COLUMNS = (
    "scheme", "model", "target", "metric", "value", "low", "high", "n_wells", "replicate_leakage",
)  # fmt: skip
PLATE_COLUMNS = (
    "batch", "plate", "n_wells", "n_failed", "n_dmso", "median_umi", "dmso_correlation", "z_prime", "morans_i", "flag",
    "flag_reason",
)  # fmt: skip
SPACES_IN_WORDS = {
    "combined": "the combined evidence of several feature sets",
    "latent": "the model's latent",
    "expression": "principal components of expression; no model is needed for them",
}


def screen_report(lake: Lake, models: ModelRegistry, status: Status | None = None) -> bytes:
    """Return the report on the batches that the current model scored, or on all ingested ones before that.

    Tables of another model are left out. What is left out or behind is named at the top, with the command that mends
    it.

    Args:
        lake: Holds the tables.
        models: Says which model is current.
        status: The state of every batch, shown at the top.

    Raises:
        StorageError: A table is damaged.
    """
    batches = lake.batches("well_metadata")
    judge = Judge(lake, models)
    scored = judge.batches("latent_embeddings") if judge.model else []
    content = _content(lake, models, scored or batches, judge, judge.model, is_screen=True)
    content["behind"] = _behind(judge, content, status)
    content["doubt"] = doubt_about_model(models, judge.model)
    content["status"] = _status_table(status)
    named = ", ".join(scored or batches) or "no batch yet"
    left_out = sorted(set(batches) - set(scored)) if scored else []
    summary = f"Batches: {named}."
    if left_out:
        summary += f" Not scored by the current model and left out: {', '.join(left_out)}."
    return _rendered({**content, "title": "Screen report", "summary": _with_date(lake, content, summary)})


def batch_report(lake: Lake, models: ModelRegistry, batch: str) -> bytes:
    """Return the report on one batch.

    Raises:
        MissingTableError: The batch has not been ingested.
        StorageError: A table is damaged.
    """
    lake.lineage("well_metadata", batch)
    judge = Judge(lake, models)
    scored = judge.lineage("latent_embeddings", batch)
    shown_model = scored.model_version if scored is not None else judge.model
    content = _content(lake, models, [batch], judge, shown_model, is_screen=False)
    content["behind"] = _behind(judge, content, None)
    content["doubt"] = doubt_about_model(models, shown_model)
    content["status"] = None
    summary = _with_date(lake, content, "One screening batch; hits are called over the whole screen.")
    return _rendered({**content, "title": f"Batch {batch}", "summary": summary})


def _behind(judge: Judge, content: Mapping[str, Any], status: Status | None) -> list[str]:
    """What of the tables shown, or left out as another model's, is not current: one line each, batches first."""
    shown = judge.behind(list(dict.fromkeys([*content["used"], *content["left_out"]])))
    if status is None:
        return [found.sentence for found in shown]
    lines = [
        f"{batch.batch}: {batch.state}: {batch.why}; {batch.next_step}"
        for batch in status.batches
        if batch.next_step
    ]
    return lines + [found.sentence for found in shown if found.batch is None]


def _status_table(status: Status | None) -> ShownTable | None:
    if status is None:
        return None
    head = tuple(HeadColumn(name, "", False) for name in ("batch", "state", "model", "why", "next step"))
    rows = tuple(
        Row(tuple(Cell(value or "–", value, False) for value in values))
        for values in (
            (batch.batch, batch.state, batch.model, batch.why, batch.next_step) for batch in status.batches
        )
    )
    return ShownTable(head, rows)


def _content(
    lake: Lake,
    models: ModelRegistry,
    batches: Sequence[str],
    judge: Judge,
    shown_model: str | None,
    *,
    is_screen: bool,
) -> dict[str, Any]:
    used: list[tuple[str, str | None]] = []
    left_out: list[tuple[str, str | None]] = []

    def is_of_shown_model(asset: str, batch: str | None) -> bool:
        lineage = judge.lineage(asset, batch)
        if lineage is None or lineage.model_version in (None, shown_model):
            return True
        left_out.append((asset, batch))
        return False

    def places_of(asset: str) -> list[str | None]:
        """Where the table is that the report shows: of each of its batches, or of the screen; noted in the methods."""
        if asset not in TABLES:
            return []
        places: list[str | None] = (
            [batch for batch in batches if lake.exists(asset, batch)]
            if TABLES[asset].partitioned
            else [None] * lake.exists(asset)
        )
        places = [place for place in places if is_of_shown_model(asset, place)]
        used.extend((asset, place) for place in places)
        return places

    def read(asset: str, columns: list[str] | None = None) -> pd.DataFrame | None:
        """The table over the report's batches that have it, or None."""
        places = places_of(asset)
        if not places:
            return None
        frames = [lake.read(asset, place, columns).assign(**_batch_column(asset, place)) for place in places]
        return pd.concat(frames, ignore_index=True)

    tables = {asset: read(asset) for asset in well_fields()}
    wells = _joined_wells(tables)
    latents = read("latent_embeddings") if wells is not None else None
    plates = read("plate_qc")
    ranking = read("gene_importance_ranking" if is_screen else "gene_importance")
    history = read("training_history")
    if history is None and shown_model in models.versions():
        history = _history_of(models, str(shown_model))
    evaluation = read(EVALUATION) if is_screen else None
    # A batch's report rests on the batch and the model alone: screen tables change with every other batch.
    hits = read(HIT_CALLS) if is_screen else None
    if hits is not None and wells is not None:
        classes = class_of_wells(wells, hits).mask(wells["is_dmso"], "vehicle control")
        wells = wells.assign(**{HIT_CLASS: classes})
    hits = calls_shown(hits) if hits is not None else None
    if is_screen:
        position = read("screen_position_audit")
        judged = screen_verdicts(
            position,
            read("design_audit"),
            read("plate_similarity"),
            tables["well_qc"],
            plates,
            read(COMPARISON),
        )
        scores = read("metabolite_scores")
    else:
        judged = batch_verdicts(read("position_audit"), tables["well_qc"], plates)
        scores = _scores_of_batch(tables)

    understood = _understood(lake, batches)
    data: dict[str, Any] = {}
    if wells is not None:
        drawn = drawn_wells(wells)
        data["wells"] = well_data(drawn)
        expression = read(EXPRESSION_MAP) if is_screen else None
        if is_screen:
            data["expression"] = coloured_genes(lake, drawn)
        data["maps"] = maps(drawn, latents, read(MAP) if is_screen else None) | expression_map(
            drawn, expression
        )
    n_batches = wells["batch"].nunique() if wells is not None else 0
    if hits is not None:
        data["volcano"] = column_values(hits, ["metabolite", "hit_class", "direction", "q_replicate", "rank"])
        genes_of = partial(lake.read_rows, SIGNATURES, "condition") if places_of(SIGNATURES) else None
        data["cards"] = cards(hits, wells, {asset: read(asset) for asset in PROFILE_TABLES}, genes_of)
    if history is not None:
        data["loss"] = loss(history)
    if ranking is not None:
        top = ranking.nlargest(TOP_GENES, "importance")
        data["genes"] = column_values(top, ["gene", "importance", "signed_importance"]) | {
            "head": str(top["head"].iloc[0]),
            "correlation": gene_directions(lake, judge, batches, top),
        }
    return {
        "sections": [section for section in SECTIONS if section[0] != "understood" or understood],
        "understood": understood,
        "verdicts": judged,
        "metabolites": _metabolites(hits, scores, is_screen),
        "plate_quality": shown_table(plates, TABLES["plate_qc"].columns, PLATE_COLUMNS),
        "evaluation": shown_table(_headline(evaluation), TABLES[EVALUATION].columns, EVALUATION_COLUMNS),
        "has": {
            "volcano": hits is not None,
            "plates": wells is not None,
            "map": bool(data.get("maps")),
            "replicates": n_batches > 1,
            "loss": history is not None,
            "genes": ranking is not None,
        },
        "absent": _absences(is_screen, n_batches),
        "model": _model(models, shown_model),
        "versions": _versions(lake, used),
        "dictionary": [TABLES[asset] for asset in dict.fromkeys(asset for asset, _ in used)],
        "data": data,
        "used": used,
        "left_out": left_out,
    }


def _understood(lake: Lake, batches: Sequence[str]) -> list[dict[str, Any]]:
    """What each batch was read as; nothing of one that was ingested before that was kept."""
    found = []
    for batch in batches:
        if lake.exists("well_metadata", batch):
            kept = lake.lineage("well_metadata", batch).details.get(UNDERSTOOD)
            found += [{"name": batch, **json.loads(kept)}] if kept else []
    return found


def _history_of(models: ModelRegistry, version: str) -> pd.DataFrame:
    """The losses of a model as they lie in its folder; the table is of the training that was last."""
    from tcell_assets.science.model.trained_model import HISTORY

    return pd.read_parquet(io.BytesIO((models.folder(version) / HISTORY).read_bytes()))


def _batch_column(asset: str, batch: str | None) -> dict[str, str]:
    has_one = "batch" in {column.name for column in TABLES[asset].columns}
    return {} if batch is None or has_one else {"batch": batch}


def _absences(is_screen: bool, n_batches: int) -> dict[str, str]:
    hits = "hits are called over the whole screen: see the screen's report"
    return {
        "volcano": f"No hits to show: needs the table {HIT_CALLS}, which {_makes(HIT_CALLS)} makes."
        if is_screen
        else f"Not shown here: {hits}.",
        "plates": f"No wells to show: needs the table well_metadata, which {_makes('well_metadata')} makes.",
        "map": "No map to show: needs latent_embeddings of at least 3 wells, which "
        + f"{_makes('latent_embeddings')} makes"
        + (f", or the table {EXPRESSION_MAP}, which {_makes(EXPRESSION_MAP)} makes." if is_screen else "."),
        "replicates": "One batch has no replicates in another: see the screen's report."
        if n_batches == 1
        else f"Needs two batches in the lake; {_makes('well_metadata')} makes them.",
        "loss": f"No model yet: needs the table training_history, which {_makes('training_history')} makes.",
        "evaluation": f"Not evaluated: needs the table {EVALUATION}, which {_makes(EVALUATION)} makes. Until then "
        "nothing here says that the model is better than a plainer one."
        if is_screen
        else "Models are compared over the whole screen: see the screen's report.",
        "genes": "No gene importance yet; "
        f"{_makes('gene_importance_ranking' if is_screen else 'gene_importance')} makes it.",
        "model": f"No model is current; {_makes('training_history')} makes one.",
    }


def _makes(asset: str) -> str:
    """The command that makes a table the first time."""
    return TABLES[asset].made_by.command


def _joined_wells(tables: Mapping[str, pd.DataFrame | None]) -> pd.DataFrame | None:
    """Every well with all its fields; None before anything is ingested."""
    wells = tables["well_metadata"]
    if wells is None:
        return None
    for asset, fields in well_fields().items():
        table = tables[asset]
        if table is not None and asset != "well_metadata":
            new = [name for name in fields if name in table and name not in wells]
            wells = wells.merge(table[["well_id", *new]], on="well_id", how="left", validate="one_to_one")
    return wells.assign(qc_pass=True) if "qc_pass" not in wells else wells


def _headline(evaluation: pd.DataFrame | None) -> pd.DataFrame | None:
    """The metrics people compare by: R² of a score, AUROC of the label."""
    if evaluation is None:
        return None
    return evaluation[evaluation["metric"].isin(["r2", "auroc"]) & ~evaluation["calibrated"]]


def _scores_of_batch(tables: Mapping[str, pd.DataFrame | None]) -> pd.DataFrame | None:
    wells, predictions, distances = (
        tables[name] for name in ("well_metadata", "well_predictions", "dmso_distances")
    )
    if wells is None or predictions is None or distances is None:
        return None
    return score_metabolites(wells, predictions, distances, usable=distances.set_index("well_id")["qc_pass"])


def _metabolites(hits: pd.DataFrame | None, scores: pd.DataFrame | None, is_screen: bool) -> dict[str, Any]:
    if hits is not None:
        described = (
            *TABLES[HIT_CALLS].columns,
            Column("why", "string", "`reason` as a label; the card has it in full"),
        )
        labelled = hits.assign(why=hits[HIT_CLASS].map(WHY))
        return {
            "table": shown_table(
                labelled,
                described,
                tuple(HIT_HEADINGS),
                headings=HIT_HEADINGS,
                choice=HIT_CLASS,
                opens="metabolite",
            ),
            "choices": list(dict.fromkeys(hits[HIT_CLASS])),
            "note": "A hit is a metabolite whose replicates agree beyond chance and position, here in "
            f"{SPACES_IN_WORDS[str(hits['feature_space'].iloc[0])]}. FDR is the expected share of false hits among "
            "those called at that level. Choose a row for everything that is known of it.",
        }
    if scores is not None:
        return {
            "table": shown_table(scores, TABLES["metabolite_scores"].columns, metabolite_columns()),
            "choices": [],
            "note": "Ranked by the mean distance to DMSO. A distance is no test: "
            + (
                f"hits need the table {HIT_CALLS}." if is_screen else "hits are called over the whole screen."
            ),
        }
    makes = _makes("metabolite_scores" if is_screen else "well_predictions")
    return {"table": None, "note": f"No metabolite is scored yet; {makes} does it."}


def _model(models: ModelRegistry, named: str | None) -> dict[str, Any] | None:
    """The model whose tables are shown."""
    if named is None:
        return None
    if named not in models.versions():
        # Its tables can be shown; what it was made with cannot.
        return _unreadable(named, models.damaged().get(named) or models.gone(named))
    manifest = models.manifest(named)
    details = {name: manifest[name] for name in ("settings", "compute", "library_versions", "batch_hashes")}
    return {
        "version": named,
        "created_at": manifest["created_at"],
        "preset": manifest["settings"]["preset"],
        "genes": len(manifest["genes"]),
        "gene_hash": manifest["gene_hash"][:16],
        "batches": ", ".join(manifest["batch_hashes"]),
        "seed": manifest["seed"],
        "targets": ", ".join(manifest["trained_heads"]),
        "details": json.dumps(details, indent=1),
    }


def _unreadable(version: str, fault: str) -> dict[str, Any]:
    return {
        **dict.fromkeys(
            ("created_at", "preset", "genes", "gene_hash", "batches", "seed", "targets"), "unknown"
        ),
        "version": version,
        "details": fault,
    }


def _versions(lake: Lake, used: Sequence[tuple[str, str | None]]) -> ShownTable:
    names = ("table", "batch", "content", "code", "model", "run")
    head = tuple(HeadColumn(name, "", False) for name in names)
    rows = []
    for asset, batch in dict.fromkeys(used):
        lineage = lake.lineage(asset, batch)
        values = (asset, batch or "screen", lineage.data_version[:16], lineage.code_version,
                  lineage.model_version or "", lineage.run_id[:8])  # fmt: skip
        rows.append(Row(tuple(Cell(value, value, False) for value in values)))
    return ShownTable(head, tuple(rows))


def _with_date(lake: Lake, content: Mapping[str, Any], summary: str) -> str:
    """The time of the newest table rather than of writing: the same tables give the same file."""
    times = [lake.path(asset, batch).stat().st_mtime for asset, batch in content["used"]]
    if not times:
        return summary
    return f"{summary} Tables as of {datetime.fromtimestamp(max(times), UTC):%Y-%m-%d %H:%M} UTC."


def _rendered(content: Mapping[str, Any]) -> bytes:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    files = resources.files("tcell_assets.exports")
    style, script, card, page = (
        (files / name).read_text("utf-8")
        for name in ("report.css", "report.js", "report_card.js", "report.html.jinja")
    )
    script = f"{script}\n{card}"
    plotly = get_plotlyjs()
    allowed = " ".join(f"'sha256-{_digest(text)}'" for text in (plotly, script))
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    # In a script element only "<" can end the text or open a comment; JSON lets it be written as an escape.
    data = json.dumps(content["data"], separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return (
        environment.from_string(page)
        .render(
            **{**content, "data": Markup(data)},
            policy=Markup(policy),
            style=Markup(style),
            script=Markup(script),
            plotly=Markup(plotly),
            package_version=version("tcell-assets"),
        )
        .encode()
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
