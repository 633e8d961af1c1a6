"""A recipe: sources, stages and settings of one run, read from YAML or built in Python, checked as a whole.

    format: 1
    name: web-and-books
    sources:                                   # the key is the source
      web: {read: warc, paths: ["${data}/*.warc.gz"], extract: resiliparse}
    stages:                                    # in order; a name, or a name with settings
      - normalize
      - language: {keep: [en, zh], early: true}
    tokenizer: {train: sentencepiece-bpe, vocab_size: 32000}

Every error names the line, the key and the nearest valid key; all are reported at once.
"""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from corpusmill.pipeline.errors import Problem, RecipeError, RequestError
from corpusmill.pipeline.overrides import apply_override
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.settings import NAME, SettingProblem, build_settings, nearest
from corpusmill.pipeline.stage import Stage, measure_settings
from corpusmill.pipeline.stage_entry import StageEntry
from corpusmill.pipeline.yaml_lines import KeyPath, dotted, load_yaml

FORMAT = 1


class Catalog(Protocol):
    """What a recipe may name: the table of stages, and the types of the sections behind them."""

    def stage(self, name: str) -> type[Stage]:
        """The class of a stage; KeyError for an unknown name."""

    def stage_names(self, kinds: tuple[str, ...]) -> list[str]:
        """The names of the stages of these kinds."""

    def section(self, name: str) -> type["Section"]:
        """The dataclass of `tokenizer`, `tokens`, `mixture`, `sweep` or `choose`."""


class Section(Protocol):
    """The settings of a section behind the stages."""

    def problems(self, sources: Collection[str], columns: Collection[str]) -> list[tuple[str, str]]:
        """What does not fit the rest of the recipe, its sources and measured columns: (key below it, message)."""


@dataclass(frozen=True)
class Source:
    """One source: its reader and where its files are."""

    name: str
    reader: Stage
    paths: tuple[str, ...]
    extractor: Stage | None = None
    max_bytes: int | None = None  # files in order of the hash of their name, as many as fit
    line: int = field(default=0, compare=False)  # of the recipe file, 0 where there is none


@dataclass(frozen=True)
class Recipe:
    """A checked recipe."""

    name: str
    sources: tuple[Source, ...]
    entries: tuple[StageEntry, ...] = ()
    seed: int = 0
    on_bad_record: str = "skip"
    max_document_bytes: int = 16 << 20
    unit_bytes: int = 64 << 20
    gather_memory: int = 512 << 20
    keep_dropped_text: str = "sample"
    reuse: tuple[str, ...] = ()
    sections: Mapping[str, Any] = field(default_factory=dict)  # tokenizer, tokens, mixture, sweep, choose
    section_lines: Mapping[str, int] = field(default_factory=dict, compare=False)
    tree: Mapping[str, Any] = field(default_factory=dict)  # as written, variables by name

    @classmethod
    def load(cls, path: Path, catalog: Catalog, overrides: tuple[str, ...] = ()) -> "Recipe":
        """Read a recipe file; `overrides` are `key.path=value`. Raises RecipeError with every problem."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError([Problem(str(path), 0, "", f"cannot be read: {error}")]) from error
        return cls.parse(text, str(path), catalog, overrides)

    @classmethod
    def of_run(cls, run: RunFolder, catalog: Catalog, overrides: tuple[str, ...] = ()) -> "Recipe":
        """The recipe that a run was built from. Nothing that it reads is opened again, so variables may be unset."""
        text = run.read_bytes("resolved.yaml").decode()
        return cls.parse(text, f"{run.url}/resolved.yaml", catalog, overrides, built=True)

    @classmethod
    def parse(
        cls, text: str, file: str, catalog: Catalog, overrides: tuple[str, ...] = (), *, built: bool = False
    ) -> "Recipe":
        """The recipe in a text; `file` is its name in errors. Of one that is built, unset variables stay as written."""
        tree, lines = load_yaml(text, file)
        for override in overrides:
            apply_override(tree, override, file)
        return _Reader(file, lines, catalog, built).recipe(tree)

    @classmethod
    def build(cls, tree: Mapping[str, Any], catalog: Catalog) -> "Recipe":
        """A recipe from Python values of the same shape as the YAML."""
        return _Reader("recipe", {}, catalog).recipe(dict(tree))


SECTIONS = ("tokenizer", "tokens", "mixture", "sweep", "choose")
_SOURCE_KEYS = ("read", "paths", "extract", "max_bytes")
_ENTRY_KEYS = ("as", "only", "early")
_VARIANT_KEYS = ("per_source", "per_language")


class _Reader:
    """Turns the tree of a recipe into typed values and collects problems on the way."""

    def __init__(self, file: str, lines: dict[KeyPath, int], catalog: Catalog, built: bool = False) -> None:
        self.file, self.lines, self.catalog, self.built = file, lines, catalog, built
        self.problems: list[Problem] = []
        self.variables: dict[str, str] = {}

    def problem(self, path: KeyPath, message: str) -> None:
        known = next((self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), 0)
        self.problems.append(Problem(self.file, known, dotted(path), message))

    def recipe(self, tree: Any) -> Recipe:
        if not isinstance(tree, dict):
            raise RecipeError([Problem(self.file, 1, "", "a recipe is a mapping; it begins with `format: 1`")])
        if tree.get("format") != FORMAT:
            self.problem(("format",), f"must be {FORMAT}, got {tree.get('format')!r}")
        self._variables(tree.get("variables") or {})
        top = {name: tree[name] for name in _TopLevel.__dataclass_fields__ if name in tree}
        settings, problems = build_settings(_TopLevel, self._filled(top, ()))
        self._report((), problems)
        known = (*_TopLevel.__dataclass_fields__, *SECTIONS, "format", "variables", "sources", "stages")
        for key in tree:
            if key not in known:
                self.problem((key,), f"no such key; {nearest(key, known)}")
        sources = self._sources(tree.get("sources"))
        entries = self._entries(tree.get("stages") or [], {source.name for source in sources})
        sections = {name: self._section(name, tree[name]) for name in SECTIONS if tree.get(name) is not None}
        if self.problems:
            raise RecipeError(self.problems)
        assert settings is not None
        return Recipe(
            sources=sources,
            entries=entries,
            sections=sections,
            section_lines={name: self.lines.get((name,), 0) for name in sections},
            tree=tree,
            **{name: getattr(settings, name) for name in _TopLevel.__dataclass_fields__},
        )

    def _report(self, path: KeyPath, problems: list[SettingProblem]) -> None:
        for below, message in problems:
            self.problem((*path, *below), message)

    def _variables(self, variables: Any) -> None:
        if not isinstance(variables, dict):
            self.problem(("variables",), "must be a mapping of name to text")
            return
        for name, value in variables.items():
            self.variables[name] = str(self._filled(value, ("variables", name)))

    def _filled(self, value: Any, path: KeyPath) -> Any:
        """The value with `${NAME}` replaced, in every text below it."""
        if isinstance(value, str):
            return re.sub(r"\$\{([^}]*)\}", lambda found: self._variable(found[1], path), value)
        if isinstance(value, dict):
            return {key: self._filled(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item, (*path, index)) for index, item in enumerate(value)]
        return value

    def _variable(self, name: str, path: KeyPath) -> str:
        if name in self.variables:
            return self.variables[name]
        if name in os.environ:
            return os.environ[name]
        if not self.built:
            self.problem(path, f"${{{name}}} is neither a variable of the recipe nor of the environment")
        return f"${{{name}}}"

    def _sources(self, tree: Any) -> tuple[Source, ...]:
        if not isinstance(tree, dict) or not tree:
            self.problem(("sources",), "a recipe needs at least one source")
            return ()
        made = []
        for name, value in tree.items():
            path = ("sources", name)
            if not NAME.fullmatch(name):
                self.problem(path, "a source's name has letters, digits, '-', '_' and '.' only")
            if not isinstance(value, dict):
                self.problem(path, "must be a mapping with `read` and `paths`")
                continue
            source = self._source(name, self._filled(value, path), path)
            if source is not None:
                made.append(source)
        return tuple(made)

    def _source(self, name: str, value: dict[str, Any], path: KeyPath) -> Source | None:
        settings = {key: item for key, item in value.items() if key not in _SOURCE_KEYS}
        reader = self._stage(value.get("read"), settings, (*path, "read"), ("read",), path)
        extract = value.get("extract")
        extractor = None
        if extract is not None:
            inner = extract if isinstance(extract, dict) else {extract: {}}
            (label, extract_settings), *_ = inner.items()
            extractor = self._stage(label, extract_settings or {}, (*path, "extract"), ("extract",), (*path, "extract"))
        place, problems = build_settings(
            _SourcePlace, {key: value[key] for key in ("paths", "max_bytes") if key in value}
        )
        self._report(path, problems)
        if reader is None or place is None:
            return None
        return Source(name, reader, place.paths, extractor, place.max_bytes, self.lines.get(path, 0))

    def _stage(self, name: Any, settings: Any, path: KeyPath, kinds: tuple[str, ...], below: KeyPath) -> Stage | None:
        """An instance of a stage; `path` is where its name stands, `below` where its settings do."""
        kind = self._stage_class(str(name), path, kinds)
        if kind is None:
            return None
        if not isinstance(settings, dict):
            self.problem(below, "settings must be a mapping")
            return None
        made, problems = build_settings(kind, settings)
        self._report(below, problems)
        return made

    def _stage_class(self, name: str, path: KeyPath, kinds: tuple[str, ...]) -> type[Stage] | None:
        """The class by its short name, or by its place, `my_package.shouting:Shouting`."""
        wanted = " or ".join(kinds)
        if ":" not in name:
            names = self.catalog.stage_names(kinds)
            if name in names:
                return self.catalog.stage(name)
            self.problem(path, f"no such {wanted} stage: {name!r}; {nearest(name, names)}")
            return None
        try:
            found = self.catalog.stage(name)
        except (ImportError, AttributeError, ValueError) as error:
            self.problem(path, f"{name!r}: {error}. Install its package, or put its folder on PYTHONPATH.")
            return None
        if getattr(found, "kind", None) not in kinds:
            self.problem(path, f"{name!r} is no {wanted} stage: its `kind` is {getattr(found, 'kind', None)!r}")
            return None
        return found

    def _entries(self, tree: Any, sources: set[str]) -> tuple[StageEntry, ...]:
        if not isinstance(tree, list):
            self.problem(("stages",), "must be a list")
            return ()
        made: list[StageEntry] = []
        for index, item in enumerate(tree):
            entry = self._entry(item, ("stages", index), sources)
            if entry is None:
                continue
            if any(entry.label == other.label and entry.label != "drop" for other in made):
                self.problem(("stages", index), f"a second '{entry.label}': name one of them with `as:`")
            made.append(entry)
        return tuple(made)

    def _entry(self, item: Any, path: KeyPath, sources: set[str]) -> StageEntry | None:
        if isinstance(item, str):
            item = {item: {}}
        if not isinstance(item, dict) or len(item) != 1:
            self.problem(path, "a stage is a name, or one name with its settings")
            return None
        ((name, value),) = item.items()
        place = (*path, name)
        value = self._filled({} if value is None else value, place)
        name, at, dialect = str(name).partition("@")  # gopher@dolma is gopher: {dialect: dolma}
        if at and isinstance(value, dict):
            value = {"dialect": dialect} | value
        if name == "drop" and isinstance(value, str):
            value = {"when": value}
        if not isinstance(value, dict):
            self.problem(place, "settings must be a mapping")
            return None
        kinds = ("expand", "change", "measure", "gather", "datatrove")
        own = {key: value[key] for key in _ENTRY_KEYS if key in value}
        settings = {key: item for key, item in value.items() if key not in (*_ENTRY_KEYS, *_VARIANT_KEYS)}
        if name == "drop" and "as" in own:
            settings["rule"] = own["as"]
        stage = self._stage(name, settings, place, kinds, place)
        choices, problems = build_settings(_EntryChoices, {_PYTHON_NAME.get(k, k): v for k, v in own.items()})
        self._report(place, problems)
        if stage is None or choices is None:
            return None
        for source in choices.only:
            if source not in sources:
                self.problem((*place, "only"), f"no such source: {source!r}; {nearest(source, sources)}")
        variants = {key: self._variants(stage, settings, value.get(key) or {}, (*place, key)) for key in _VARIANT_KEYS}
        for source, _ in variants["per_source"]:
            if source not in sources:
                self.problem((*place, "per_source"), f"no such source: {source!r}; {nearest(source, sources)}")
        line = self.lines.get(place, self.lines.get(path, 0))
        entry = StageEntry(
            stage,
            choices.label or (stage.name if ":" in name else name),
            choices.only,
            choices.early,
            **variants,
            line=line,
        )
        try:
            entry.rules("")
        except RequestError as error:
            self.problem((*place, "per_language"), str(error))
        return entry

    def _variants(
        self, stage: Stage, settings: dict[str, Any], wanted: Any, path: KeyPath
    ) -> tuple[tuple[str, Stage], ...]:
        """The stage with other thresholds, for each source or language that has some."""
        if not isinstance(wanted, dict) or not all(isinstance(item, dict) for item in wanted.values()):
            self.problem(path, "must be a mapping of names to thresholds, such as {zh: {min_words: 30}}")
            return ()
        rest = measure_settings(stage)
        made = []
        for name, changes in wanted.items():
            for key in changes:
                if key in rest:
                    message = f"'{key}' changes what is measured: only thresholds may differ here. "
                    self.problem((*path, name, key), message + "Use a second stage with `only:` and `as:`")
            variant, problems = build_settings(type(stage), settings | changes)
            self._report((*path, name), problems)
            if variant is not None:
                made.append((str(name), variant))
        return tuple(made)

    def _section(self, name: str, value: Any) -> Any:
        value = self._filled(value, (name,))
        if not isinstance(value, dict):
            self.problem((name,), "must be a mapping")
            return None
        made, problems = build_settings(self.catalog.section(name), value)
        self._report((name,), problems)
        return made


_PYTHON_NAME = {"as": "label"}


@dataclass(frozen=True)
class _TopLevel:
    name: str
    seed: int = 0
    on_bad_record: str = "skip"
    max_document_bytes: int = 16 << 20
    unit_bytes: int = 64 << 20
    gather_memory: int = 512 << 20
    keep_dropped_text: str = "sample"
    reuse: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.on_bad_record not in ("skip", "stop"):
            raise ValueError(f"on_bad_record is skip or stop, not {self.on_bad_record!r}")
        if self.keep_dropped_text not in ("all", "sample", "none"):
            raise ValueError(f"keep_dropped_text is all, sample or none, not {self.keep_dropped_text!r}")


@dataclass(frozen=True)
class _SourcePlace:
    paths: tuple[str, ...]
    max_bytes: int | None = None


@dataclass(frozen=True)
class _EntryChoices:
    label: str = ""
    only: tuple[str, ...] = ()
    early: bool = False
