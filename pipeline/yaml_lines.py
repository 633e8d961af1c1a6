"""YAML 1.2 with line numbers: `no` is Norwegian, `1e-3` a number, and a repeated key an error.

PyYAML reads YAML 1.1; here its nodes are given the scalars of the YAML 1.2 core schema (section 10.3.2).
"""

import re
from typing import Any

import yaml

from corpusmill.pipeline.errors import Problem, RecipeError

KeyPath = tuple[str | int, ...]

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")


def load_yaml(text: str, file: str) -> tuple[Any, dict[KeyPath, int]]:
    """The document and the line (from 1) of every key and item; raises RecipeError on bad YAML."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise RecipeError([Problem(file, line, "", f"not YAML: {error.problem}")]) from error
    lines: dict[KeyPath, int] = {(): 1}
    problems: list[Problem] = []
    value = None if node is None else _build(node, (), lines, problems, file)
    if problems:
        raise RecipeError(problems)
    return value, lines


def _build(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], problems: list[Problem], file: str) -> Any:
    if isinstance(node, yaml.MappingNode):
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            place: KeyPath = (*path, key)
            line = key_node.start_mark.line + 1
            if key in made:
                problems.append(Problem(file, line, dotted(place), f"given twice (first in line {lines[place]})"))
            lines[place] = line
            made[key] = _build(value_node, place, lines, problems, file)
        return made
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, child in enumerate(node.value):
            lines[(*path, index)] = child.start_mark.line + 1
            items.append(_build(child, (*path, index), lines, problems, file))
        return items
    assert isinstance(node, yaml.ScalarNode)
    return scalar(node.value) if not node.style else node.value


def scalar(text: str) -> Any:
    """A plain scalar by the YAML 1.2 core schema."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text[0] in "tT"
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if infinite := _INFINITE.fullmatch(text):
        return float(infinite[1] + "inf")
    return text


def dotted(path: KeyPath) -> str:
    return ".".join(str(part) for part in path)
