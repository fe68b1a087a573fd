"""The most memory this process has held, for programs that tests start."""

import resource
import sys
from pathlib import Path


def peak_kib() -> int:
    """Return the peak of resident memory in KiB.

    On Linux from the kernel's account of this very program: `ru_maxrss` begins at what the process that started it
    held, so under a large parent it shows the parent's.
    """
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
