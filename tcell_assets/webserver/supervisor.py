"""Starts webserver and daemon, and ends both with everything they started as soon as its standard input closes.

It is a process of its own, in a session of its own: when `tcell ui` ends, by Ctrl-C or by kill −9, the pipe between
them closes, and this process still has the time to end code servers and run workers, which outlive their parents.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tcell_assets.system.processes import end_with_parent

WORKSPACE_FILE = Path(__file__).with_name("workspace.yaml")
# Dagster's console script, which need not be on the PATH.
DAEMON = (sys.executable, str(Path(sysconfig.get_path("scripts"), "dagster-daemon")))
SECONDS_TO_STOP = 12.0
SECONDS_TO_STOP_WORKERS = 3.0
EXIT_CHILD_ENDED = 3
_PR_SET_CHILD_SUBREAPER = 36


def start(webserver_arguments: Sequence[str], token: str | None) -> list[subprocess.Popen[bytes]]:
    """Start the guarded webserver and the daemon, each leading a process group that holds all it will start."""
    webserver = [sys.executable, "-m", "tcell_assets.webserver", *webserver_arguments]
    daemon = [*DAEMON, "run", "--workspace", str(WORKSPACE_FILE)]
    processes = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE if given is not None else subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
        for command, given in ((webserver, token), (daemon, None))
    ]
    pipe = processes[0].stdin
    if pipe is not None and token is not None:
        with pipe:
            pipe.write(f"{token}\n".encode())
    return processes


def stop_all(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End the processes in their own way, then whatever is left of their groups."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    _wait_until(lambda: all(process.poll() is not None for process in processes), SECONDS_TO_STOP)
    groups = [process.pid for process in processes]
    for number, seconds in ((signal.SIGTERM, SECONDS_TO_STOP_WORKERS), (signal.SIGKILL, 1.0)):
        for group in groups:
            _signal_group(group, number)
        _wait_until(lambda: not any(_signal_group(group, 0) for group in groups), seconds)
    for process in processes:
        process.wait()


def _wait_until(is_done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_done() and time.monotonic() < deadline:
        _reap()
        time.sleep(0.05)


def _reap() -> None:
    """Bury orphans of the groups, which Linux hands to this process; else they would count as members for ever."""
    if sys.platform == "linux":
        for child in _children():
            os.waitpid(child, os.WNOHANG)


def _children() -> list[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(child) for child in text.split()]


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def main() -> None:
    """Supervise until standard input closes or a child ends; the first line of the input is the token, or empty."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    stopping = [False]

    def stop(signal_number: int, frame: object) -> None:
        stopping[0] = True

    signal.signal(signal.SIGTERM, stop)
    token = sys.stdin.readline().strip()
    processes = start(sys.argv[1:], token or None)
    try:
        while not stopping[0] and all(process.poll() is None for process in processes):
            readable, _, _ = select.select([sys.stdin], [], [], 0.2)
            if readable and not os.read(sys.stdin.fileno(), 1024):
                stopping[0] = True
    finally:
        stop_all(processes)
    if not stopping[0]:
        sys.exit(EXIT_CHILD_ENDED)


if __name__ == "__main__":
    main()
