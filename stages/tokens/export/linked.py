"""Taking files of a run into an export: links where the disk has them, copies elsewhere."""

import os
import posixpath

from corpusmill.pipeline.run_folder import READ_BYTES, RunFolder


def link_file(run: RunFolder, name: str, out: RunFolder, to: str) -> str:
    """Put the run's file `name` into `out` as `to`; gives `to`. A link shares the bytes: never write to it."""
    out.remove(to)
    if run.local is not None and out.local is not None:
        os.makedirs(posixpath.dirname(out.path(to)), exist_ok=True)
        try:
            os.link(run.path(name), out.path(to))
            return to
        except OSError:
            pass  # another disk, or one without links: copy below
    with run.open(name) as source, out.create(to) as target:
        while block := source.read(READ_BYTES):
            target.write(block)
    return to
