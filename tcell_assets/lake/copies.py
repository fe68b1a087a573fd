"""Wells that hold the same measurement: one data set under two batch names would count its replicates twice.

The footer of `expression_matrix` says each well's hash (`science.plates.well_copies`), so no value is read here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tcell_assets.lake.store import Lake, MissingTableError
from tcell_assets.system.files import StorageError

# Details of the lineage of `expression_matrix` …
WELL_HASHES = "well_hashes"
ARRIVAL = "arrival"
COUNTS_COPIES = "counts_copies"
# … and of `well_qc`: which wells failed as copies, each with the well it repeats.
COPIES = "copies"
COPY_DETAILS = (WELL_HASHES, ARRIVAL, COUNTS_COPIES, COPIES)


@dataclass(frozen=True)
class BatchWells:
    """What is compared of a batch.

    Attributes:
        arrival: The how many-th batch of the screen it was when it first came; batches from before this was kept are 0.
        hashes: Hash by well.
        counts_copies: Whether its wells count although another batch holds them too.
    """

    arrival: int
    hashes: Mapping[str, str]
    counts_copies: bool = False


def find_copies(screen: Mapping[str, BatchWells]) -> dict[str, dict[str, str]]:
    """Return by batch which of its wells hold what another well held before, with that well.

    The first is the one that was in the screen first, so that a copy that arrives later changes nothing of what is
    there; of two that came at once the one whose batch, then well, sorts first. Nothing else decides: ingested anew in
    any order the same wells are copies.
    """
    first: dict[str, str] = {}
    copies: dict[str, dict[str, str]] = {batch: {} for batch in screen}
    for batch in sorted(screen, key=lambda batch: (screen[batch].arrival, batch)):
        for well, digest in sorted(screen[batch].hashes.items()):
            original = first.setdefault(digest, well)
            if original != well and not screen[batch].counts_copies:
                copies[batch][well] = original
    return copies


def copies_in_words(
    batch: str, copies: Mapping[str, str], n_wells: int, batch_of: Mapping[str, str]
) -> list[str]:
    """Return a sentence a batch that holds the same wells: "nb1 holds the same data as demo1: 192 of 192 wells".

    Args:
        batch: The batch of the copies.
        copies: The well each copy repeats.
        n_wells: Wells of the batch.
        batch_of: The batch of each well that is repeated.
    """
    counted = Counter(batch_of[original] for original in copies.values())
    return [
        f"{batch} holds the same data "
        + (f"twice: {count}" if other == batch else f"as {other}: {count}")
        + f" of {n_wells} wells"
        for other, count in sorted(counted.items())
    ]


def wells_of_screen(lake: Lake) -> dict[str, BatchWells]:
    """Return what is compared of every batch; one from before hashes were kept is compared with none."""
    screen = {}
    for batch in lake.batches("expression_matrix"):
        try:
            details = lake.lineage("expression_matrix", batch).details
        except (MissingTableError, StorageError):
            # Whoever reads its values is told.
            continue
        screen[batch] = BatchWells(
            int(details.get(ARRIVAL, 0)),
            details.get(WELL_HASHES) or {},
            bool(details.get(COUNTS_COPIES)),
        )
    return screen


def arrival_of(lake: Lake, batch: str) -> int:
    """Return the how many-th batch of the screen a batch is: as it was where it is known, else after all others."""
    screen = wells_of_screen(lake)
    return (
        screen[batch].arrival
        if batch in screen
        else 1 + max((known.arrival for known in screen.values()), default=0)
    )


def copies_of(lake: Lake, batch: str) -> dict[str, str]:
    """Return the wells of a batch that hold what another well of the screen held before, with that well."""
    return find_copies(wells_of_screen(lake)).get(batch, {})


def copies_marked(lake: Lake, batch: str) -> dict[str, str] | None:
    """Return the wells that failed as copies when the batch was judged last; None where that was not looked at."""
    if not lake.exists("well_qc", batch):
        return None
    return lake.lineage("well_qc", batch).details.get(COPIES)


def changed_copies(lake: Lake) -> dict[str, str]:
    """Return the batches whose copies are others now than when they were judged, each with the reason."""
    reasons = {}
    for batch, copies in find_copies(wells_of_screen(lake)).items():
        marked = copies_marked(lake, batch)
        if marked is not None and marked != copies:
            now = (
                f"{len(copies)} of its wells repeat others" if copies else "none of its wells repeats another"
            )
            reasons[batch] = f"{now}, {len(marked)} did when it was judged"
    return reasons


def sentences(lake: Lake, batch: str, copies: Mapping[str, str], n_wells: int) -> list[str]:
    """Return what to say of a batch's copies; see `copies_in_words`."""
    if not copies:
        return []
    batch_of = {well: other for other, known in wells_of_screen(lake).items() for well in known.hashes}
    return copies_in_words(batch, copies, n_wells, batch_of)


def screen_sentences(lake: Lake) -> list[str]:
    """Return what to say of the copies of every batch of the screen."""
    screen = wells_of_screen(lake)
    batch_of = {well: batch for batch, known in screen.items() for well in known.hashes}
    return [
        sentence
        for batch, copies in find_copies(screen).items()
        if copies
        for sentence in copies_in_words(batch, copies, len(screen[batch].hashes), batch_of)
    ]
