"""Shows long work: a bar on a terminal, plain lines elsewhere, log lines inside a Dagster run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tcell_assets.science.model.training import Progress

# A line every 10 s tells that work goes on without filling the event log: 10 hours leave 3 600 lines.
SECONDS_BETWEEN_LINES = 10.0

_show_in_shell: ContextVar[bool] = ContextVar("show_progress_in_shell", default=False)


@contextmanager
def terminal_progress() -> Iterator[None]:
    """Show the progress of runs inside this block in the shell too: a bar on a terminal, plain lines in a pipe."""
    token = _show_in_shell.set(True)
    try:
        yield
    finally:
        _show_in_shell.reset(token)


class ProgressBar:
    """Progress of one piece of work; its methods are the callbacks that the science functions take."""

    def __init__(self, log: Callable[[str], object], what: str, total: int, unit: str) -> None:
        self._log, self._what, self._total, self._unit = log, what, total, unit
        self._last_line = time.monotonic()
        self._bar: Any = None
        self._plain = _show_in_shell.get() and not sys.stderr.isatty()
        if _show_in_shell.get() and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=what, unit=f" {unit}", dynamic_ncols=True)

    def wells_done(self, done: int) -> None:
        """Take the number of wells scored so far."""
        self._advance(done, f"{done} of {self._total} {self._unit}", is_milestone=done == self._total)

    def training(self, progress: Progress) -> None:
        """Take a report of a running training."""
        self._advance(progress.fraction * self._total, progress.text, is_milestone=progress.kind != "step")

    def say(self, text: str) -> None:
        """Tell something of the work at once, in the log and where its progress is shown."""
        self._log(f"{self._what}: {text}")
        if self._bar is not None:
            self._bar.write(f"{self._what}: {text}", file=sys.stderr)
        elif self._plain:
            print(f"{self._what}: {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.close()

    def _advance(self, done: float, text: str, is_milestone: bool) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.n = round(done, 2)
            self._bar.refresh()
        now = time.monotonic()
        if is_milestone or now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._log(f"{self._what}: {text}")
            if self._plain:
                print(f"{self._what}: {text}", file=sys.stderr, flush=True)


@contextmanager
def progress_of(log: Callable[[str], object], what: str, total: int, unit: str) -> Iterator[ProgressBar]:
    """Yield the progress of one piece of work of `total` units, written to `log` and, if asked for, to the shell."""
    bar = ProgressBar(log, what, total, unit)
    try:
        yield bar
    finally:
        bar.close()
