"""What is wrong with a landing folder: one problem a line, all problems of a batch in one error."""

from collections import Counter
from dataclasses import dataclass, field

# Enough to see a pattern, few enough to be read: a wrong decimal sign makes every cell of a matrix a problem.
SHOWN_PER_KIND = 20
LONGEST_QUOTE = 60


@dataclass(frozen=True)
class Problem:
    """One thing that keeps a batch from being read.

    Attributes:
        file: Path inside the batch folder, with forward slashes.
        place: Where in the file, as a person counts it (``row 5, column 3 (IL2RA)``: the header is row 1,
            the first column is 1), or empty where the whole file is meant.
        found: What stands there.
        mend: What to do about it.
    """

    file: str
    place: str
    found: str
    mend: str

    def __str__(self) -> str:
        where = f"{self.file}, {self.place}" if self.place else self.file
        return f"{where}: {self.found}. {self.mend}." if self.mend else f"{where}: {self.found}."


class LandingError(Exception):
    """All problems of one landing folder.

    Attributes:
        batch: The batch, or the folder that was to be imported.
        problems: Every problem found, in the order of reading; at least one.
    """

    def __init__(self, batch: str, problems: tuple[Problem, ...]) -> None:
        self.batch = batch
        self.problems = problems
        super().__init__(batch, problems)

    def __str__(self) -> str:
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [f"  {number}. {problem}" for number, problem in enumerate(self.problems, start=1)]
        return "\n".join([f"batch {quoted(self.batch)} cannot be read, {count}:", *lines])


@dataclass
class ProblemCollector:
    """Gathers the problems of one batch so that all of them are told at once.

    Attributes:
        batch: Named in the error.
        problems: What was gathered so far; at most ``SHOWN_PER_KIND`` of each kind and file.
    """

    batch: str
    problems: list[Problem] = field(default_factory=list)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, kind: str, file: str, place: str, found: str, mend: str) -> None:
        """Note one problem.

        Args:
            kind: Plural noun for problems of this kind (``"non-numeric cells"``), used to count those not shown.
            file: See `Problem`.
            place: See `Problem`.
            found: See `Problem`.
            mend: See `Problem`.
        """
        self._counts[file, kind] += 1
        if self._counts[file, kind] <= SHOWN_PER_KIND:
            self.problems.append(Problem(file, place, found, mend))

    def count_unshown(self, kind: str, file: str, number: int) -> None:
        """Count ``number`` further problems of a kind that were found but not described one by one."""
        self._counts[file, kind] += number

    @property
    def total(self) -> int:
        """How many problems were found, shown or not."""
        return self._counts.total()

    def raise_if_any(self) -> None:
        """Raise.

        Raises:
            LandingError: With everything gathered, where there is anything.
        """
        if self.total == 0:
            return
        unshown = [
            Problem(file, "", f"and {count - SHOWN_PER_KIND} more {kind}", "")
            for (file, kind), count in self._counts.items()
            if count > SHOWN_PER_KIND
        ]
        raise LandingError(self.batch, tuple(self.problems + unshown))


def quoted(text: str) -> str:
    """The text in quotes on one line: control characters escaped, long text shortened."""
    shown = text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "…"
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
    return f"'{shown}'" + (f" ({len(text)} characters)" if len(text) > LONGEST_QUOTE else "")


def listed(names: list[str], shown: int = 5) -> str:
    """The first few names in quotes and how many more there are."""
    head = ", ".join(quoted(name) for name in names[:shown])
    return head if len(names) <= shown else f"{head} and {len(names) - shown} more"


def cell_place(row: int, column: int, name: str = "") -> str:
    """A cell as a person counts it: the header is row 1, the first column is 1."""
    return f"row {row}, column {column} ({quoted(name)})" if name else f"row {row}, column {column}"
