"""Reads fastText models, and refuses those that are not what their card says.

A model is data: two integers (magic and version), settings, words, matrices; nothing in it is run. Beside a model
`NAME.ftz` lies its card `NAME.json`, which names what it was trained from, its licences, what it reaches, and its
SHA-256. A model with a card is refused unless its hash is that of the card; a user's model without one is
refused unless it begins as fastText files do.
"""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any, cast

from corpusmill.pipeline.errors import DamagedFileError

MODELS = Path(__file__).parent
MAGIC = 793712314
VERSIONS = (11, 12)  # 11 wrote the same fields, before subword hashes were mended for supervised models


def load_model(path: Path) -> Any:
    """fastText's own model object, after `check_model`."""
    check_model(path)
    import fasttext

    return fasttext.FastText._FastText(model_path=str(path))  # load_model prints a warning on stderr


def check_model(path: Path) -> str:
    """The SHA-256 of the model in hex; DamagedFileError where it is not fastText, or not what its card says."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DamagedFileError(
            f"{path}: cannot be read ({error.strerror}). Set `model:` to a fastText file."
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    card = path.with_suffix(".json")
    if card.exists():
        expected = read_card(card)["sha256"]
        if digest != expected:
            raise DamagedFileError(
                f"{path}: SHA-256 is {digest}, its card {card.name} says {expected}. Restore the file, or write a "
                "card for the new model: train-classifier does both."
            )
    magic, version = struct.unpack("<ii", content[:8]) if len(content) >= 8 else (0, 0)
    if magic != MAGIC or version not in VERSIONS:
        raise DamagedFileError(
            f"{path}: begins with magic {magic} and version {version}, SHA-256 {digest}; a fastText model begins with "
            f"{MAGIC} and version 11 or 12. Set `model:` to a .bin or .ftz file of fastText."
        )
    return digest


def read_card(card: Path) -> dict[str, Any]:
    """The card of a model; `sha256` is there."""
    try:
        fields = cast("dict[str, Any]", json.loads(card.read_text(encoding="utf-8")))
        fields["sha256"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DamagedFileError(f"{card}: is no model card: {error!r}. Restore or delete it.") from error
    return fields
