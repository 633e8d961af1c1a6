"""Named points at which a test can have a process killed, to show that nothing is lost.

`CORPUSMILL_FAULT=point:n:file` kills the process with SIGKILL when it reaches `point` for the n-th time, counted
across processes in `file`. Unset, a point costs one look-up.
"""

import os
import signal


def fault_point(name: str) -> None:
    """Die here if the environment says so."""
    wanted = os.environ.get("CORPUSMILL_FAULT")
    if wanted is None:
        return
    point, count, counter = wanted.rsplit(":", 2)
    if point != name:
        return
    descriptor = os.open(counter, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(descriptor, b"x")
    reached = os.fstat(descriptor).st_size
    os.close(descriptor)
    if reached == int(count):
        os.kill(os.getpid(), signal.SIGKILL)
