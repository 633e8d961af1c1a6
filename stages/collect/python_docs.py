"""Reads documentation that every machine with Python has: docstrings of modules and descriptions of packages.

One document per module (`*.py`): its docstrings in the order of the file, each under its qualified name. One
document per package (`METADATA` of a .dist-info folder): the description, which is its README. Files of other
names are read as modules. Docstrings come from the syntax tree, so nothing is imported or run.

A module without docstrings and a package without description are dropped as `python_docs.no_documentation`.
Refused: `malformed_record` (no Python that this interpreter reads), `invalid_utf8`, `record_too_large`.
"""

import ast
import email.parser
import email.policy
import inspect
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from corpusmill.pipeline.document import Batch, RawBatch
from corpusmill.pipeline.stage import InputFile, Kind, ReadContext, Refusal, StageSettings
from corpusmill.stages.collect.fields import to_json
from corpusmill.stages.collect.plain_text import read_content, read_text


@dataclass(frozen=True, kw_only=True)
class PythonDocs(StageSettings):
    """Docstrings and package descriptions; the id is `<file name>#0`."""

    name: ClassVar[str] = "python_docs"
    kind: ClassVar[Kind] = "read"

    min_characters: int = 200  # shorter documentation is dropped as none

    def open(self) -> "PythonDocsReader":
        return PythonDocsReader(self)


class PythonDocsReader:
    def __init__(self, settings: PythonDocs) -> None:
        self.settings = settings

    def read(self, file: InputFile, context: ReadContext) -> Iterator[Batch]:
        is_metadata = PurePosixPath(file.name).name in ("METADATA", "PKG-INFO")
        found = self._description(file, context) if is_metadata else self._docstrings(file, context)
        if found is None:
            return
        text, meta = found
        if len(text) < self.settings.min_characters:
            detail = f"{len(text)} characters of documentation, fewer than {self.settings.min_characters}"
            context.refuse(Refusal(file.name, "0", "python_docs.no_documentation", detail, failed=False))
            return
        batch = RawBatch()
        batch.add(f"{file.name}#0", text, lang="en", meta=to_json(meta))
        yield batch.take()

    def _docstrings(self, file: InputFile, context: ReadContext) -> tuple[str, dict[str, str]] | None:
        content = read_content(file, context)
        if not content:
            return None
        try:
            return module_documentation(content, PurePosixPath(file.name).stem), {"kind": "docstrings"}
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # ast.parse's: the last is its stack
            context.refuse(Refusal(file.name, "0", "malformed_record", f"no Python: {error}"[:200]))
            return None

    def _description(self, file: InputFile, context: ReadContext) -> tuple[str, dict[str, str]] | None:
        text = read_text(file, context)
        if text is None:
            return None
        message = email.parser.Parser(policy=email.policy.compat32).parsestr(text)
        body = message.get_payload()
        description = body if isinstance(body, str) and body.strip() else str(message.get("Description", ""))
        meta = {"kind": "description", "package": str(message.get("Name", ""))}
        license_name = message.get("License-Expression") or message.get("License")
        if license_name is not None:
            meta["license"] = str(license_name)[:200]
        return description.strip(), meta


def module_documentation(source: bytes, module: str) -> str:
    """All docstrings of `source` as one text; raises SyntaxError or ValueError where it is no Python.

    The module's comes first, as it is; then each class's and function's, under its qualified name.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in a string is the author's matter
        tree = ast.parse(source)
    parts = [inspect.cleandoc(ast.get_docstring(tree, clean=False) or "")]
    parts += [f"{name}\n\n{text}" for name, text in _inner(tree, module)]
    text = "\n\n".join(part for part in parts if part)
    return text.encode("utf-8", "replace").decode("utf-8")  # "\ud800" in a docstring is legal Python and no text


def _inner(node: ast.AST, prefix: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            name = f"{prefix}.{child.name}"
            text = ast.get_docstring(child)
            if text:
                yield name, text
            yield from _inner(child, name)
        elif not isinstance(child, ast.expr):  # also what stands under `if` and `try`
            yield from _inner(child, prefix)
