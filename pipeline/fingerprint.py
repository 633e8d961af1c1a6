"""Keys: hashes of settings, code, files and library versions.

Code counts by its syntax trees without docstrings, so comments, docstrings and formatting change nothing. The code
of a stage is its module and every module of corpusmill, or of its own package, that it imports, directly or not, also
inside functions.
"""

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from corpusmill.pipeline.stage import Stage, measure_settings

PACKAGE = "corpusmill"


def hash_json(value: object) -> str:
    """128-bit hash of a JSON value; order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=as_plain)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def as_plain(value: Any) -> Any:
    """What JSON does not know: dataclasses, tuples in sets, paths (by name only: their content is hashed apart)."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return value.name
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"cannot hash {value!r}")


def stage_fingerprint(stage: Stage) -> dict[str, Any]:
    """All that a stage's measures and changes depend on: thresholds are left out."""
    return {
        "stage": stage.name,
        "settings": measure_settings(stage),
        "files": [[path.name, file_hash(path)] for path in stage.files()],
        "code": code_hash(type(stage).__module__),
        "versions": versions(stage.depends),
    }


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """The installed version of each distribution."""
    return {name: metadata.version(name) for name in distributions}


@cache
def code_hash(*modules: str) -> str:
    """Hash of the modules' code and of every module of corpusmill, or of their own packages, that they import."""
    digest = hashlib.blake2b(digest_size=16)
    for module in sorted(closure(modules)):
        digest.update(f"{module}\0{_module_code(module)[0]}\0".encode())
    return digest.hexdigest()


def closure(modules: Iterable[str]) -> set[str]:
    """The modules and all of corpusmill and of their own packages reached by their imports."""
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += _module_code(module)[1]
    return seen


@cache
def _module_code(module: str) -> tuple[str, tuple[str, ...]]:
    """(hash of the syntax tree without docstrings, the modules of corpusmill and of its own package imported)."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(module)
    tree = ast.parse(Path(spec.origin).read_bytes())
    imported: set[str] = set()
    packages = {PACKAGE, module.partition(".")[0]}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in packages:
            imported.add(node.module)
            imported.update(name for a in node.names if _is_module(name := f"{node.module}.{a.name}"))
        elif isinstance(node, ast.Import):
            imported.update(a.name for a in node.names if a.name.split(".")[0] in packages)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body[0] = ast.Expr(ast.Constant(None))
    code = hashlib.blake2b(ast.dump(tree).encode(), digest_size=16).hexdigest()
    return code, tuple(sorted(imported))


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@cache
def _hash_of_file(path: str, size: int, modified: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def file_hash(path: Path) -> str:
    """Content hash of a model or list; read once per process while its size and time stay."""
    status = path.stat()
    return _hash_of_file(str(path), status.st_size, status.st_mtime_ns)
