"""What is wrong with a landing folder: one sentence a cause, all causes in one error, and the whole list beside it."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

# What is kept of each kind and file for the list: a wrong decimal sign makes every cell of a matrix a problem.
SHOWN_PER_KIND = 200
# The error itself is read in a terminal: two examples show a pattern, and 15 lines fit beside the command.
EXAMPLES = 2
LONGEST_ERROR = 15
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
        kind: Plural noun for problems of this kind, such as ``non-numeric cells``.
        times: How many problems this one stands for: those beyond what is kept of a kind and file.
    """

    file: str
    place: str
    found: str
    mend: str
    kind: str = ""
    times: int = 1

    def __str__(self) -> str:
        where = f"{self.file}, {self.place}" if self.place else self.file
        return f"{where}: {self.found}. {self.mend}." if self.mend else f"{where}: {self.found}."


class LandingError(Exception):
    """All problems of one landing folder.

    Attributes:
        batch: The batch, or the folder that was to be imported.
        problems: Every problem found, in the order of reading; at least one.
        understood: What was understood all the same, as lines; empty where reading did not come that far.
    """

    def __init__(self, batch: str, problems: tuple[Problem, ...], understood: tuple[str, ...] = ()) -> None:
        self.batch = batch
        self.problems = problems
        self.understood = understood
        super().__init__(batch, problems)

    def __str__(self) -> str:
        causes = self.causes()
        count = "1 problem" if len(causes) == 1 else f"{len(causes)} problems"
        # The head, a line for those that do not fit, and one that a command adds to name the list.
        shown = causes if len(causes) <= LONGEST_ERROR - 2 else causes[: LONGEST_ERROR - 3]
        lines = [f"  {number}. {cause}" for number, cause in enumerate(shown, start=1)]
        if len(shown) < len(causes):
            lines.append(f"  and {len(causes) - len(shown)} more; mend these first")
        return "\n".join([f"batch {quoted(self.batch)} cannot be read, {count}:", *lines])

    def causes(self) -> list[str]:
        """One sentence a cause: the problem itself, or how many of its kind there are, with two examples."""
        groups: dict[tuple[str, str], list[Problem]] = {}
        for number, problem in enumerate(self.problems):
            groups.setdefault((problem.file, problem.kind or str(number)), []).append(problem)
        return [_cause(group) for group in groups.values()]

    @property
    def is_shortened(self) -> bool:
        """Whether the list of all problems says more than the error."""
        return len(self.problems) > len(self.causes()) or len(self.causes()) > LONGEST_ERROR - 2

    def full_list(self) -> str:
        """Every problem that was kept, one a line."""
        return "".join(f"{problem}\n" for problem in self.problems)


def _cause(problems: list[Problem]) -> str:
    first = problems[0]
    total = sum(problem.times for problem in problems)
    if total == 1:
        return str(first)
    examples = [f"{problem.place} {problem.found}".strip() for problem in problems if problem.times == 1]
    more = "" if total <= EXAMPLES else f"{total} {first.kind}, such as "
    mends = list(dict.fromkeys(problem.mend for problem in problems if problem.mend))
    if total <= EXAMPLES and len(mends) > 1:
        rest = [replace(problem, file=problem.place or problem.file, place="") for problem in problems[1:]]
        return " ".join(map(str, [first, *rest]))
    text = f"{first.file}: {more}{'; '.join(examples[:EXAMPLES])}."
    return f"{text} {mends[0]}." if mends else text


def write_full_list(error: LandingError, folder: Path | None = None) -> Path:
    """Write every problem of an error, one a line, and return where: among the temporary files unless told."""
    folder = Path(tempfile.gettempdir()) if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in error.batch)[:64]
    handle, path = tempfile.mkstemp(prefix=f"tcell-problems-{name}-", suffix=".txt", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(error.full_list())
    return Path(path)


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
            self.problems.append(Problem(file, place, found, mend, kind))

    def count_unshown(self, kind: str, file: str, number: int) -> None:
        """Count ``number`` further problems of a kind that were found but not described one by one."""
        self._counts[file, kind] += number

    @property
    def total(self) -> int:
        """How many problems were found, shown or not."""
        return self._counts.total()

    def raise_if_any(self, understood: Callable[[], Sequence[str]] | None = None) -> None:
        """Raise.

        Args:
            understood: Makes `LandingError.understood`.

        Raises:
            LandingError: With everything gathered, where there is anything.
        """
        if self.total == 0:
            return
        unshown = [
            Problem(file, "", f"and {count - SHOWN_PER_KIND} more {kind}", "", kind, count - SHOWN_PER_KIND)
            for (file, kind), count in self._counts.items()
            if count > SHOWN_PER_KIND
        ]
        lines = () if understood is None else tuple(understood())
        raise LandingError(self.batch, tuple(self.problems + unshown), lines)


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
