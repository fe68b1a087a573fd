"""What a step reads of the lake, so that the tables it writes can name what they were made from.

A table's footer says which tables were read with which data version, and which batches were summed up. It is a trace,
not a declaration: what was read is what must still be so for the table to be current (`lake.judge`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

# The version of a table that was looked for and was not there.
ABSENT = ""


def input_name(asset: str, batch: str | None) -> str:
    """Return how a footer names a table: `hit_calls`, or `well_qc/tc1`."""
    return asset if batch is None else f"{asset}/{batch}"


def split_input_name(name: str) -> tuple[str, str | None]:
    """Return the table and batch of a name that `input_name` made."""
    asset, _, batch = name.partition("/")
    return asset, batch or None


@dataclass
class ReadLog:
    """What one step has read so far.

    Attributes:
        versions: Data version of each table, by `input_name`; `ABSENT` where it was not there.
        summed: The batches that the step sums up, by the table whose batches they are.
        loaded: The batches of each table that was loaded whole; they are summed up where the step says nothing else.
    """

    versions: dict[str, str] = field(default_factory=dict)
    summed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    loaded: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def note(self, asset: str, batch: str | None, version: str) -> None:
        """Remember that a table was read. What was read first stays: the step has used it."""
        self.versions.setdefault(input_name(asset, batch), version)

    def sums_up(self, asset: str, batches: Sequence[str]) -> None:
        """Remember that the step sums up these batches, the batches of `asset` as they are now."""
        self.summed.setdefault(asset, tuple(batches))

    @property
    def batches(self) -> dict[str, tuple[str, ...]]:
        """The batches summed up, by the table whose batches they are."""
        return self.summed or self.loaded

    def inputs_of(self, asset: str, batch: str | None) -> dict[str, str]:
        """Return the inputs of a table that the step writes: all that was read but the table itself.

        Tables of batches that were loaded and then not summed up are left out.
        """
        own = input_name(asset, batch)
        summed = set[str]().union(*self.batches.values())
        return {
            name: version
            for name, version in sorted(self.versions.items())
            if name != own and (not summed or split_input_name(name)[1] in (None, batch, *summed))
        }
