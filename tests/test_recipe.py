"""Recipes: typed values, every problem at once with its line, variables, overrides, entries with names of their own."""

from pathlib import Path

import pyarrow as pa
import pytest

from corpusmill.pipeline.build import plan_phases
from corpusmill.pipeline.check import check_recipe
from corpusmill.pipeline.errors import RecipeError
from corpusmill.pipeline.recipe import Recipe
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.stage import Rule
from corpusmill.stages.names import StageTable, token_phases

GOOD = """\
format: 1
name: good
seed: 7
variables: {data: DATA}
unit_bytes: 2MiB
sources:
  web: {read: jsonl, paths: ["${data}/*.jsonl"], text: body, max_bytes: 20MB}
stages:
  - normalize
  - language: {keep: [en, no], min_score: 1e-1, early: true}
  - language: {as: second, only: [web]}
  - drop: {when: "second_score < 0.5 and lang = 'en'", as: unsure}
  - exact
tokenizer: {train: sentencepiece-bpe, vocab_size: 2K}
"""


def load(tmp_path: Path, text: str, *overrides: str) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(text.replace("DATA", str(tmp_path / "in")))
    return Recipe.load(path, StageTable(), overrides)


def test_values_are_typed(tmp_path: Path) -> None:
    recipe = load(tmp_path, GOOD)
    assert (recipe.name, recipe.seed, recipe.unit_bytes) == ("good", 7, 2 << 20)
    (web,) = recipe.sources
    assert web.paths == (f"{tmp_path}/in/*.jsonl",)
    assert web.max_bytes == 20_000_000
    assert getattr(web.reader, "text") == "body"  # noqa: B009  # the protocol does not know the field
    early, second = recipe.entries[1], recipe.entries[2]
    assert early.early
    assert getattr(early.stage, "keep") == ("en", "no")  # noqa: B009  # YAML 1.2: `no` is Norwegian
    assert second.label == "second"
    assert {"lang": pa.string(), "second_score": pa.float32()}.items() <= second.adds().items()
    assert recipe.entries[3].rules("web")[0].name == "unsure"
    assert recipe.sections["tokenizer"].vocab_size == 2000


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format: 1", "format: 2", "recipe.yaml:1: format: must be 1, got 2"),
        ("seed: 7", "sead: 7", "recipe.yaml:3: sead: no such key; did you mean 'seed'?"),
        ("seed: 7", "seed: true", "recipe.yaml:3: seed: "),
        ("read: jsonl", "read: jsonlines", "recipe.yaml:7: sources.web.read: .*did you mean 'jsonl'?"),
        ("text: body", "txet: body", "recipe.yaml:7: sources.web.txet: no such setting; did you mean 'text'?"),
        ("- normalize", "- normalise", "recipe.yaml:9: stages.0.normalise: .*did you mean 'normalize'?"),
        ("min_score: 1e-1", "min_score: high", "recipe.yaml:10: stages.1.language.min_score: "),
        ("only: [web]", "only: [books]", "recipe.yaml:11: .*no such source: 'books'; there is: web"),
        ("as: second", "early: false", "recipe.yaml:11: stages.2: a second 'language'"),
        ("${data}", "${dtaa}", "recipe.yaml:7: sources.web.paths.0: "),
        ("vocab_size: 2K", "vocab_size: many", "recipe.yaml:14: tokenizer.vocab_size: "),
    ],
)
def test_mistakes_name_line_key_and_way_out(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message.replace("?", r"\?")):
        load(tmp_path, GOOD.replace(old, new, 1))


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, GOOD.replace("seed: 7", "sead: 7").replace("- normalize", "- normalise"))
    assert len(caught.value.problems) == 2


def test_check_refuses_columns_that_nothing_measures_and_inputs_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    recipe = load(tmp_path, GOOD)
    phases, problems = check_recipe(recipe, "recipe.yaml", plan_phases(recipe, token_phases))
    assert [(problem.key, problem.line) for problem in problems] == [("sources.web.paths", 7)]
    assert "no such file" in problems[0].message
    (tmp_path / "in" / "x.jsonl").write_text('{"body": "some text"}\n')
    phases, problems = check_recipe(recipe, "recipe.yaml", plan_phases(recipe, token_phases))
    assert not problems
    assert phases[0]["units"] == 1
    assert [phase["name"] for phase in phases[:3]] == ["make", "decide-1", "exact/hashes"]
    wrong = load(tmp_path, GOOD.replace("second_score < 0.5", "secnd_score < 0.5"))
    _, problems = check_recipe(wrong, "recipe.yaml", plan_phases(wrong, token_phases))
    assert "did you mean 'second_score'?" in problems[0].message
    assert problems[0].line == 12


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("tokenizer: {load: nope.json}", "recipe.yaml:15: tokenizer.load: nope.json: no such file"),
        ("tokenizer: {source_weights: {wbe: 1}}", "tokenizer.source_weights.wbe: no such source; did you mean 'web'?"),
        ("tokens: {bucket_by: qualty}", "tokens.bucket_by: no stage measures 'qualty'"),
        ("tokens: {measures: [second_scor]}", "tokens.measures: no stage measures 'second_scor'; did you mean 'seco"),
        (
            "mixture: {MIX, weights: {wbe: 1}}",
            "recipe.yaml:15: mixture.weights.wbe: no such source; did you mean 'web'?",
        ),
        ("mixture: {MIX, weights: naturl}", "mixture.weights: 'naturl' is no rule. Write natural"),
        ("mixture: {MIX, max_epochs: {books: 4}}", "mixture.max_epochs.books: no such source; there is: web"),
        ("mixture: {MIX, budgets: {books: 4}}", "mixture.budgets.books: no such source"),
        ("mixture: {MIX, curriculum: {order: [w/b0]}}", "mixture.curriculum.order.w/b0: no such source"),
        ("mixture: {MIX, documents: {web: {by: q, keep: 0.5}}}", "mixture.documents.web.by: nothing measures 'q'"),
        ("mixture: {MIX, documents: {web: {like: w, keep: 0.5}}}", "mixture.documents.like.w: no such source"),
        (
            "mixture: {MIX, phases: [{name: a, share: 1, weights: natural, to: {b: 1}}]}",
            "mixture.phases.a.to.b: no such source",
        ),
        ("sweep: {tokens_per_run: 1M, sources: [wbe]}", "sweep.sources.wbe: no such source"),
        ("sweep: {tokens_per_run: 1M, tasks: [q.jsonl]}", "sweep.tasks: q.jsonl: no such file"),
        ("choose: {target: {wbe: 1}}", "choose.target.wbe: no such source"),
    ],
)
def test_check_refuses_sections_that_do_not_fit_the_rest(tmp_path: Path, section: str, message: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.jsonl").write_text('{"body": "some text"}\n')
    recipe = load(tmp_path, GOOD.replace("tokenizer:", "#") + section.replace("MIX", "tokens: 1M, sequence_length: 64"))
    _, problems = check_recipe(recipe, "recipe.yaml", plan_phases(recipe, token_phases))
    assert [message in str(problem) for problem in problems] == [True], problems


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("language_score", "'language_score' is neither true nor false. Compare it"),
        ("'a'", "is neither true nor false"),
        ("null", "is neither true nor false"),
        ("lang > 3", "unsure: Binder Error: Cannot compare values of type VARCHAR"),
        ("sqrt(lang) > 1", "unsure: Binder Error: No function matches"),
        ("not (language_score > 0.5 and lang in ('en', 'zh'))", ""),
        ("case when num_bytes > 5 then true else false end", ""),
    ],
)
def test_check_tells_expressions_that_decide_nothing(tmp_path: Path, when: str, message: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.jsonl").write_text('{"body": "some text"}\n')
    text = GOOD.replace("second_score < 0.5 and lang = 'en'", when)
    recipe = load(tmp_path, text)
    _, problems = check_recipe(recipe, "recipe.yaml", plan_phases(recipe, token_phases))
    assert [(problem.line, message in problem.message) for problem in problems] == [(12, True)] * bool(message), (
        problems
    )


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("language: {keep: [en, eng]}", "keep: 'eng' is no label of lid.176.ftz; did you mean 'en'?"),
        ("language: {per_source: {web: {keep: [chinese]}}}", "keep: 'chinese' is no label of lid.176.ftz"),
        ("language: {model: IN/x.jsonl}", "x.jsonl: begins with magic"),
        ("classifier: {model: IN/x.jsonl}", "x.jsonl: begins with magic"),
        ("toxicity: {model: IN/x.jsonl}", "x.jsonl: begins with magic"),
        ("quality: {model: IN/x.jsonl}", "x.jsonl: begins with magic"),
        ("decontaminate: {suites: [IN/x.jsonl]}", "x.jsonl, line 1: field 'question' is NoneType"),
    ],
)
def test_check_looks_into_models_and_lists(tmp_path: Path, stage: str, message: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.jsonl").write_text('{"body": "some text"}\n')
    head = GOOD[: GOOD.index("stages:")]
    recipe = load(tmp_path, f"{head}stages:\n  - {stage.replace('IN', str(tmp_path / 'in'))}\n")
    _, problems = check_recipe(recipe, "recipe.yaml", plan_phases(recipe, token_phases))
    assert [message in str(problem) for problem in problems] == [True], problems
    assert problems[0].line == 9


def test_check_takes_buckets_rules_and_columns_of_gathers(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.jsonl").write_text('{"body": "some text"}\n')
    text = GOOD.replace("- exact", "- minhash: {weights: [[2, 1.5]]}") + (
        "tokens: {bucket_by: minhash_repeat, measures: [second_score]}\n"
        "mixture: {tokens: 1M, sequence_length: 64, weights: {web/repeat-3: 1, web+1: 2}}\n"
        "sweep: {tokens_per_run: 1M, max_epochs: 4}\nchoose: {target: {web: 1}}\n"
    )
    for weights in ("unimax", "{temperature: 0.5}"):
        recipe = load(tmp_path, text, f"mixture.weights={weights}")
        assert not check_recipe(recipe, "recipe.yaml", plan_phases(recipe, token_phases))[1]


def test_variables_of_the_environment_are_stored_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from corpusmill.pipeline.build import resolved

    monkeypatch.setenv("MY_SECRET_PLACE", str(tmp_path))
    recipe = load(tmp_path, GOOD.replace("${data}", "${MY_SECRET_PLACE}"))
    assert recipe.sources[0].paths == (f"{tmp_path}/*.jsonl",)
    assert "${MY_SECRET_PLACE}" in resolved(recipe)
    run = RunFolder(str(tmp_path / "run"))
    run.put("resolved.yaml", resolved(recipe).encode())
    monkeypatch.delenv("MY_SECRET_PLACE")
    with pytest.raises(RecipeError, match="neither a variable"):
        Recipe.load(tmp_path / "run" / "resolved.yaml", StageTable())
    built = Recipe.of_run(run, StageTable(), ("tokenizer.vocab_size=3000",))
    assert built.sources[0].paths == ("${MY_SECRET_PLACE}/*.jsonl",)
    assert built.sections["tokenizer"].vocab_size == 3000


VARIED = """\
format: 1
name: varied
sources:
  web: {read: jsonl, paths: ["in/*.jsonl"]}
  books: {read: jsonl, paths: ["in/*.jsonl"]}
stages:
  - gopher:
      max_words: 1000
      per_language: {zh: {min_words: 30, max_hash_ratio: null}, ja: {min_words: 30}}
      per_source: {books: {max_words: null, min_words: 10}}
"""


def test_thresholds_by_language_and_by_source(tmp_path: Path) -> None:
    (entry,) = load(tmp_path, VARIED).entries
    web = {rule.name: rule for rule in entry.rules("web")}
    assert (web["gopher.too_few_words"].limit, web["gopher.too_few_words"].by_language) == (
        50,
        (("zh", 30), ("ja", 30)),
    )
    assert web["gopher.too_many_hashes"].by_language == (("zh", None),)
    assert (web["gopher.too_many_words"].limit, web["gopher.too_many_words"].by_language) == (1000, ())
    books = {rule.name: rule for rule in entry.rules("books")}
    assert books["gopher.too_few_words"] == Rule("gopher.too_few_words", ("gopher_text_words",), "<", 10)
    assert "gopher.too_many_words" not in books  # a source's own threshold comes before that of a language
    assert books["gopher.too_many_hashes"].by_language == (("zh", None),)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("books: {max_words: null", "novels: {max_words: null", "recipe.yaml:10: .*no such source: 'novels'"),
        ("{max_words: null", "{dialect: datatrove", "'dialect' changes what is measured: only thresholds may differ"),
        ("{max_words: null", "{max_word: null", "no such setting; did you mean 'max_words'"),
        ("ja: {min_words: 30}", "ja: 30", "must be a mapping of names to thresholds"),
    ],
)
def test_mistakes_in_variants(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(tmp_path, VARIED.replace(old, new))


def test_a_dialect_may_be_named_with_the_stage(tmp_path: Path) -> None:
    (entry,) = load(tmp_path, VARIED.replace("  - gopher:", "  - gopher@datatrove:")).entries
    assert entry.label == "gopher"
