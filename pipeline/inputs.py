"""Outside files: found by patterns, named under their input root, and cut into work units.

A unit is one large file or a group of small ones, always of one source. Groups are cut by the hash of a file's name,
so that one more file changes only the group it falls into; no cut depends on the number of workers.
"""

import glob
import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import fsspec

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import InputFile

UNIT_BYTES = 64 << 20


@dataclass(frozen=True)
class FoundFile:
    """An input file with its size and what tells one version of it from another."""

    file: InputFile
    num_bytes: int
    identity: str  # size and modification time, or etag; never the absolute path


@dataclass(frozen=True)
class FileGroup:
    """The files of one unit, in order of name."""

    name: str  # <source>-<40-bit hash of the source and the file names>
    files: tuple[FoundFile, ...]

    @property
    def num_bytes(self) -> int:
        return sum(file.num_bytes for file in self.files)


def find_files(patterns: Sequence[str]) -> list[FoundFile]:
    """The files that glob patterns, folders (all files below) or paths name, sorted by name, each once.

    Names are relative to the deepest folder that contains the fixed part of every pattern, so they, and with them
    ids and keys, stay when the whole input folder moves. A pattern that finds nothing raises RequestError.
    """
    found: dict[str, FoundFile] = {}
    roots = []
    for pattern in patterns:
        filesystem, path = fsspec.core.url_to_fs(os.path.expanduser(pattern))
        local = "file" in filesystem.protocol
        roots.append(_fixed_folder(filesystem, path))
        matches = dict(_local_matches(path) if local else _remote_matches(filesystem, path))
        if not matches:
            raise RequestError(f"{pattern}: no such file. Check the path, or the variable that it uses.")
        for match, (size, identity) in matches.items():
            if not match.isascii():
                _check_name(match)
            address = match if local else filesystem.unstrip_protocol(match)
            found[match] = FoundFile(InputFile(address, match), size, identity)
    root = posixpath.commonpath(roots) if roots else ""
    start = len(root.rstrip("/")) + 1 if root else 0
    named = [
        FoundFile(InputFile(each.file.path, name[start:]), each.num_bytes, each.identity)
        for name, each in found.items()
    ]
    return sorted(named, key=lambda each: each.file.name)


def _check_name(path: str) -> None:
    """Raises RequestError for a name that is no UTF-8: ids and keys are made of names."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise RequestError(f"{os.fsencode(path)!r}: the name of this file is not UTF-8. Rename it.") from None


Match = tuple[str, tuple[int, str]]
"""A path with its size and identity."""


def _local_matches(path: str) -> Iterator[Match]:
    """Files on this machine that a pattern, folder or path names. os.scandir and one stat per file: a Python
    installation of 60,000 files takes a second, with fsspec's glob and isdir 17."""
    for name in glob.iglob(path, recursive=True) if glob.has_magic(path) else [path]:
        try:
            status = os.stat(name)
        except FileNotFoundError:
            continue  # a path that is not there, or a broken link
        if stat.S_ISDIR(status.st_mode):
            if "**" not in path:
                yield from _local_matches(f"{glob.escape(name)}/**/*")
        elif stat.S_ISREG(status.st_mode):
            yield name, (status.st_size, f"{status.st_size}-{status.st_mtime_ns}")


def _remote_matches(filesystem: Any, path: str) -> Iterator[Match]:
    """Objects of a store that a pattern, folder or path names."""
    names = filesystem.glob(path) if glob.has_magic(path) else [path] if filesystem.exists(path) else []
    for name in names:
        for file, info in filesystem.find(name, detail=True).items():
            keys = ("ETag", "etag", "md5Hash", "LastModified", "mtime")
            version = next((str(info[key]) for key in keys if key in info), "")
            yield file, (int(info["size"]), f"{info['size']}-{version}")


def _fixed_folder(filesystem: Any, path: str) -> str:
    """The folder part of a pattern before its first wildcard."""
    parts = path.split("/")
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    folder = "/".join(parts[:fixed]) or "/"
    return folder if fixed < len(parts) or filesystem.isdir(folder) else posixpath.dirname(folder)


def name_hash(*parts: str) -> int:
    """64-bit hash of names, the same on every machine."""
    return int.from_bytes(hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest(), "big")


def take_by_hash(files: Sequence[FoundFile], max_bytes: int) -> list[FoundFile]:
    """Files in order of the hash of their name as long as they fit into `max_bytes`; returned in order of name."""
    taken, total = [], 0
    for file in sorted(files, key=lambda each: (name_hash(each.file.name), each.file.name)):
        if total + file.num_bytes <= max_bytes:
            taken.append(file)
            total += file.num_bytes
    return sorted(taken, key=lambda each: each.file.name)


def group_files(source: str, files: Sequence[FoundFile], unit_bytes: int = UNIT_BYTES) -> list[FileGroup]:
    """Cut sorted files into units of about `unit_bytes`; a larger file is a unit of its own."""
    groups: list[FileGroup] = []
    waiting: list[FoundFile] = []

    def close() -> None:
        if waiting:
            number = name_hash(source, *(each.file.name for each in waiting)) >> 24
            groups.append(FileGroup(f"{source}-{number:010x}", tuple(waiting)))
            waiting.clear()

    for file in files:
        if file.num_bytes >= unit_bytes or sum(each.num_bytes for each in waiting) + file.num_bytes > 4 * unit_bytes:
            close()
        waiting.append(file)
        if name_hash("cut", file.file.name) < file.num_bytes / unit_bytes * 2**64:
            close()
    close()
    return groups


def open_input(file: InputFile) -> BinaryIO:
    """An outside file's raw bytes, buffered."""
    if "://" not in file.path:
        return open(file.path, "rb")
    return cast("BinaryIO", fsspec.open(file.path, "rb").open())
