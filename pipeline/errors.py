"""What a user can meet as an error.

    CorpusmillError             exit 1: the work failed
    ├── RequestError            exit 2: the request was wrong; nothing was started
    │   ├── RecipeError         a recipe's key or value, with file and line
    │   └── MissingExtraError   an optional library is not installed; names the command
    ├── BadRecordError          a record is bad and the recipe says stop
    ├── OtherFormatError        a run that another version of corpusmill wrote
    └── DamagedFileError        a file of ours is missing, or is not what its receipt says

A message names the place, the value and the way out, in that order.
"""

from dataclasses import dataclass


class CorpusmillError(Exception):
    """The work failed."""

    exit_code = 1


class RequestError(CorpusmillError):
    """The request was wrong; nothing was started."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a recipe: `line` counts from 1, 0 where there is none; `key` is dotted."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class RecipeError(RequestError):
    """A recipe does not say what can be done; carries every problem found, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class MissingExtraError(RequestError):
    """An optional library is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}': pip install 'corpusmill[{extra}]'")


class BadRecordError(CorpusmillError):
    """A record is bad and the recipe says `on_bad_record: stop`."""


class OtherFormatError(CorpusmillError):
    """A run that another version of corpusmill wrote."""


class DamagedFileError(CorpusmillError):
    """A file of ours is missing, or is not what its receipt says."""
