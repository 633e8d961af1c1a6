"""Outside files: names under their root, units that do not depend on what else is there, files taken by hash."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.inputs import FoundFile, find_files, group_files, take_by_hash
from corpusmill.pipeline.stage import InputFile


def file(name: str, size: int) -> FoundFile:
    return FoundFile(InputFile(f"/x/{name}", name), size, f"{size}-1")


def test_names_are_relative_to_the_fixed_part_of_the_patterns(tmp_path: Path) -> None:
    for name in ("one/a.txt", "one/deep/b.txt", "two/a.txt", "two/[odd].txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    names = [each.file.name for each in find_files([f"{tmp_path}/one/**/*.txt", f"{tmp_path}/two"])]
    assert names == ["one/a.txt", "one/deep/b.txt", "two/[odd].txt", "two/a.txt"]
    assert [each.file.name for each in find_files([f"{tmp_path}/two/a.txt"])] == ["a.txt"]
    assert len(find_files([f"{tmp_path}/two/a.txt", f"{tmp_path}/two/*.txt"])) == 2


def test_nothing_found_names_the_pattern() -> None:
    with pytest.raises(RequestError, match=r"/nowhere/\*.txt: no such file"):
        find_files(["/nowhere/*.txt"])


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=60), st.integers(500, 4000))
def test_every_file_is_in_one_unit_and_one_more_file_leaves_others_alone(sizes: list[int], unit_bytes: int) -> None:
    files = [file(f"f{i:03d}", size) for i, size in enumerate(sizes)]
    groups = group_files("s", files, unit_bytes)
    assert [each for group in groups for each in group.files] == files
    assert len({group.name for group in groups}) == len(groups)
    more = sorted([*files, file("f010x", 700)], key=lambda each: each.file.name)
    changed = {group.name for group in group_files("s", more, unit_bytes)} - {group.name for group in groups}
    # the group that the file falls into, and the ones that a full group pushes on until the next cut by hash
    assert len(changed) <= 3 + sum(sizes) // (4 * unit_bytes)


def test_files_are_taken_in_order_of_the_hash_of_their_name() -> None:
    files = [file(f"f{i}", 10) for i in range(100)]
    taken = take_by_hash(files, 300)
    assert len(taken) == 30
    assert taken != files[:30]
    again = take_by_hash([*files, file("late", 10)], 300)
    assert len(set(taken) & set(again)) >= 29


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "文件.jsonl").write_text("{}")
    assert [file.file.name for file in find_files([str(tmp_path)])] == ["文件.jsonl"]
    (tmp_path / os.fsdecode(b"caf\xe9.jsonl")).write_text("{}")
    with pytest.raises(RequestError, match=r"caf\\xe9\.jsonl': the name of this file is not UTF-8"):
        find_files([str(tmp_path)])
