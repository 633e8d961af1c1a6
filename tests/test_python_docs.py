"""Documentation of Python files and packages."""

import importlib.metadata
import json
import textwrap
from pathlib import Path

import pytest
from reading import read_bytes, read_file, reasons

from corpusmill.stages.collect.python_docs import PythonDocs, module_documentation

MODULE = b'''
"""What the module does."""
import os

class Box:
    """Holds things.

    In order.
    """

    def put(self):
        """Puts."""
        def inner():
            """Inner."""
        return inner

    def silent(self): ...

if os.name:
    async def wait():
        """Waits."""
'''


def test_docstrings_in_order_under_their_names() -> None:
    assert module_documentation(MODULE, "boxes") == textwrap.dedent("""\
        What the module does.

        boxes.Box

        Holds things.

        In order.

        boxes.Box.put

        Puts.

        boxes.Box.put.inner

        Inner.

        boxes.wait

        Waits.""")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"def (:", "malformed_record"),
        (b"x = '\xff'", "malformed_record"),
        (b"x = 1\0", "malformed_record"),
        (b"x = " + b"(" * 3000 + b")" * 3000, "malformed_record"),
        (b"x = 1", "python_docs.no_documentation"),
        (b'"""Short."""', "python_docs.no_documentation"),
        (b'"""' + b"x" * (1 << 20) + b'"""', "record_too_large"),
    ],
)
def test_module_that_is_no_document(content: bytes, reason: str, tmp_path: Path) -> None:
    rows, refusals = read_bytes(PythonDocs(), content, tmp_path, "a.py")
    assert rows == []
    assert reasons(refusals) == [("0", reason)]


def test_invalid_escape_and_surrogate_are_the_authors_matter(tmp_path: Path) -> None:
    content = rb'''"""%s \d \ud800"""''' % (b"word " * 50)
    rows, refusals = read_bytes(PythonDocs(), content, tmp_path, "a.py")
    assert refusals == []
    assert "\\d" in rows[0]["text"]


@pytest.mark.parametrize(("num_characters", "kept"), [(199, 0), (200, 1)])
def test_shortest_documentation(num_characters: int, kept: int, tmp_path: Path) -> None:
    rows, _ = read_bytes(PythonDocs(), b'"""' + b"x" * num_characters + b'"""', tmp_path, "a.py")
    assert len(rows) == kept


def test_description_of_a_real_package() -> None:
    distribution = importlib.metadata.distribution("click")
    path = next(Path(str(file.locate())) for file in distribution.files or [] if file.name == "METADATA")
    rows, refusals = read_file(PythonDocs(), path, name="click.dist-info/METADATA")
    assert refusals == []
    assert rows[0]["id"] == "click.dist-info/METADATA#0"
    assert rows[0]["text"] == distribution.metadata.get_payload().strip()  # type: ignore[attr-defined]  # a Message
    assert json.loads(rows[0]["meta"])["package"] == "click"


def test_whole_standard_library_folder_reads() -> None:
    num_documents = 0
    for path in sorted(Path(textwrap.__file__).parent.glob("*.py"))[:60]:
        rows, refusals = read_file(PythonDocs(), path)
        assert len(rows) + len(refusals) == 1
        num_documents += len(rows)
    assert num_documents > 40
