"""Trains and quantises one fastText model; run as a process of its own, with one thread.

    python -m corpusmill.stages.models.train_process LINES.txt MODEL.ftz SETTINGS.json

One thread, because fastText's threads race and give other weights each time. With one thread fastText 0.9.2 fills only
the first tenth of its input matrix with random numbers and leaves the rest as the allocator gave it: zeros in a fresh
mapping, whatever was there before in a small or reused block, which ends in other weights or "Encountered
NaN". So every training is a fresh process, started with `ENVIRONMENT`, in which glibc clears what it hands out. Not
quantised where `cutoff` is null.
"""

import json
import sys
from pathlib import Path

ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.perturb=255:glibc.malloc.tcache_count=0"}
"""perturb=255 fills new blocks with 255 XOR 255; without the thread cache, since that hands out blocks unfilled."""


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
