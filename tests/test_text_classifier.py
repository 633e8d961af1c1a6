"""Our inference against fastText itself and a plain-Python reference: every loss, n-gram setting and kind of file."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusmill.pipeline.errors import DamagedFileError
from corpusmill.stages.measure.prediction import Predictor, huffman_tree
from corpusmill.stages.models.fasttext_model import FastTextModel, fnv_1a, read_model
from corpusmill.stages.models.model_file import MODELS, load_model
from corpusmill.stages.models.train_process import ENVIRONMENT

LID = MODELS / "lid.176.ftz"
TEXTS = [
    "",
    "   \n\t ",
    "a",
    "The quick brown fox jumps over the lazy dog",
    "The\nquick\r\nbrown\tfox\x0bjumps\x0cover\x00the lazy dog ",
    "Übergrößenträger naïve façade",
    "人人生而自由，在尊严和权利上一律平等。",
    "すべての人間は 生まれながらにして自由",
    "มนุษย์ทั้งหลายเกิดมามีอิสระ",
    "يولد جميع الناس أحرارًا",
    "सभी मनुष्यों को गौरव",
    "the end </s> and what follows it is not read",
    "__label__x is left out, __label is not, nor is __label_",
    "word " * 500 + "x" * 300,
    "unseenlongwordthatneveroccursanywhereelse",
    "the the the of of the",
]
ENDS = ("spam", "ham", "eggs", "tea")
TRAIN = [
    f"__label__{'abcd'[n % 4]} {' '.join(TEXTS[3 + n % 8].split())} {n % 7} {ENDS[n % 4]}\n" for n in range(240)
]  # four labels, each with a word of its own
CONFIGS = {
    "softmax": {"loss": "softmax", "wordNgrams": 1, "minn": 0, "maxn": 0},
    "bigrams": {"loss": "softmax", "wordNgrams": 2, "minn": 0, "maxn": 0},
    "subwords": {"loss": "softmax", "wordNgrams": 3, "minn": 1, "maxn": 4},
    "tree": {"loss": "hs", "wordNgrams": 2, "minn": 2, "maxn": 3},
    "negatives": {"loss": "ns", "wordNgrams": 1, "minn": 3, "maxn": 3},
    "ova": {"loss": "ova", "wordNgrams": 2, "minn": 0, "maxn": 0},
    "quantised": {"loss": "softmax", "wordNgrams": 2, "minn": 2, "maxn": 4, "cutoff": 300},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """fastText's own models, each trained in a process of its own."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "lines.txt").write_text("".join(TRAIN), encoding="utf-8")
    made = {"lid": LID}
    for name, config in CONFIGS.items():
        chosen = {"dim": 7, "epoch": 3, "lr": 0.2, "minCount": 1, "bucket": 997, "seed": 1, "cutoff": None, **config}
        (folder / f"{name}.json").write_text(json.dumps(chosen))
        made[name] = folder / f"{name}.bin"
        command = [sys.executable, "-m", "corpusmill.stages.models.train_process"]
        arguments = [str(folder / "lines.txt"), str(made[name]), str(folder / f"{name}.json")]
        subprocess.run([*command, *arguments], check=True, capture_output=True, env=ENVIRONMENT)
        (folder / f"{name}.json").unlink()  # it would be read as a card
    return made


def theirs(path: Path, texts: list[str]) -> list[dict[str, float]]:
    model = load_model(path)
    labels, scores = model.predict([text.replace("\n", " ") for text in texts], k=-1)
    return [
        {label.removeprefix("__label__"): float(score) for label, score in zip(*row, strict=True)}
        for row in zip(labels, scores, strict=True)
    ]


@pytest.mark.parametrize("name", ["lid", *CONFIGS])
def test_all_scores_equal_those_of_fasttext(models: dict[str, Path], name: str) -> None:
    predictor = Predictor(models[name])
    column = pa.array(TEXTS, type=pa.large_string())
    scores, num_tokens = predictor.scores(column)
    best, _ = predictor.scores(column, only_best=True)
    for row, expected in enumerate(theirs(models[name], TEXTS)):
        found = dict(zip(predictor.labels, scores[row].tolist(), strict=True))
        if not expected:  # no row of the model at all
            assert num_tokens[row] == 0
            continue
        assert {label: found[label] for label in expected} == pytest.approx(expected, abs=1e-5)
        assert all(score < 2e-5 for label, score in found.items() if label not in expected)  # what fastText leaves out
        assert best[row].argmax() == scores[row].argmax()
        assert best[row].max() == scores[row].max()
    assert num_tokens[:2].tolist() == [0, 0]
    assert num_tokens[3] == 9


@pytest.mark.parametrize("name", ["lid", "subwords", "quantised"])
def test_a_batch_may_be_cut_and_sliced_anywhere(models: dict[str, Path], name: str) -> None:
    predictor = Predictor(models[name])
    column = pa.array([*TEXTS, None], type=pa.large_string())
    whole, whole_tokens = predictor.scores(column)
    for row in range(len(column)):
        alone, tokens = predictor.scores(column.slice(row, 1))
        assert alone.tobytes() == whole[row].tobytes()
        assert tokens[0] == whole_tokens[row]


def reference_rows(model: FastTextModel, text: str) -> list[int]:
    """The rows of a text as fastText's dictionary gives them, in plain Python."""
    words = [
        bytes(model.lookup.word_bytes[start:end])
        for start, end in zip(model.lookup.word_offsets, model.lookup.word_offsets[1:], strict=False)
    ]
    kept = dict(
        zip((i for i in range(model.lookup.bucket) if is_kept(model, i)), model.lookup.kept_rows.tolist(), strict=False)
    )
    rows: list[int] = []
    hashes: list[int] = []

    def push(number: int) -> None:
        if len(model.lookup.kept_bits) == 0:
            rows.append(len(words) + number)
        elif number in kept:
            rows.append(len(words) + kept[number])

    data = text.encode()
    for blank in b"\n\t\r\x0b\x0c\x00":
        data = data.replace(bytes([blank]), b" ")
    tokens = [token for token in data.split(b" ") if token]
    tokens = [*tokens[: tokens.index(b"</s>")], b"</s>"] if b"</s>" in tokens else [*tokens, b"</s>"]
    for token in tokens:
        if token.startswith(b"__label__"):
            continue
        hashes.append(fnv_1a(token))
        if token in words:
            rows.append(words.index(token))
        if model.lookup.maxn > 0 and token != b"</s>":
            characters = [c.encode() for c in f"<{token.decode()}>"]
            for start in range(len(characters)):
                for stop in range(start + 1, min(start + model.lookup.maxn, len(characters)) + 1):
                    n = stop - start
                    if n >= model.lookup.minn and not (n == 1 and (start == 0 or stop == len(characters))):
                        push(fnv_1a(b"".join(characters[start:stop])) % model.lookup.bucket)
    signed = [value - 2**32 if value >= 2**31 else value for value in hashes]
    for first in range(len(signed)):
        joined = signed[first]
        for second in signed[first + 1 : first + model.lookup.word_ngrams]:
            joined = (joined * 116049371 + second) % 2**64
            push(joined % model.lookup.bucket)
    return rows


def is_kept(model: FastTextModel, number: int) -> bool:
    return len(model.lookup.kept_bits) > 0 and bool(int(model.lookup.kept_bits[number >> 6]) >> (number & 63) & 1)


fragments = st.sampled_from(
    ["the", "fox", "ham", "</s>", "__label__a", "人", "人人", "ä", "<", ">", " ", "\n", "\x00", "zzz"]
)


@pytest.mark.parametrize("name", ["bigrams", "subwords", "quantised"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.one_of(
        st.text(max_size=20), st.lists(fragments, max_size=12).map(" ".join), st.lists(fragments).map("".join)
    )
)
def test_mean_equals_the_reference(models: dict[str, Path], name: str, text: str) -> None:
    predictor = loaded(models[name])
    rows = reference_rows(predictor.model, text)
    mean = predictor.model.rows[rows].astype(np.float64).mean(axis=0) if rows else np.zeros(7)
    logits = predictor.model.output.astype(np.float64) @ mean
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum() + 1e-5
    scores, _ = predictor.scores(pa.array(["", text, text], type=pa.large_string()))
    assert scores[1] == pytest.approx(expected, abs=1e-5)
    assert scores[2].tobytes() == scores[1].tobytes()  # the second time its words were seen before


_loaded: dict[Path, Predictor] = {}


def loaded(path: Path) -> Predictor:
    if path not in _loaded:
        _loaded[path] = Predictor(path)
    return _loaded[path]


def test_more_words_than_the_kernel_remembers() -> None:
    """Every word differs, then all come again: what was forgotten is computed again."""
    words = " ".join(f"word{number}" for number in range(60_000))
    predictor = Predictor(LID)
    once, _ = predictor.scores(pa.array([words], type=pa.large_string()))
    again, _ = predictor.scores(pa.array([words, words], type=pa.large_string()))
    assert once[0].tobytes() == again[0].tobytes() == again[1].tobytes()


def test_fnv_1a_of_published_values() -> None:
    """From the test vectors of Landon Curt Noll: the bytes below 128, where fastText's signs change nothing."""
    assert [fnv_1a(text) for text in (b"", b"a", b"foobar")] == [0x811C9DC5, 0xE40C292C, 0xBF9CF968]


def test_huffman_tree_of_three_labels_by_hand() -> None:
    left, right = huffman_tree(np.array([5, 2, 1]))  # 1 and 2 join to 3; 3 and 5 join to the root
    assert (left.tolist(), right.tolist()) == ([2, 3], [1, 0])


@pytest.mark.parametrize("cut", [8, 100, 5_000, 200_000, 938_012])
def test_a_cut_model_is_refused(tmp_path: Path, cut: int) -> None:
    (tmp_path / "cut.ftz").write_bytes(LID.read_bytes()[:cut])
    with pytest.raises(DamagedFileError, match=r"cut\.ftz"):
        read_model(tmp_path / "cut.ftz")


@pytest.mark.parametrize("position", [36, 48, 64, 68, 72, 84])  # kind, maxn, entries, words, labels, n-grams kept
def test_a_corrupt_number_is_refused(tmp_path: Path, position: int) -> None:
    content = bytearray(LID.read_bytes())
    content[position : position + 4] = b"\xff\xff\xff\x7e"
    (tmp_path / "bad.ftz").write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"bad\.ftz"):
        read_model(tmp_path / "bad.ftz")
