"""The most memory that this process has had, in bytes.

Linux keeps two marks. `ru_maxrss` is handed on to a program that a process starts: a small worker of a large driver
reports its driver's peak (1,303 MiB for a build of 300, started by a large test run). `VmHWM` is its own.
"""

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_memory() -> int:
    """Bytes resident at the peak of this program; on systems without /proc what `getrusage` says."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
