"""What `personal_data` and `secrets` find: precision and recall with Wilson intervals, false alarms, throughput.

    python benchmarks/personal_data.py [--detect-secrets PROGRAM] [--quick] [--json]

Labelled sentences (`pii/`, synthetic, of another project). Values generated from each format's specification, right and
wrong by one digit, in 24 scripts. National phone numbers by region. What is masked in documents of code, documentation,
mathematics and law, by type. Lines of small files with fake secrets, beside detect-secrets where its program is given.
Then MB/s, with datatrove's formatter on the same documents.
"""

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpusmill.stages.clean.api_keys import PATTERNS as SECRETS
from corpusmill.stages.clean.masking import Finder, find_spans
from corpusmill.stages.clean.national_phones import NationalPhones
from corpusmill.stages.clean.number_plans import IBAN_LENGTHS
from corpusmill.stages.clean.personal_data import PersonalData
from corpusmill.stages.clean.personal_patterns import PATTERNS
from corpusmill.stages.models.labelled_examples import read_rows

LABELS = {
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "EMAIL_ADDRESS": "email",
    "US_SSN": "us_ssn",
    "IP_ADDRESS": "ip",
    "PHONE_NUMBER": "phone",
}
CLEAN = ("source-code", "techdocs-en", "math-latex", "law-en", "law-zh", "zh-classical")
SCRIPTS = (
    "plain words", "Grüße aus Köln", "здравствуйте мир", "γειά σου", "مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया",
    "ওহে বিশ্ব", "ਸਤ ਸ੍ਰੀ ਅਕਾਲ", "હેલો વર્લ્ડ", "வணக்கம் உலகம்", "హలో ప్రపంచం", "ಹಲೋ ವರ್ಲ್ಡ್", "ഹലോ വേൾഡ്",
    "สวัสดีชาวโลก", "ສະບາຍດີ", "မင်္ဂလာပါ", "សួស្តី", "გამარჯობა", "բարեւ", "你好世界", "こんにちは", "안녕하세요", "ሰላም",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detect-secrets", help="the program detect-secrets, in an environment of its own")
    parser.add_argument("--quick", action="store_true", help="fewer generated values, one repetition")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    if "CORPUSMILL_DATA" not in os.environ:
        sys.exit("CORPUSMILL_DATA is unset: set it to the folder of the shared data.")
    data = Path(os.environ["CORPUSMILL_DATA"])
    labelled(data)
    generated(2 if arguments.quick else 40)
    national(20 if arguments.quick else 200)
    false_alarms(data)
    secrets(data, arguments.detect_secrets)
    results = throughput(data, 1 if arguments.quick else 5)
    if arguments.json:
        print(json.dumps({"results": results}))


def labelled(data: Path) -> None:
    print("\n## Labelled sentences (pii/presidio-synthetic-train)\n")
    right: Counter[str] = Counter()
    found: Counter[str] = Counter()
    gold: Counter[str] = Counter()
    finders: dict[str, Finder] = {**PATTERNS, "national_phone": NationalPhones(("US",))}
    for row in read_rows(data / "pii" / "presidio-synthetic-train.jsonl.zst"):
        spans = {
            (span["start_position"], span["end_position"], LABELS[span["entity_type"]])
            for span in row["spans"]
            if span["entity_type"] in LABELS
        }
        gold.update(kind for _, _, kind in spans)
        for start, end, kind in find_spans(row["text"], finders):
            kind = {"national_phone": "phone", "cn_mobile": "phone"}.get(kind, kind)
            found[kind] += 1
            right[kind] += (start, end, kind) in spans
    print("| type | labelled | precision | recall |\n|---|---|---|---|")
    for kind in LABELS.values():
        print(f"| {kind} | {gold[kind]} | {wilson(right[kind], found[kind])} | {wilson(right[kind], gold[kind])} |")


def generated(repetitions: int) -> None:
    print("\n## Generated from the specifications, in 24 scripts\n")
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    alarms: Counter[str] = Counter()
    rng = random.Random(7)
    for around in SCRIPTS * repetitions:
        for kind, value, valid in values(rng):
            shown = f"https://{value}@example.com/" if kind == "url_credentials" else value
            for text in (f"{around} {shown} {around}", f"{around}：{shown}。"):
                start = text.index(value)
                spans = find_spans(text, PATTERNS)
                if valid:
                    total[kind] += 1
                    right[kind] += spans == [(start, start + len(value), kind)]
                else:
                    wrong[kind] += 1
                    alarms[kind] += any(name == kind for _, _, name in spans)
    print(
        "| type | values | found exactly | wrong by one digit or range | masked all the same |\n|---|---|---|---|---|"
    )
    for kind in sorted(total):
        print(f"| {kind} | {total[kind]} | {wilson(right[kind], total[kind])} | {wrong[kind]} | {alarms[kind]} |")


def values(rng: random.Random) -> Iterator[tuple[str, str, bool]]:
    """(type, value, whether it is valid), from the specifications; check digits computed here again."""

    def digits(number: int) -> str:
        return "".join(rng.choice("0123456789") for _ in range(number))

    head = rng.choice(["4", "51", "55", "2221", "6011", "62", "3530", "34", "37"])
    card = head + digits((14 if head in ("34", "37") else 15) - len(head))
    check = -sum(sum(map(int, str(int(d) * (1 + (i % 2 == 0))))) for i, d in enumerate(reversed(card))) % 10
    for joint in ("", " ", "-"):
        for last, valid in ((check, True), ((check + rng.randrange(1, 10)) % 10, False)):
            number = card + str(last)
            groups = (4, 6, 5) if len(number) == 15 else (4, 4, 4, 4)
            parts = [number[sum(groups[:i]) : sum(groups[: i + 1])] for i in range(len(groups))]
            yield "card", joint.join(parts), valid
    country = rng.choice(sorted(IBAN_LENGTHS))
    account = digits(IBAN_LENGTHS[country] - 4)
    control = 98 - int(account + "".join(str(ord(letter) - 55) for letter in country) + "00") % 97
    other = account[:-1] + str((int(account[-1]) + rng.randrange(1, 10)) % 10)
    for body, valid in ((account, True), (other, False)):
        whole = f"{country}{control:02d}{body}"
        yield "iban", whole, valid
        yield "iban", " ".join(whole[i : i + 4] for i in range(0, len(whole), 4)), valid
    born = f"{rng.choice(['110105', '440305', '650102'])}{rng.randint(1930, 2015)}{rng.randint(1, 12):02d}"
    born += f"{rng.randint(1, 28):02d}{digits(3)}"
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    remainder = sum(int(d) * w for d, w in zip(born, weights, strict=True)) % 11
    yield "cn_id", born + "10X98765432"[remainder], True
    yield "cn_id", born + "10X98765432"[(remainder + rng.randrange(1, 11)) % 11], False
    for joint in ("-", " "):
        group, serial = f"{rng.randint(1, 99):02d}", f"{rng.randint(1, 9999):04d}"
        area = rng.choice([*range(1, 666), *range(667, 900)])
        yield "us_ssn", joint.join((f"{area:03d}", group, serial)), True
        area_ = rng.choice(["000", "666", str(rng.randint(900, 999))])
        yield "us_ssn", joint.join((area_, group, serial)), False
    yield "cn_mobile", f"1{rng.choice('356789')}{digits(7)}{rng.randint(10, 89)}", True
    yield "cn_mobile", f"12{digits(9)}", False
    name = f"{rng.choice(['j', 'anna.b', 'x_y', 'first+tag'])}{digits(3)}"
    yield (
        "email",
        f"{name}@{rng.choice(['mail.example', 'uni-koeln', 'a1'])}.{rng.choice(['com', 'de', 'co.uk'])}",
        True,
    )
    yield "email", f"{name}@host{digits(2)}", False
    code, size = rng.choice([("49 30", 8), ("44 20", 8), ("33 1", 8), ("81 3", 8), ("1 212", 7), ("91 98", 8)])
    yield "phone", f"+{code} {rng.randint(2, 9)}{digits(size - 1)}", True
    yield "phone", f"+999 {digits(8)}", False
    yield (
        "ip",
        f"{rng.choice([81, 45, 151, 203])}.{rng.randint(20, 199)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}",
        True,
    )
    yield "ip", rng.choice([f"10.{rng.randint(0, 255)}.3.7", f"192.168.{rng.randint(0, 255)}.1", "300.1.2.3"]), False
    yield "ip", f"2a00:1450:{rng.randrange(1, 1 << 16):x}:82a::{rng.randrange(1, 1 << 16):x}", True
    yield "ip", f"fe80::{rng.randrange(1, 1 << 16):x}", False
    word = "".join(rng.choice("abcdefgh") for _ in range(5))
    yield "url_credentials", f"{word}:{word}{digits(3)}", True
    yield "url_credentials", f"{word}:${{{word}}}", False  # a variable


def national(number: int) -> None:
    """Random numbers that libphonenumber calls valid, written as the country writes them."""
    import phonenumbers

    print("\n## National phone numbers by region\n\n| region | found exactly |\n|---|---|")
    for region in ("US", "GB", "DE", "FR", "IT", "ES", "NL", "JP", "KR", "IN", "BR", "MX", "AU", "CN", "RU", "TR"):
        rng = random.Random(region)
        example = phonenumbers.example_number(region)
        assert example is not None
        finder, right, made = NationalPhones((region,)), 0, 0
        for _ in range(20 * number):
            digits = phonenumbers.national_significant_number(example)
            changed = digits[:-6] + "".join(rng.choice("0123456789") for _ in range(6))
            parsed = phonenumbers.parse(changed, region)
            if made == number or not phonenumbers.is_valid_number_for_region(parsed, region):
                continue
            made += 1
            written = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
            text = f"{rng.choice(SCRIPTS)} {written}, {rng.choice(SCRIPTS)}"
            start = text.index(written)
            right += list(finder.spans(text)) == [(start, start + len(written))]
        print(f"| {region} | {wilson(right, made)} |")


def false_alarms(data: Path) -> None:
    print("\n## Code, documentation, mathematics, law: spans masked, by type\n")
    print("| domain | documents | MB | spans per MB without e-mail | by type |\n|---|---|---|---|---|")
    for domain in CLEAN:
        texts = [
            row["text"]
            for half in ("train", "val")
            for row in read_rows(data / "domains" / f"{domain}.{half}.jsonl.zst")
        ]
        counts = Counter(kind for text in texts for _, _, kind in find_spans(text, PATTERNS))
        size = sum(len(text.encode()) for text in texts) / 1e6
        rate = (sum(counts.values()) - counts["email"]) / size
        named = ", ".join(f"{kind} {number}" for kind, number in sorted(counts.items()))
        print(f"| {domain} | {len(texts)} | {size:.1f} | {rate:.2f} | {named or '–'} |")


def secrets(data: Path, program: str | None) -> None:
    print("\n## Lines with secrets in small files (pii/secret-fixtures-a)\n")
    rows = list(read_rows(data / "pii" / "secret-fixtures-a.jsonl.zst"))
    finders = {**SECRETS, "url_credentials": PATTERNS["url_credentials"]}
    ours = {
        (number, row["text"].count("\n", 0, start) + 1)
        for number, row in enumerate(rows)
        for start, _, _ in find_spans(row["text"], finders)
    }
    print(f"ours: {len(ours)} lines")
    if program is None:
        return
    theirs: dict[str, set[tuple[int, int]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, row in enumerate(rows):
            (Path(folder) / f"{number}-{Path(row['path']).name}").write_text(row["text"], encoding="utf-8")
        command = [program, "scan", "--no-verify", "--all-files", "."]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        for name, hits in json.loads(done.stdout)["results"].items():
            for hit in hits:
                place = (int(Path(name).name.partition("-")[0]), hit["line_number"])
                theirs.setdefault(hit["type"], set()).add(place)
    print("\n| detect-secrets' rule | its lines | ours too |\n|---|---|---|")
    for kind, places in sorted(theirs.items()):
        print(f"| {kind} | {len(places)} | {len(places & ours)} |")


def throughput(data: Path, repetitions: int) -> list[dict[str, Any]]:
    from datatrove.data import Document
    from datatrove.pipeline.formatters import PIIFormatter

    texts: list[str] = []
    for domain in ("web-en", "law-zh", "source-code"):
        texts += [row["text"] for row in read_rows(data / "domains" / f"{domain}.train.jsonl.zst")][:600]
    size = sum(len(text.encode()) for text in texts) / 1e6
    batch = pa.record_batch({"text": pa.array(texts, type=pa.large_string())})
    worker, formatter = PersonalData().open(), PIIFormatter()
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    worker.change(batch.slice(0, 5))
    for _ in range(repetitions):
        started = time.process_time()
        worker.change(batch)
        seconds["ours"].append(time.process_time() - started)
        started = time.process_time()
        for number, text in enumerate(texts):
            formatter.format(Document(text=text, id=str(number)).text)
        seconds["theirs"].append(time.process_time() - started)
    ours, theirs = (size / sorted(values)[len(values) // 2] for values in seconds.values())
    print(f"\npersonal_data, nine types: {ours:.1f} MB/s; datatrove's PIIFormatter, e-mail and IP: {theirs:.1f} MB/s")
    spread = max(seconds["ours"]) / min(seconds["ours"]) - 1
    result = {"name": "personal data", "unit": "MB/s", "ours": round(ours, 2), "peer": "datatrove PIIFormatter"}
    return [result | {"theirs": round(theirs, 2), "ratio": round(ours / theirs, 2), "spread": round(spread, 3)}]


def wilson(hits: int, total: int) -> str:
    """The share with its 95 % interval (Wilson 1927)."""
    if not total:
        return "–"
    z = 1.959964
    share = hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return f"{share:.4f} [{middle - half:.4f}, {middle + half:.4f}] of {total}"


if __name__ == "__main__":
    main()
