"""Many short documents made from real text by edits, with known truth: the corpus of the large dedup runs.

    python benchmarks/short_documents.py --input corpus/*.jsonl.zst --documents 1000000 --output short/

A document is three clauses of 8 to 16 words of the input, drawn at random. Three in ten are edited copies of an earlier
one. The id says it all: `<group>-<copy>-<edit>`. Edits: `original`; `same` (case and punctuation), `longer` (three
words at the end), `word` (one word replaced), `far` (a third of the words replaced, which is no duplicate any more).
Groups are small, and one in ten thousand has a thousand copies.
"""

import argparse
import io
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import zstandard

EDITS = ("same", "longer", "word", "far")
FILE_DOCUMENTS = 250_000
Document = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", nargs="+", type=Path, required=True, help="JSONL files (.zst) with a field text")
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path, required=True, help="folder for part-*.jsonl.zst")
    arguments = parser.parse_args()
    write_documents(clauses(arguments.input), arguments.documents, arguments.output)


def clauses(paths: Sequence[Path]) -> list[str]:
    """Every stretch of 8 to 16 words between punctuation of the input, each once, in order."""
    found: dict[str, None] = {}
    for path in paths:
        with zstandard.open(path, "rb") as raw:
            for line in io.TextIOWrapper(raw, encoding="utf-8", newline="\n"):
                for piece in re.split(r"[.,;:!?()\n\"]+", json.loads(line)["text"]):
                    words = piece.split()
                    if 8 <= len(words) <= 16:
                        found[" ".join(words)] = None
    return list(found)


def write_documents(pieces: Sequence[str], num_documents: int, folder: Path, seed: int = 1) -> None:
    """Files of at most FILE_DOCUMENTS records; the first n documents are the same whatever `num_documents`."""
    folder.mkdir(parents=True)
    made = short_documents(pieces, seed)
    for number in range(-(-num_documents // FILE_DOCUMENTS)):
        count = min(FILE_DOCUMENTS, num_documents - number * FILE_DOCUMENTS)
        with zstandard.open(folder / f"part-{number:04d}.jsonl.zst", "wb") as file:
            for name, text in (next(made) for _ in range(count)):
                file.write(json.dumps({"id": name, "text": text}, ensure_ascii=False).encode() + b"\n")


def short_documents(pieces: Sequence[str], seed: int) -> Iterator[Document]:
    """(id, text) without end."""
    rng = random.Random(seed)
    recent: list[tuple[int, int, list[str]]] = []  # group, copies yet to come, words
    group = 0
    while True:
        if recent and rng.random() < 0.3:
            at = rng.randrange(len(recent))
            of, left, words = recent[at]
            edit = EDITS[rng.randrange(4)]
            yield f"{of}-{left}-{edit}", edited(words, edit, rng)
            recent[at] = (of, left - 1, words)
            if left == 1:
                recent[at] = recent[-1]
                recent.pop()
            continue
        words = " ".join(pieces[rng.randrange(len(pieces))] for _ in range(3)).split()
        yield f"{group}-0-original", " ".join(words)
        copies = 1000 if group % 10_000 == 9_999 else rng.choice((0, 0, 0, 1, 1, 2))
        if copies:
            recent.append((group, copies, words))
        group += 1


def edited(words: Sequence[str], edit: str, rng: random.Random) -> str:
    """A copy of the text with one kind of change."""
    changed = list(words)
    if edit == "same":
        return " ".join(words).upper() + "!"
    if edit == "longer":
        changed += [f"w{rng.randrange(10**6)}" for _ in range(3)]
    elif edit == "word":
        changed[rng.randrange(len(words))] = f"w{rng.randrange(10**6)}"
    else:
        for at in rng.sample(range(len(words)), len(words) // 3):
            changed[at] = f"w{rng.randrange(10**6)}"
    return " ".join(changed)


if __name__ == "__main__":
    main()
