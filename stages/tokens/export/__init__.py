"""Exports of a finished run: its kept text, or its token shards in the layouts of other programs."""

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.run_folder import RunFolder


def export_run(run: RunFolder, form: str, out: str) -> list[str]:
    """Write the run to folder `out` in a format of FORMATS; gives the files written, sorted, relative to `out`."""
    from corpusmill.stages.tokens.export.formats import FORMATS

    if form not in FORMATS:
        raise RequestError(f"--to {form}: no such format. There is: {', '.join(sorted(FORMATS))}.")
    return sorted(FORMATS[form](run, RunFolder(out)))
