import random
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from gather_rounds import documents, dropped_ids, run_gather, run_without_parts, split_parts
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.stages.gather.minhash import MinHash
from corpusmill.stages.gather.shingling import PRESETS

WORDS = [a + b + c for a in "bdfgk" for b in "aeio" for c in "lmn"]


def shingles(text: str, size: int) -> set[tuple[str, ...]]:
    words = text.split()
    length = min(size, len(words))
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)} if words else set()


def fates(texts: list[str], ids: list[str], stage: MinHash, measure: str = "jaccard") -> dict[str, str]:
    """The rule in plain Python over all documents as one component: dropped id -> winner's id."""
    order = sorted(range(len(texts)), key=lambda i: (-len(texts[i].encode()), ids[i]))
    kept: list[int] = []
    dropped: dict[str, str] = {}
    for i in order:
        mine = shingles(texts[i], stage.scheme().size)
        similar = []
        for k in kept:
            theirs = shingles(texts[k], stage.scheme().size)
            whole = len(mine | theirs) if measure == "jaccard" else min(len(mine), len(theirs))
            similar.append(bool(whole) and len(mine & theirs) / whole >= stage.min_similarity)
        if any(similar):
            dropped[ids[i]] = ids[kept[similar.index(True)]]
        else:
            kept.append(i)
    return dropped


def edited(rng: random.Random, words: list[str], num_edits: int) -> str:
    changed = list(words)
    for _ in range(num_edits):
        changed[rng.randrange(len(changed))] = rng.choice(WORDS)
    return " ".join(changed)


def corpus(seed: int, num_groups: int, copies: int) -> list[str]:
    rng = random.Random(seed)
    texts = []
    for _ in range(num_groups):
        words = rng.choices(WORDS, k=rng.randrange(20, 60))
        texts += [edited(rng, words, rng.randrange(0, 6)) for _ in range(copies)]
    return texts


@pytest.mark.parametrize("measure", ["jaccard", "containment"])
def test_the_rule_in_plain_python(measure: str) -> None:
    """With one row per band every pair that shares a shingle is all but sure to be brought together."""
    texts = corpus(3, 8, 6)
    ids = [f"s/{i:03d}" for i in range(len(texts))]
    stage = MinHash(bands=150, rows=1, size=2, min_similarity=0.5, measure=measure, same_numbers=False)  # type: ignore[arg-type]
    parts = split_parts(texts, ids, [range(20), range(20, len(texts))])
    decisions, _ = run_gather(stage, parts, 3)
    lost = dropped_ids(parts, decisions)
    assert set(lost) == set(fates(texts, ids, stage, measure))
    assert len(lost) > 10


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), num_parts=st.integers(1, 4), num_ranges=st.integers(1, 5))
def test_fates_do_not_depend_on_parts_order_or_ranges(seed: int, num_parts: int, num_ranges: int) -> None:
    texts = corpus(seed, 4, 4)
    ids = [f"s/{i:03d}" for i in range(len(texts))]
    stage = MinHash(min_similarity=0.6, size=3, rows=3)
    straight = split_parts(texts, ids, [range(len(texts))])
    expected, stored = run_gather(stage, straight)
    shuffled = list(range(len(texts)))
    random.Random(seed).shuffle(shuffled)
    parts = split_parts(texts, ids, [shuffled[i::num_parts] for i in range(num_parts)], batch_rows=2)
    decisions, again = run_gather(stage, parts, num_ranges)
    assert dropped_ids(parts, decisions) == dropped_ids(straight, expected)
    told = ["id", "winner_id", "shared_bands", "estimated", "similarity", "group", "minhash_cluster_size"]
    evidence = [
        sorted(run["verify"].select(told).to_pylist(), key=lambda line: str(line["id"])) for run in (stored, again)
    ]
    assert evidence[0] == evidence[1]


def test_a_chain_loses_only_what_is_similar_to_what_stays() -> None:
    """a ~ b ~ c with a unlike c: peers that keep one per component lose c."""
    words = [a + b for a in "abcdefghijklm" for b in "abcdefghij"]
    a, b, c = (" ".join(words[start : start + 100]) for start in (0, 15, 30))
    stage = MinHash(bands=40, rows=2, size=1, min_similarity=0.7, keep="first")
    batch = documents([a, b, c], ids=["a", "b", "c"])
    decisions, rounds = run_gather(stage, [[batch]])
    assert dropped_ids([[batch]], decisions) == {"b": ("minhash.near_duplicate", "a")}
    line = rounds["verify"].to_pylist()[1]
    assert line["similarity"] == pytest.approx(85 / 115)
    assert line["estimated"] == pytest.approx(85 / 115, abs=0.2)
    assert line["shared_bands"] >= 1
    assert {entry["group"] for entry in rounds["verify"].to_pylist()} == {line["group"]}
    columns = decisions[0].select(["group", "minhash_num_candidates", "minhash_cluster_size"]).to_pylist()
    assert [entry["minhash_cluster_size"] for entry in columns] == [2, 2, 1]
    assert [entry["minhash_num_candidates"] for entry in columns] == [3, 3, 3]


def test_threshold_is_reached_at_equality() -> None:
    texts = ["a b c d", "a b c e"]  # 3 of 5 words
    for limit, num_dropped in ((0.6, 1), (np.nextafter(0.6, 1), 0)):
        stage = MinHash(bands=100, rows=1, size=1, min_similarity=limit)
        decisions, _ = run_gather(stage, [[documents(texts)]])
        lines = [line for line in decisions[0].to_pylist() if not line["keep"]]
        assert len(lines) == num_dropped
        assert all((line["value"], line["threshold"]) == ("0.6", "0.6") for line in lines)


@pytest.mark.parametrize("text", ["", " \n", "!!!", "…"])
def test_without_words_nothing_is_similar(text: str) -> None:
    decisions, rounds = run_gather(MinHash(), [[documents([text, text])]])
    assert decisions[0].column("keep").to_pylist() == [True, True]
    assert rounds["signatures"].num_rows == 0


def test_an_empty_corpus_and_an_empty_part() -> None:
    decisions, _ = run_gather(MinHash(), [[], [documents(["one two"])]], num_ranges=2)
    assert [table.num_rows for table in decisions] == [0, 1]


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("short text", "Short, text!", True),  # fewer words than a shingle: all of them are one
        ("short text", "short text here", False),
        ("版权所有，翻印必究", "版权所有 翻印必究。", True),
        ("ราคา 100 บาท ต่อคน", "ราคา 250 บาท ต่อคน", True),  # numbers are alike in FineWeb's normalisation
        ("مرحبا بالعالم الكبير جدا", "مَرحبا بالعالم الكبير جدا", True),
        ("हिन्दी में लिखा हुआ पाठ", "हिन्दी में लिखा हुआ पेठ", False),
    ],
)
def test_scripts(left: str, right: str, same: bool) -> None:
    decisions, _ = run_gather(MinHash(), [[documents([left, right])]])
    assert decisions[0].column("keep").to_pylist().count(True) == 2 - same


@pytest.mark.parametrize(
    ("stage", "winner"),
    [
        (MinHash(), "c"),
        (MinHash(keep="shortest"), "b"),
        (MinHash(keep="first"), "a"),
        (MinHash(keep="highest", by="quality"), "a"),
        (MinHash(prefer_sources=("books",)), "b"),
    ],
)
def test_keep_policy(stage: MinHash, winner: str) -> None:
    text = " ".join(WORDS)
    batch = documents(
        [text + " x", text, text + " x y"],
        ids=["a", "b", "c"],
        sources=["web", "books", "web"],
        quality=pa.array([0.9, 0.2, None], pa.float32()),
    )
    decisions, _ = run_gather(stage, [[batch]])
    lost = {name: ("minhash.near_duplicate", winner) for name in "abc" if name != winner}
    assert dropped_ids([[batch]], decisions) == lost


def test_probes_are_limited_to_those_sharing_most_bands() -> None:
    """With one probe, documents still meet the kept one that they resemble most; `limited` says what was left out."""
    texts = corpus(5, 12, 3)
    ids = [f"s/{i:03d}" for i in range(len(texts))]
    every = MinHash(bands=100, rows=1, size=1, min_similarity=0.8)
    one = MinHash(bands=100, rows=1, size=1, min_similarity=0.8, max_probes=1)
    parts = split_parts(texts, ids, [range(len(texts))])
    all_lost, rounds = run_gather(every, parts)
    one_lost, limited = run_gather(one, parts)
    assert not any(rounds["verify"].column("limited").to_pylist())
    assert any(limited["verify"].column("limited").to_pylist())
    found, expected = dropped_ids(parts, one_lost), dropped_ids(parts, all_lost)
    assert set(found) <= set(expected)
    assert len(found) >= 0.9 * len(expected)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_candidates_follow_the_banding_curve(preset: str) -> None:
    """Share of pairs brought together against 1 - (1 - J^rows)^bands, on pairs of one similarity."""
    rng = random.Random(11)
    scheme = PRESETS[preset]
    num_pairs, shared, extra = 400, 160, 20  # J = 160 / 200
    texts = []
    for _ in range(num_pairs):
        words = [f"{rng.getrandbits(40):x}" for _ in range(shared + 2 * extra)]
        texts += [" ".join(words[: shared + extra]), " ".join(words[:shared] + words[shared + extra :])]
    stage = MinHash(preset=preset, size=1, unit="word", same_numbers=False)  # type: ignore[arg-type]
    _, rounds = run_gather(stage, [[documents(texts)]])
    together = {line["key"]: line["component"] for line in rounds["components"].to_pylist()}
    found = sum(together.get(2 * i, -1) == together.get(2 * i + 1, -2) for i in range(num_pairs)) / num_pairs
    expected = 1 - (1 - 0.8**scheme.rows) ** scheme.bands
    assert found == pytest.approx(expected, abs=4 * (expected * (1 - expected) / num_pairs) ** 0.5)


def test_no_two_kept_documents_are_alike_within_a_component() -> None:
    texts = corpus(9, 10, 5)
    stage = MinHash(bands=60, rows=1, size=2, min_similarity=0.5, same_numbers=False)
    decisions, rounds = run_gather(stage, [[documents(texts)]])
    group = {line["key"]: line["group"] for line in rounds["verify"].to_pylist()}
    keep = decisions[0].column("keep").to_pylist()
    for i, j in combinations([i for i, stays in enumerate(keep) if stays], 2):
        if i in group and group[i] == group.get(j):
            left, right = shingles(texts[i], 2), shingles(texts[j], 2)
            assert len(left & right) / len(left | right) < 0.5


@pytest.mark.parametrize(
    "settings_",
    [
        {"min_similarity": 0},
        {"min_similarity": 1.1},
        {"rows": 0},
        {"max_probes": 0},
        {"copies": 0},
        {"weights": ((3, 1), (2, 1))},
    ],
)
def test_settings_are_checked(settings_: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings_))):
        MinHash(**settings_)  # type: ignore[arg-type]  # wrong on purpose


def test_a_corpus_without_parts() -> None:
    run_without_parts(MinHash())


@pytest.mark.parametrize(("copies", "kept"), [(1, "c"), (2, "cb"), (3, "cba"), (4, "cba")])
def test_copies_of_a_cluster_may_stay(copies: int, kept: str) -> None:
    text = " ".join(WORDS)
    batch = documents([text, text + " x", text + " x y"], ids=["a", "b", "c"])
    decisions, rounds = run_gather(MinHash(copies=copies), [[batch]])
    lost = {name: ("minhash.near_duplicate", "c") for name in "abc" if name not in kept}
    assert dropped_ids([[batch]], decisions) == lost
    assert rounds["verify"].column("minhash_cluster_size").to_pylist() == [3, 3, 3]


def test_weights_by_cluster_size() -> None:
    texts = [" ".join(WORDS)] * 4 + [" ".join(reversed(WORDS))] * 2 + ["alone in the world"]
    decisions, _ = run_gather(MinHash(weights=((2, 1.5), (4, 3.0))), [[documents(texts)]])
    weights = decisions[0].filter(decisions[0].column("keep")).column("weight").to_pylist()
    assert weights == [3.0, 1.5, None]
