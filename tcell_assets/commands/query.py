"""`tcell query`: SQL over the tables of the lake, read-only."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from tcell_assets.commands.output import echo_table

if TYPE_CHECKING:
    import pyarrow as pa

    from tcell_assets.lake.models import ModelRegistry
    from tcell_assets.lake.store import Lake

# What fits on a screen and can still be read.
MOST_ROWS_SHOWN = 100


@click.command(
    "query",
    epilog='Examples:\n\n  tcell query --tables\n\n  tcell query "SELECT * FROM metabolite_scores WHERE rank < 10"'
    "\n\n  tcell query \"SELECT * FROM well_predictions WHERE batch = 'tc1'\" --format csv > tc1.csv",
)
@click.argument("sql", required=False)
@click.option("--tables", is_flag=True, help="List the tables there are, with their columns.")
@click.option(
    "--format",
    "output",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help=f"table shows the first {MOST_ROWS_SHOWN} rows; csv and json hold all of them.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    help="Longest a query may take.",
)
@click.option(
    "--memory-mib",
    type=click.IntRange(min=64),
    default=2048,
    show_default=True,
    help="Memory a query may take.",
)
def query_command(sql: str | None, tables: bool, output: str, seconds: float, memory_mib: int) -> None:
    """Answer one SELECT in DuckDB's SQL. Every asset is a table; batches stand together, with a column `batch`."""
    from upath import UPath

    from tcell_assets.exports.query_process import query_in_process
    from tcell_assets.exports.sql import QueryError, QueryLimits, lake_datasets
    from tcell_assets.installation.configuration import load_configuration
    from tcell_assets.lake.models import ModelRegistry
    from tcell_assets.lake.store import Lake

    if tables == (sql is not None):
        raise click.UsageError("give either one SELECT in quotes or --tables")
    lake = Lake(UPath(load_configuration().storage) / "lake")
    if tables:
        rows: list[dict[str, Any]] = [
            {"table": asset, "rows": dataset.count_rows(), "columns": _some_columns(dataset.schema.names)}
            for asset, dataset in lake_datasets(lake)
        ]
        echo_table(rows)
        if not rows:
            click.echo("no table yet; `tcell ingest` makes the first ones")
        return
    assert sql is not None
    for line in _behind(lake, ModelRegistry(lake.root.parent / "models"), sql):
        click.echo(f"not current: {line}", err=True)
    try:
        answer = query_in_process(str(lake.root), sql, QueryLimits(seconds, memory_mib))
    except ImportError as error:
        raise click.ClickException("queries need DuckDB: pip install 'tcell-assets[query]'") from error
    except QueryError as error:
        raise click.ClickException(str(error)) from error
    _show(answer, output)


def _behind(lake: Lake, models: ModelRegistry, sql: str) -> list[str]:
    """Say in a line each which of the tables a query names are not current; the answer may mix what does not fit."""
    from tcell_assets.lake.judge import Judge
    from tcell_assets.lake.tables import TABLES

    judge = Judge(lake, models)
    lines = []
    for asset in sorted(set(re.findall(r"\w+", sql.lower())) & set(TABLES)):
        there = lake.batches(asset) if TABLES[asset].partitioned else [None] * lake.exists(asset)
        behind = judge.behind([(asset, batch) for batch in there])
        if behind:
            of = ", ".join(str(found.batch) for found in behind[:5] if found.batch)
            more = f" and {len(behind) - 5} more" if len(behind) > 5 else ""
            lines.append(
                f"{asset}{f' of {of}{more}' if of else ''}: {behind[0].reason.text}; {behind[0].command}"
            )
    return lines


def _some_columns(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")


def _show(answer: pa.Table, output: str) -> None:
    if output == "csv":
        from tcell_assets.exports.spreadsheet import without_formulas

        without_formulas(answer.to_pandas()).to_csv(sys.stdout, index=False)
    elif output == "json":
        click.echo(json.dumps(answer.to_pylist(), default=str, indent=1))
    elif not answer.num_rows:
        click.echo("no rows")
    else:
        rows = answer.slice(0, MOST_ROWS_SHOWN).to_pylist()
        echo_table([{name: _cell(value) for name, value in row.items()} for row in rows])
        if answer.num_rows > MOST_ROWS_SHOWN:
            click.echo(f"… {MOST_ROWS_SHOWN} of {answer.num_rows} rows; --format csv gives all")


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
