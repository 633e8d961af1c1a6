"""Opened stages, kept for the life of a process: models and word lists are loaded once, not once per unit."""

import pickle
from typing import Any

from corpusmill.pipeline.fingerprint import file_hash
from corpusmill.pipeline.stage import Stage

_WORKERS: dict[tuple[bytes, tuple[str, ...]], Any] = {}


def opened(stage: Stage) -> Any:
    """The stage's worker; stages of equal settings whose files have equal content share one."""
    key = pickle.dumps(stage), tuple(file_hash(path) for path in stage.files())
    if key not in _WORKERS:
        _WORKERS[key] = stage.open()
    return _WORKERS[key]
