"""Builds a dataclass of settings from a recipe's mapping: typed, validated, with the nearest valid key in errors.

Numbers may be written with a unit where a whole number is expected: `2B` tokens, `20MB`, `64MiB`.
"""

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from corpusmill.pipeline.errors import RequestError

T = TypeVar("T")

_UNITS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
_UNITS |= {"kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kKMBGT]|[kKMGT]B|[KMGT]iB)")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What may name a source, a plan, a sweep: a file name everywhere."""

SettingProblem = tuple[tuple[str | int, ...], str]
"""(key path below the settings, message)."""


def quantity(text: str) -> int | None:
    """`2B`, `1.5M`, `20MB`, `64MiB` as a whole number; None if it is no such text."""
    found = _QUANTITY.fullmatch(text.strip())
    return None if found is None else round(float(found[1]) * _UNITS[found[2]])


def nearest(key: str, valid: Iterable[str]) -> str:
    """`; did you mean 'x'?` or the list of what there is."""
    names = sorted(valid)
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"there is: {', '.join(names)}"


def check_name(what: str, name: str) -> None:
    """Raises RequestError unless `name` can be the name of a file of the run, on every file system."""
    if not NAME.fullmatch(name):
        raise RequestError(f"{what}: {name!r} is no name. Take letters, digits, '-', '_' and '.' only.")


def build_settings(kind: type[T], values: Mapping[str, Any]) -> tuple[T | None, list[SettingProblem]]:
    """An instance of the dataclass, or what is wrong with the values. Strings become Paths, tuples and numbers."""
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    problems: list[SettingProblem] = [
        ((key,), f"no such setting; {nearest(key, fields)}") for key in values if key not in fields
    ]
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            problems.append(((name,), "is required"))
    made: dict[str, Any] = {}
    for key, value in values.items():
        if key in fields:
            made[key], found = _build(value, hints[key])
            problems += [((key, *below), message) for below, message in found]
    if problems:
        return None, problems
    try:
        return kind(**made), []
    except (ValueError, TypeError, RequestError) as error:  # the dataclass's own checks, in __post_init__
        return None, [((), str(error))]


def _build(value: Any, hint: Any) -> tuple[Any, list[SettingProblem]]:
    """The value as the type hint wants it, or what is wrong with it."""
    inner = _dataclass_in(hint)
    if inner is not None and isinstance(value, Mapping) and _mapping_in(hint):
        named, problems = {}, []
        for key, item in value.items():
            named[key], found = _build(item, inner)
            problems += [((key, *below), message) for below, message in found]
        return named, problems
    if inner is not None and isinstance(value, Mapping):
        return build_settings(inner, value)
    if inner is not None and isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        items, problems = [], []
        for index, item in enumerate(value):
            made, found = build_settings(inner, item)
            items.append(made)
            problems += [((index, *below), message) for below, message in found]
        return tuple(items), problems
    options = _options(hint)
    if isinstance(value, bool) and bool not in options and (int in options or float in options):
        return None, [((), f"must be a number, got {str(value).lower()}")]
    try:
        return TypeAdapter(hint).validate_python(_with_units(value, hint)), []
    except ValidationError as error:
        seen: dict[tuple[str | int, ...], str] = {}
        for item in error.errors():  # of a union, the first complaint is about the type meant most
            where = tuple(part for part in item["loc"] if isinstance(part, int))
            seen.setdefault(where, f"{item['msg']}, got {item['input']!r}")
        return None, list(seen.items())


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _dataclass_in(hint: Any) -> type[Any] | None:
    """The dataclass that the hint admits, alone or in a tuple."""
    for option in _options(hint):
        for part in (option, *typing.get_args(option)):
            if isinstance(part, type) and dataclasses.is_dataclass(part):
                return part
    return None


def _mapping_in(hint: Any) -> tuple[Any, ...]:
    """The types of the values of the mapping that the hint admits; empty where it admits none."""
    for option in _options(hint):
        if typing.get_origin(option) in (Mapping, dict):
            return _options(typing.get_args(option)[1])
    return ()


def _with_units(value: Any, hint: Any) -> Any:
    """Quantities where the hint admits a whole number; one value where the hint wants a tuple of them."""
    options = _options(hint)
    if isinstance(value, Mapping) and {int, float} & set(_mapping_in(hint)):
        return {key: _with_units(item, int) for key, item in value.items()}
    if isinstance(value, str):
        if (int in options or float in options) and (number := quantity(value)) is not None:
            return number
        if str not in options and Path not in options and any(typing.get_origin(option) is tuple for option in options):
            return (value,)
    return value


def plain(value: Any) -> Any:
    """Settings as JSON: paths as text, tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
