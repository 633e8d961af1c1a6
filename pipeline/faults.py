"""Named points at which a test can have a process killed, to show that nothing is lost.

`CORPUSMILL_FAULT=point=n=file,…` kills the process with SIGKILL when it reaches `point` for the n-th time, counted
across processes in `file`, whose time is then that of the kill; n = 0 is every time. Unset, a point costs one look-up.
Points of a phase, in their order:

    <phase>:planned   in the driver, before any unit
    <phase>:start     a unit begins
    <phase>:output    its files are written, nothing is committed
    <phase>:receipt   its files are in place, it has no receipt
    <phase>:done      its receipt is written, the driver is not told
    <phase>:driver    the driver is told
"""

import os
import signal


def fault_point(name: str) -> None:
    """Die here if the environment says so."""
    wanted = os.environ.get("CORPUSMILL_FAULT")
    if wanted is None:
        return
    for fault in wanted.split(","):
        point, count, counter = fault.split("=")
        if point == name and count in ("0", str(_reached(counter))):
            os.kill(os.getpid(), signal.SIGKILL)


def _reached(counter: str) -> int:
    """Add one to the count kept in a file's size; the place behind one's own byte, so that two at once count apart."""
    descriptor = os.open(counter, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(descriptor, b"x")
    count = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.close(descriptor)
    return count
