"""A small run for the tests of the report: two sources whose fates are counted by hand, and a swarm made of laws."""

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from small_corpus import run_recipe

from corpusmill.mixtures.choose import choose, write_choice
from corpusmill.mixtures.designs import swarm_design
from corpusmill.mixtures.laws.mixing import LogLinear
from corpusmill.mixtures.laws.swarm_fit import fit_ledger
from corpusmill.pipeline.run_folder import RunFolder

SCRIPT = "<script>alert('a & b')</script> is what this page would have run, had nobody taken care of it.\x07"
ARABIC = "هذه صفحة قصيرة عن طاحونة قديمة على النهر يزورها الناس في الربيع"
CHINESE = "短。"
ENGLISH = "the old mill stands by the river and people visit it in spring when the water is high"

WEB = {
    "good": ENGLISH,
    "script": SCRIPT,
    "arabic": ARABIC,
    "copy": ENGLISH,  # exact.duplicate
    "short": "too short",  # short: 9 bytes
    "zh": CHINESE,  # short: 6 bytes
    "controls": "\x02" * 50 + "12345678901234567890",  # controls: 50
}
BOOKS = {"one": "a chapter on rivers, mills and the weather of the valley", "null": None}  # null_text


@cache
def built_run() -> RunFolder:
    """9 records: 1 failed, 2 short, 1 controls, 1 duplicate, 4 kept."""
    folder = Path(tempfile.mkdtemp(prefix="report-"))
    for name, texts in (("web", WEB), ("books", BOOKS)):
        langs = {"arabic": "ar", "zh": "zh"}
        lines = [json.dumps({"id": key, "text": text, "lang": langs.get(key, "en")}) for key, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tree = {
        "format": 1,
        "name": "report",
        "sources": {n: {"read": "jsonl", "paths": [f"{folder}/{n}.jsonl"], "id": "id"} for n in ("web", "books")},
        "stages": [
            "normalize",
            {"drop": {"when": "num_bytes < 12", "as": "short"}},
            {"drop": {"when": "normalize_num_controls > 40", "as": "controls"}},
            {"drop": {"when": "num_bytes > 100000 and lang = 'xx'", "as": "never"}},
            "exact",
        ],
    }
    run_recipe(tree, folder / "run")
    return RunFolder(str(folder / "run"))


@cache
def run_with_sweep() -> RunFolder:
    """A copy of that run with token shards named in a manifest, and a swarm with fit and choice."""
    folder = Path(tempfile.mkdtemp(prefix="report-sweep-")) / "run"
    shutil.copytree(built_run().url, folder)
    run = RunFolder(str(folder))
    sizes = {"web": 3000, "books": 1000}
    design = swarm_design(sizes, 16, budget=1000)
    x = np.array([list(mixture.ratios.values()) for mixture in design])
    laws = {"web": LogLinear(0.8, np.array([-1.0, 0.4])), "books": LogLinear(1.1, np.array([0.5, -0.7]))}
    columns: dict[str, object] = {"run": [m.name for m in design], "seed": [m.seed for m in design]}
    columns |= {"tokens": [1000] * 16, "num_parameters": [50] * 16, "ratio_web": x[:, 0], "ratio_books": x[:, 1]}
    columns |= {f"bits_per_byte_{name}": law.predict(x) for name, law in laws.items()}
    ledger = Path(run.path("sweeps/main/ledger.parquet"))
    ledger.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), ledger)
    steps = [{"run": design[0].name, "step": s, "tokens": s * 10, "bits_per_token": 8 - s / 50} for s in range(300)]
    pq.write_table(pa.Table.from_pylist(steps), ledger.with_name("curves.parquet"))
    fit = fit_ledger(ledger, "log-linear")
    write_choice(choose(fit, {"books": 1}, sizes, budget=1000, num_bootstrap=10), ledger.with_name("choice.json"))
    shard = {
        "source": "web",
        "bucket": "all",
        "split": "train",
        "num_documents": 2,
        "num_bytes": 250,
        "num_tokens": 100,
    }
    shards = [shard, shard | {"num_bytes": 50}, shard | {"bucket": "val", "split": "val", "num_tokens": 7}]
    card = {"kind": "sentencepiece-bpe", "vocab_size": 1500, "hash": "abc"}
    run.put_json("tokens/manifest.json", {"format": 1, "dtype": "uint16", "tokenizer": card, "shards": shards})
    return run
