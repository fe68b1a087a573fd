"""Which processes of this machine live, and ending a process together with the one that started it.

A process is known by the boot it was started in, the namespace that gave it its number, and its start in clock ticks
after boot. None of them moves when the wall clock is set, and containers of one host name do not share them. (psutil
tells starts on the wall clock alone.)
"""

from __future__ import annotations

import os
import signal
import sys
from functools import cache
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def is_alive(process: int) -> bool:
    """Return whether a process of this number runs; a zombie, which only waits to be reaped, does not."""
    if sys.platform == "linux":
        state = _status_fields(process)
        return state is not None and state[0] != "Z"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def identity_of(process: int) -> str:
    """Return what tells a living process of this number from all others, `<boot>/<namespace>/<ticks>`.

    Empty where the process has ended, or the system tells none of these (other than Linux).
    """
    fields = _status_fields(process)
    # Field 22 of /proc/<pid>/stat, the start in clock ticks after boot; the state, field 3, is the first kept here.
    return f"{_namespace()}/{fields[19]}" if fields else ""


def is_same(process: int, identity: str) -> bool | None:
    """Return whether the process of this number and identity still runs; a stopped one does.

    Returns:
        None where it cannot be known from here: the number was given by another container, or before a restart of the
        machine (or by another machine).
    """
    namespace = identity.rpartition("/")[0]
    if namespace != _namespace():
        return None
    return is_alive(process) and identity_of(process) == identity


@cache
def _namespace() -> str:
    """Return the boot and the process namespace within which a process is known by its number and its start."""
    if sys.platform != "linux":
        return ""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"


def was_alive_at(process: int, when: float) -> bool:
    """Return whether the process that bore this number at `when` (seconds since 1970) still runs.

    For runs whose tags tell no identity, as those of earlier versions. Numbers are given again: one that was started
    later than `when` is another process. Where the system does not tell start times (other than Linux), a living
    process is taken for the same one.
    """
    if not is_alive(process):
        return False
    if sys.platform != "linux":
        return True
    fields = _status_fields(process)
    if fields is None:
        return False
    started = _boot_time() + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    # btime is in whole seconds and may be adjusted by the clock's discipline.
    return started <= when + 2.0


def _status_fields(process: int) -> list[str] | None:
    if sys.platform != "linux":
        return None
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command, in parentheses, may itself hold spaces and parentheses.
    return status.rpartition(")")[2].split()


def _boot_time() -> int:
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return int(line.split()[1])
    raise RuntimeError("/proc/stat names no boot time (btime)")


def end_with_parent(signal_number: int = signal.SIGTERM) -> None:
    """Have the kernel send this process a signal when its parent ends in whatever way; only Linux can.

    Called first thing in a child, e.g. as `preexec_fn` of `subprocess.Popen`.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
