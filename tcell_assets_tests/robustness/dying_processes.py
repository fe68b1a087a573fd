"""Acts in processes of their own: several at once, or one that ends without a word in the middle of a write."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tcell_assets.lake import archive
from tcell_assets.system import files

KILLED = 137


def in_processes(
    around: Callable[[], contextlib.AbstractContextManager[None]], *acts: Callable[[], object]
) -> list[int]:
    """Do each act in a process of its own, all at once, and return how they ended; this process knows nothing of it."""
    started = []
    for act in acts:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with (
                    contextlib.redirect_stdout(io.StringIO()),
                    contextlib.redirect_stderr(io.StringIO()),
                    around(),
                ):
                    act()
                code = 0
            finally:
                os._exit(code)
        started.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in started]


@contextlib.contextmanager
def dies_at(at: int, moment: str) -> Iterator[None]:
    """Have this process end without a word at its n-th write or move, as SIGKILL ends it; it is a fork's own."""
    seen: list[int] = []
    write_local, move = files._write_local, archive._move

    def is_now() -> bool:
        seen.append(1)
        return len(seen) == at + 1

    def dying_write(path: Path, write: Callable[[Any], object]) -> None:
        now = is_now()

        def dying(file: Any) -> None:
            whole = io.BytesIO()
            write(whole)
            file.write(whole.getvalue()[: len(whole.getvalue()) // 2] if now else whole.getvalue())
            if now:
                file.flush()
                os._exit(KILLED)

        if now and moment == "before":
            os._exit(KILLED)
        write_local(path, dying if moment == "half" else write)
        if now:
            os._exit(KILLED)

    def dying_move(source: Any, target: Any) -> None:
        now = is_now()
        if now and moment != "after":
            os._exit(KILLED)
        move(source, target)
        if now:
            os._exit(KILLED)

    files._write_local = dying_write
    archive._move = dying_move
    yield
