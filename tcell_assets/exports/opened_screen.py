"""The front door for notebooks: one screen, opened read-only, with its tables as frames."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from upath import UPath

from tcell_assets.installation.configuration import load_configuration
from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.store import Lake, MissingTableError
from tcell_assets.lake.tables import TABLES

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from tcell_assets.science.model.trained_model import TrainedModel

# What is known of a well, in this order; a column that two tables have is taken from the first.
WELL_TABLES = ("well_metadata", "well_qc", "well_predictions", "dmso_distances")


class NotCurrentWarning(UserWarning):
    """A table that was read is not current: its inputs, the model or the code have changed since it was made."""


@dataclass(frozen=True)
class Screen:
    """A screen as its lake holds it now. Nothing is cached: every call reads what the lake holds at that moment.

    Open one with `tcell_assets.open_screen()`.

    Attributes:
        lake: The tables.
        models: The model versions.
    """

    lake: Lake
    models: ModelRegistry

    @property
    def batches(self) -> tuple[str, ...]:
        """The ingested batches, sorted."""
        return tuple(self.lake.batches("well_metadata"))

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that are there, in the order of the flow; `table(name)` reads one."""
        return tuple(
            name
            for name, table in TABLES.items()
            if (self.lake.batches(name) if table.partitioned else self.lake.exists(name))
        )

    def table(self, name: str, batches: Sequence[str] | None = None) -> pd.DataFrame:
        """Read a table.

        Args:
            name: One of `tables`; docs/assets.md describes each and its columns.
            batches: Of a table with a file a batch: which, by default all. They stand below each other with a column
                `batch`; a gene that a batch does not measure is NaN there.

        Raises:
            KeyError: There is no table of that name; the message names similar ones.
            MissingTableError: It has not been made yet; the message names the command.
        """
        if name not in TABLES:
            import difflib

            near = difflib.get_close_matches(name, TABLES, n=3)
            raise KeyError(f"no table is called {name!r}" + (f"; is it {' or '.join(near)}?" if near else ""))
        self._warn_of(name)
        if not TABLES[name].partitioned:
            return self.lake.read(name)
        import pandas as pd

        chosen = list(batches) if batches is not None else self.lake.batches(name)
        if not chosen:
            raise MissingTableError(f"{self.lake.root}: {name} is not there for any batch yet")
        frames = []
        for batch in chosen:
            frame = self.lake.read(name, batch)
            if "batch" not in frame.columns:
                frame.insert(0, "batch", batch)
            frames.append(frame)
        return pd.concat(frames, ignore_index=True)

    def _warn_of(self, name: str) -> None:
        for line in self.not_current(name):
            warnings.warn(line, NotCurrentWarning, stacklevel=3)

    def not_current(self, *names: str) -> list[str]:
        """Return a line for each of these tables, by default all, that is not current: why, and what mends it."""
        from tcell_assets.lake.judge import Judge

        places = [
            (name, batch)
            for name in names or self.tables
            for batch in (self.lake.batches(name) if TABLES[name].partitioned else [None])
            if batch is not None or self.lake.exists(name)
        ]
        return [found.sentence for found in Judge(self.lake, self.models).behind(places)]

    def hits(self) -> pd.DataFrame:
        """Return the hit list that the report shows, best rank first: a row a metabolite, all classes."""
        from tcell_assets.exports.hits import calls_shown

        return calls_shown(self.table("hit_calls"))

    def wells(self, batches: Sequence[str] | None = None) -> pd.DataFrame:
        """Return all that is known of each well: plate map, quality, predictions, distances; a row a well.

        Columns of tables that are not there yet are absent.
        """
        joined = self.table("well_metadata", batches)
        for name in WELL_TABLES[1:]:
            present = [batch for batch in joined["batch"].unique() if self.lake.exists(name, batch)]
            if present:
                table = self.table(name, present)
                new = [column for column in table.columns if column not in joined.columns]
                joined = joined.merge(
                    table[["well_id", *new]], on="well_id", how="left", validate="one_to_one"
                )
        return joined

    def signatures(
        self, condition: str | Sequence[str] | None = None, gene: str | Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Return signatures, `condition, gene, effect, t, p, q, n_wells`: all, or of these conditions and genes."""
        chosen: dict[str, list[str]] = {
            column: [wanted] if isinstance(wanted, str) else list(wanted)
            for column, wanted in (("condition", condition), ("gene", gene))
            if wanted is not None
        }
        for column, names in chosen.items():
            _require(names, self.lake.distinct("signatures", column), column)
        if not chosen:
            return self.table("signatures")
        self._warn_of("signatures")
        column, names = next(iter(chosen.items()))
        table = self.lake.read_rows("signatures", column, names)
        if len(chosen) == 2:
            table = table[table["gene"].isin(chosen["gene"])]
        return table.reset_index(drop=True)

    def neighbours(self, condition: str) -> pd.DataFrame:
        """Return what resembles an active condition, nearest first; empty for one that is not active."""
        _require([condition], self.lake.distinct("signatures", "condition"), "condition")
        table = self.table("metabolite_similarity")
        return table[table["condition"] == condition].reset_index(drop=True)

    def expression(
        self,
        genes: Sequence[str] | None = None,
        batches: Sequence[str] | None = None,
        *,
        adjusted: bool = False,
    ) -> pd.DataFrame:
        """Return expression, index `well_id`, one float column a gene.

        Args:
            genes: Which, in this order; by default those that every batch measures.
            batches: Which; by default all.
            adjusted: Without the effects of plate, row and column, as hits are called on.

        Raises:
            KeyError: A batch does not measure a gene that is asked for.
        """
        import pandas as pd

        name = "adjusted_expression" if adjusted else "expression_matrix"
        chosen = list(batches) if batches is not None else self.lake.batches(name)
        if not chosen:
            raise MissingTableError(f"{self.lake.root}: {name} is not there for any batch yet")
        measured = {batch: self.lake.genes(batch) for batch in chosen}
        if genes is None:
            wanted = [
                gene for gene in measured[chosen[0]] if all(gene in set(own) for own in measured.values())
            ]
        else:
            wanted = list(genes)
            for batch, own in measured.items():
                _require(wanted, own, f"gene of {batch}")
        return pd.concat(
            [self.lake.read(name, batch, ["well_id", *wanted]).set_index("well_id") for batch in chosen]
        )

    def anndata(self, *, with_umap: bool = False) -> AnnData:
        """Return the screen as AnnData, as `tcell export h5ad` writes it; needs the extra `anndata`."""
        from tcell_assets.exports.annotated_data import annotated_screen

        return annotated_screen(self.lake, self.models, with_umap=with_umap)

    def model(self, version: str | None = None) -> TrainedModel:
        """Return a trained model, by default the current one.

        Raises:
            UnknownModelError: No model is current, or there is no such version.
        """
        from tcell_assets.lake.models import UnknownModelError
        from tcell_assets.science.model.trained_model import load_model

        chosen = version or self.models.current()
        if chosen is None:
            raise UnknownModelError(f"{self.models.root}: no model is current; `tcell train` makes one")
        return load_model(self.models.folder(chosen))


def open_screen(home: str | Path | None = None, *, storage: str | None = None) -> Screen:
    """Open the screen of an installation; `tcell_assets.open_screen` documents it."""
    root = (
        UPath(storage) if storage else UPath(Path(home) / "storage" if home else load_configuration().storage)
    )
    if not (root / "lake").exists():
        raise FileNotFoundError(f"{root}: holds no lake/; name the folder that `tcell ingest` writes to")
    return Screen(Lake(root / "lake"), ModelRegistry(root / "models"))


def _require(wanted: Sequence[str], known: Sequence[str], what: str) -> None:
    missing = sorted(set(wanted) - set(known))
    if missing:
        import difflib

        near = difflib.get_close_matches(missing[0], [str(name) for name in known], n=3)
        hint = f"; is it {' or '.join(near)}?" if near else ""
        raise KeyError(f"no {what} is called {missing[0]!r}{hint}")
