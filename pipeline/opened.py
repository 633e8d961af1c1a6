"""Opened stages, kept for the life of a process: models and word lists are loaded once, not once per unit."""

from typing import Any

from corpusmill.pipeline.fingerprint import hash_json, stage_fingerprint
from corpusmill.pipeline.stage import Stage

_WORKERS: dict[str, Any] = {}
_NAMES: dict[int, tuple[Stage, str]] = {}


def opened(stage: Stage) -> Any:
    """The stage's worker; stages of equal fingerprint share one."""
    known = _NAMES.get(id(stage))
    if known is None or known[0] is not stage:
        known = (stage, hash_json(stage_fingerprint(stage)))
        _NAMES[id(stage)] = known
    name = known[1]
    if name not in _WORKERS:
        _WORKERS[name] = stage.open()
    return _WORKERS[name]
