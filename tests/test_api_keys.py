"""secrets: published formats are masked, placeholders and ordinary code stay. The values are made up here."""

import base64
import json

import pyarrow as pa
import pytest

from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.stage import Rule
from corpusmill.stages.clean.api_keys import PATTERNS, Secrets, entropy
from corpusmill.stages.clean.masking import find_spans

RANDOM = "a8Kd03mQz71LpX5vRt29WbYc64NfHgJs8eUiOq0Z"  # 40 characters


def encoded(value: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


JWT = f"{encoded({'alg': 'HS256', 'typ': 'JWT'})}.{encoded({'sub': '1234567890'})}.{RANDOM}"
BLOCK = f"-----BEGIN RSA PRIVATE KEY-----\n{RANDOM}\n{RANDOM}\n-----END RSA PRIVATE KEY-----"

FOUND = [
    (BLOCK, "private_key"),
    (BLOCK.replace("RSA ", ""), "private_key"),
    (JWT, "jwt"),
    ("AKIA" + "Q3EGY7PLRW2XT5ZB", "api_key"),
    ("ghp_" + RANDOM[:36], "api_key"),
    ("glpat-" + RANDOM[:20], "api_key"),
    ("AIza" + RANDOM[:35], "api_key"),
    ("xoxb-" + "123456789012-" + RANDOM[:24], "api_key"),
    ("sk_live_" + RANDOM[:24], "api_key"),
    ("sk-proj-" + RANDOM, "api_key"),
    ("npm_" + RANDOM[:36], "api_key"),
    ("SG." + RANDOM[:22] + "." + RANDOM + "abc", "api_key"),
]
KEPT = [
    "",
    "The secret of the token ring: passwords are hashed.",
    "password = 'password'",
    'token = "aaaaaaaaaa1"',
    "api_key = os.environ['API_KEY']",
    "secret: <your-secret-here>",
    "sk-" + "x" * 40,
    "AKIA" + "SHORT",
    "def ghp_parse(token): return token",
    "eyJhbGciOiJIUzI1NiJ9 alone is no token",
    "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJB\n-----END PUBLIC KEY-----",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
]


def masked(text: str) -> str | None:
    batch = pa.record_batch({"text": pa.array([text], type=pa.large_string())})
    changed, _ = Secrets().open().change(batch)
    return changed.column("text").to_pylist()[0]


@pytest.mark.parametrize(("value", "name"), FOUND)
def test_published_formats_are_masked_in_any_script(value: str, name: str) -> None:
    for around in ("key is {} here", "密钥：{}。", "'{}'", "{}\n"):
        assert masked(around.format(value)) == around.format(f"[{name.upper()}]")
    assert masked("word" + value) == "word" + value or name == "private_key"


@pytest.mark.parametrize("text", KEPT)
def test_kept(text: str) -> None:
    assert masked(text) == text


def test_a_random_value_that_is_given_to_a_secret_name() -> None:
    assert masked(f'db_password = "{RANDOM[:16]}"') == 'db_password = "[ASSIGNED_SECRET]"'
    assert masked(f"'api_key': '{RANDOM}'") == "'api_key': '[ASSIGNED_SECRET]'"
    assert masked(f'checksum = "{RANDOM}"') == f'checksum = "{RANDOM}"'


def test_counts_the_rule_and_unknown_types() -> None:
    batch = pa.record_batch({"text": pa.array([f"{BLOCK}\n{JWT}", None, ""], type=pa.large_string())})
    settings = Secrets(replace="nothing", max_found=1)
    same, columns = settings.open().change(batch)
    assert same is batch
    assert columns["secrets_num_found"].to_pylist() == [2, 0, 0]
    assert {name: column.type for name, column in columns.items()} == settings.adds()
    assert settings.rules() == (Rule("secrets.too_many", value=("secrets_num_found",), op=">", limit=1),)
    with pytest.raises(RequestError, match="'keys' is unknown"):
        Secrets(types=("keys",))


def test_entropy_by_hand() -> None:
    assert entropy("aaaa") == 0
    assert entropy("abab") == 1
    assert entropy("abcd") == 2


def test_spans_do_not_overlap() -> None:
    text = f'token = "{JWT}"; secret = "ghp_{RANDOM[:36]}"'
    assert [name for _, _, name in find_spans(text, PATTERNS)] == ["jwt", "api_key"]
