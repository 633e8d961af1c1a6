"""Files of a run that nothing names: left by attempts that were killed, or by settings that have changed."""

from collections.abc import Iterator

from corpusmill.pipeline.receipts import read_receipt, receipt_path
from corpusmill.pipeline.run_folder import RunFolder

KEPT_FILES = ("recipe.yaml", "resolved.yaml", "environment.json", "phases.json", "report.html", "report.json")
KEPT_FOLDERS = ("plans/", "sweeps/", "trains/", "exports/", "logs/")


def named_files(run: RunFolder) -> set[str]:
    """Receipts of planned units, and every file that one of them names."""
    named: set[str] = set(KEPT_FILES)
    for entry in run.read_json("phases.json") or []:
        for unit in entry["units"] or []:
            receipt = read_receipt(run, entry["name"], unit)
            if receipt is not None:
                named.add(receipt_path(entry["name"], unit))
                named.update(output.path for output in receipt.outputs)
    return named


def orphans(run: RunFolder) -> Iterator[str]:
    """Every file of the run folder that no receipt names, sorted."""
    named = named_files(run)
    for name in run.names():
        if name not in named and not name.startswith(KEPT_FOLDERS):
            yield name


def clean(run: RunFolder) -> tuple[int, int]:
    """Remove orphans; (files, bytes) removed. Do not run it beside a build of the same run."""
    num_files = num_bytes = 0
    for name in list(orphans(run)):
        num_bytes += run.size(name) or 0
        run.remove(name)
        num_files += 1
    return num_files, num_bytes
