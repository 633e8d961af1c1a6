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

from pydantic import ConfigDict, TypeAdapter, ValidationError

T = TypeVar("T")

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
_UNITS |= {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMBGT]|[KMGT]B|[KMGT]iB)")

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


def build_settings(kind: type[T], values: Mapping[str, Any]) -> tuple[T | None, list[SettingProblem]]:
    """An instance of the dataclass, or what is wrong with the values. Strings become Paths, tuples and numbers."""
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    problems: list[SettingProblem] = [
        ((key,), f"no such setting; {nearest(key, fields)}") for key in values if key not in fields
    ]
    known = {key: _with_units(value, hints[key]) for key, value in values.items() if key in fields}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in known:
            problems.append(((name,), "is required"))
    if problems:
        return None, problems
    try:
        checked = {key: adapter(hints[key]).validate_python(value) for key, value in known.items()}
    except ValidationError:
        return None, _validation_problems(known, hints)
    try:
        return kind(**checked), []
    except (ValueError, TypeError) as error:  # the dataclass's own checks, in __post_init__
        return None, [((), str(error))]


def _validation_problems(known: Mapping[str, Any], hints: Mapping[str, Any]) -> list[SettingProblem]:
    problems: list[SettingProblem] = []
    for key, value in known.items():
        try:
            adapter(hints[key]).validate_python(value)
        except ValidationError as error:
            for item in error.errors():
                where = tuple(part for part in item["loc"] if isinstance(part, int) or part.isidentifier())
                problems.append(((key, *where), f"{item['msg']}, got {item['input']!r}"))
    return problems


def adapter(hint: Any) -> TypeAdapter[Any]:
    """Lenient where YAML is ambiguous (a whole number for a float), strict where a typo would hide (bool for int)."""
    if dataclasses.is_dataclass(hint):
        return TypeAdapter(hint)
    return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))


def _with_units(value: Any, hint: Any) -> Any:
    """Quantities where the hint admits a whole number; one value where the hint wants a tuple of them."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
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
