"""train_classifier: what it trains separates, twice the same bytes, and the card says what was measured."""

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Rule, Scratch, measure_settings
from corpusmill.stages.measure.classifier import Classifier
from corpusmill.stages.models.labelled_examples import Example
from corpusmill.stages.models.train_classifier import (
    DCLM,
    TrainSettings,
    leave_one_source_out,
    train_classifier,
)

GOOD = "the museum opened a garden of {} old trees near the river in {}"
BAD = "click here to buy {} cheap pills now best price offer {} !!!"
EXAMPLES = [
    Example(template.format(number, number % 7), template is GOOD, f"source-{number % 2}", "CC0-1.0", "en")
    for number in range(150)
    for template in (GOOD, BAD)
]
SETTINGS = TrainSettings(
    positive="good", negative="bad", dim=4, epoch=3, bucket=1000, cutoff=300, about={"license": "CC0-1.0"}
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tmp_path_factory.mktemp("model") / "mine.ftz"
    train_classifier(EXAMPLES, model, SETTINGS)
    return model


def test_the_card_says_what_was_trained_and_measured(trained: Path) -> None:
    card = json.loads(trained.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["sha256"] == hashlib.sha256(trained.read_bytes()).hexdigest()
    assert card["license"] == "CC0-1.0"
    assert card["num_training"] + card["num_held_out"] == len(EXAMPLES)
    assert sum(source["num_examples"] for source in card["sources"]) == len(EXAMPLES)
    overall = card["held_out"][0]
    assert overall["source"] == "all"
    assert overall["num_positive"] + overall["num_negative"] == card["num_held_out"]
    assert overall["auc"] > 0.95


def test_the_model_is_a_measure(trained: Path) -> None:
    stage = Classifier(model=trained, min_score=0.5)
    batch = pa.record_batch({"text": pa.array([GOOD, BAD, "", None, "\n"], type=pa.large_string())})
    good, bad, *rest = stage.open().measure(batch, Scratch())["classifier"].to_pylist()
    assert good is not None
    assert bad is not None
    assert good > 0.5 > bad
    assert rest == [None, None, None]
    assert stage.rules() == (Rule("classifier.low_score", value=("classifier",), op="<", limit=0.5),)
    assert stage.files() == (trained, trained.with_suffix(".json"))
    assert measure_settings(stage) == measure_settings(Classifier(model=trained))


def test_the_other_label_gives_the_rest(trained: Path) -> None:
    batch = pa.record_batch({"text": pa.array([GOOD, BAD], type=pa.large_string())})
    good = Classifier(model=trained).open().measure(batch, Scratch())["classifier"].to_numpy()
    bad = Classifier(model=trained, positive="bad").open().measure(batch, Scratch())["classifier"].to_numpy()
    assert good + bad == pytest.approx([1, 1], abs=2e-3)  # both are up to 1e-5 too large before calibration


def test_wrong_settings_are_refused_with_what_is_there(trained: Path) -> None:
    with pytest.raises(RequestError, match=r"expected a label of the model: (good, bad|bad, good)"):
        Classifier(model=trained, positive="great").open()
    with pytest.raises(RequestError, match="expected one of one_line, joined_lines"):
        Classifier(model=trained, text="sentences").open()


def test_training_again_in_another_order_gives_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    train_classifier(EXAMPLES[::-1], tmp_path / "mine.ftz", SETTINGS)
    assert (tmp_path / "mine.ftz").read_bytes() == trained.read_bytes()
    assert (tmp_path / "mine.json").read_text() == trained.with_suffix(".json").read_text()


def test_training_does_not_depend_on_what_memory_held_before(tmp_path: Path) -> None:
    """A matrix of a few KiB lies in reused memory: without a cleared heap a third of such trainings differ or fail."""
    tiny = TrainSettings(positive="good", negative="bad", dim=4, epoch=1, lr=0.1, bucket=300, cutoff=None)
    made = set()
    for number in range(4):
        train_classifier(EXAMPLES, tmp_path / f"{number}.bin", tiny)
        made.add((tmp_path / f"{number}.bin").read_bytes())
    assert len(made) == 1


def test_too_small_a_cutoff_is_refused() -> None:
    with pytest.raises(RequestError, match="cutoff is 256, expected at least 257"):
        TrainSettings(positive="good", negative="bad", cutoff=256)


def test_one_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="one label only"):
        train_classifier([e for e in EXAMPLES if e.positive], tmp_path / "mine.ftz", SETTINGS)


def test_the_threshold_keeps_the_share_that_was_asked_for(tmp_path: Path) -> None:
    pool = [text.format(number, 1) for number in range(200) for text in (GOOD, BAD, BAD, BAD)]
    card = train_classifier(EXAMPLES, tmp_path / "mine.ftz", replace(SETTINGS, kept_share=0.2), pool)
    stage = Classifier(model=tmp_path / "mine.ftz", min_score="card")
    batch = pa.record_batch({"text": pa.array(pool, type=pa.large_string())})
    scores = stage.open().measure(batch, Scratch())["classifier"].to_numpy()
    assert stage.rules() == (
        Rule("classifier.low_score", value=("classifier",), op="<", limit=card["threshold"]["value"]),
    )
    assert float((scores >= card["threshold"]["value"]).mean()) == pytest.approx(0.2, abs=0.005)
    assert card["threshold"]["num_pool"] == len(pool)


def test_the_threshold_reaches_the_precision_that_was_asked_for(tmp_path: Path) -> None:
    noisy = [replace(e, positive=e.positive ^ (number % 10 == 0)) for number, e in enumerate(EXAMPLES)]
    card = train_classifier(noisy, tmp_path / "mine.ftz", replace(SETTINGS, precision=0.85, calibrated=False))
    assert card["threshold"]["precision"] >= 0.85
    assert 0 < card["threshold"]["recall"] <= 1
    assert "calibration" not in card
    with pytest.raises(RequestError, match="follows from one of them"):
        replace(SETTINGS, precision=0.9, kept_share=0.1)


def test_a_model_without_a_threshold_says_how_to_get_one(trained: Path) -> None:
    with pytest.raises(RequestError, match="train with --keep-share or --precision"):
        Classifier(model=trained, min_score="card").rules()


def test_calibrated_scores_are_the_cards_function_of_fasttexts(trained: Path, tmp_path: Path) -> None:
    card = json.loads(trained.with_suffix(".json").read_text(encoding="utf-8"))
    bare = tmp_path / "bare.ftz"
    bare.write_bytes(trained.read_bytes())
    texts = pa.record_batch({"text": pa.array([e.text for e in EXAMPLES], type=pa.large_string())})
    raw = Classifier(model=bare, positive="good", text="words").open().measure(texts, Scratch())["classifier"]
    calibrated = Classifier(model=trained).open().measure(texts, Scratch())["classifier"]
    slope, offset = card["calibration"]["slope"], card["calibration"]["offset"]
    for p, score in zip(raw.to_pylist(), calibrated.to_pylist(), strict=True):
        assert p is not None
        clipped = min(max(p, 1e-6), 1 - 1e-6)
        z = slope * math.log(clipped / (1 - clipped)) + offset
        assert score == pytest.approx(1 / (1 + math.exp(-z)), abs=1e-5)


def test_sources_left_out_are_scored_by_models_that_saw_neither() -> None:
    """The text of source `odd` is labelled against the rest, so a model that saw it not is always wrong there."""
    odd = [Example(e.text + " ,", not e.positive, "odd", "CC0-1.0") for e in EXAMPLES[:60]]
    table = leave_one_source_out([*EXAMPLES, *odd], SETTINGS)
    assert [row["positive"] for row in table if row["auc"] < 0.1] == ["odd"]
    assert {row["positive"] for row in table if row["auc"] > 0.9} == {"source-0", "source-1"}
    apart = [replace(e, source="good" if e.positive else e.source) for e in EXAMPLES]
    assert leave_one_source_out(apart, SETTINGS) == []  # without the one positive source nothing can be trained
    apart = [replace(e, source=f"good-{e.source}" if e.positive else e.source) for e in EXAMPLES]
    assert len(leave_one_source_out(apart, SETTINGS)) == 4


def test_settings_of_the_paper(tmp_path: Path) -> None:
    """DCLM's: fastText's own command with word bigrams gives the same scores, one thread each."""
    small = replace(DCLM, dim=4, bucket=1000)
    assert (DCLM.wordNgrams, DCLM.minn, DCLM.maxn, DCLM.lr, DCLM.epoch, DCLM.dim) == (2, 0, 0, 0.1, 5, 100)
    card = train_classifier(EXAMPLES, tmp_path / "dclm.bin", small)
    assert card["text"] == "joined_lines"
    assert card["held_out"][0]["auc"] > 0.95
