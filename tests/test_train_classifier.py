"""train_classifier: what it trains separates, twice the same bytes, and the card says what was measured."""

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Rule, Scratch, measure_settings
from corpusmill.stages.measure.classifier import Classifier
from corpusmill.stages.models.train_classifier import (
    Example,
    TrainSettings,
    evaluate_slice,
    read_examples,
    roc_auc,
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
    assert good + bad == pytest.approx([1, 1], abs=1e-4)


def test_wrong_settings_are_refused_with_what_is_there(trained: Path) -> None:
    with pytest.raises(RequestError, match=r"expected a label of the model: (good, bad|bad, good)"):
        Classifier(model=trained, positive="great").open()
    with pytest.raises(RequestError, match="expected one of one_line, words"):
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


def test_examples_from_files(tmp_path: Path) -> None:
    rows = [{"text": "a", "source": "s", "license": "MIT", "lang": "en", "group": "g"}, {"text": "b"}]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode() + b"\n"
    (tmp_path / "plain.jsonl").write_bytes(content)
    (tmp_path / "more.jsonl.gz").write_bytes(gzip.compress(content))
    (tmp_path / "most.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(content))
    for name in ("plain.jsonl", "more.jsonl.gz", "most.jsonl.zst"):
        first, second = read_examples([tmp_path / name], positive=True)
        assert first == Example("a", True, "s", "MIT", "en", "g")
        assert second == Example("b", True, name, "")
    (tmp_path / "bad.jsonl").write_bytes(b'{"text": "a"}\n{"text": null}\n')
    with pytest.raises(RequestError, match=r"bad\.jsonl:2: field 'text' is no string"):
        list(read_examples([tmp_path / "bad.jsonl"], positive=False))


def test_one_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="one label only"):
        train_classifier([e for e in EXAMPLES if e.positive], tmp_path / "mine.ftz", SETTINGS)


def test_a_group_is_held_out_whole() -> None:
    sides = {Example(str(n), True, "s", "l", group="family").held_out(10) for n in range(50)}
    assert len(sides) == 1
    alone = [Example(str(n), True, "s", "l").held_out(10) for n in range(2000)]
    assert 150 <= sum(alone) <= 250


def test_roc_auc_of_hand_counted_pairs() -> None:
    positive = np.array([True, True, False, False])
    assert roc_auc(positive, np.array([0.9, 0.4, 0.5, 0.1])) == 0.75  # three of four pairs in order
    assert roc_auc(positive, np.array([0.5, 0.5, 0.5, 0.5])) == 0.5


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
def test_roc_auc_equals_counting_all_pairs(rows: list[tuple[bool, int]]) -> None:
    positive, scores = np.array([p for p, _ in rows]), np.array([s / 5 for _, s in rows])
    if positive.all() or not positive.any():
        assert evaluate_slice(positive, scores)["auc"] is None
        return
    pairs = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
    assert roc_auc(positive, scores) == pytest.approx(np.mean(pairs))


def test_precision_and_recall_at_a_threshold_counted_by_hand() -> None:
    positive = np.array([True, True, True, False, False])
    made = evaluate_slice(positive, np.array([0.9, 0.6, 0.2, 0.6, 0.0]))
    at = made["thresholds"].index(0.5)
    assert (made["recall"][at], made["precision"][at], made["false_positive_rate"][at]) == (0.6667, 0.6667, 0.5)
