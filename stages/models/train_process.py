"""Trains and quantises one fastText model; run as a process of its own, with one thread.

    python -m corpusmill.stages.models.train_process LINES.txt MODEL.ftz SETTINGS.json

One thread, because fastText's threads race and give other weights each time; a fresh process, because a second
training in one process goes wrong. Not quantised where `cutoff` is null.
"""

import json
import sys
from pathlib import Path


def main(lines: str, model: str, settings: str) -> None:
    import fasttext

    chosen = json.loads(Path(settings).read_text(encoding="utf-8"))
    cutoff = chosen.pop("cutoff")
    trained = fasttext.train_supervised(lines, thread=1, verbose=0, **chosen)
    if cutoff is not None:
        trained.quantize(input=lines, cutoff=cutoff, retrain=True, qnorm=True, thread=1, verbose=0)
    trained.save_model(model)


if __name__ == "__main__":
    main(*sys.argv[1:])
