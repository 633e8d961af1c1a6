"""A run folder and its inputs on S3, against a server on loopback that speaks the S3 protocol."""

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_corpus import run_recipe, small_recipe, write_corpus

from corpusmill.pipeline.run_folder import RunFolder

pytestmark = pytest.mark.real
ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-engines" / "bin" / "python"


@pytest.fixture
def endpoint() -> Iterator[str]:
    """The address of a running S3 server."""
    if not (PYTHON.parent / "moto_server").exists():
        pytest.skip("tests/real/environments.sh makes the environment with an S3 server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [str(PYTHON.parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            break
        except OSError:
            time.sleep(0.2)
    yield address
    server.terminate()
    server.wait(timeout=30)


def test_a_build_on_s3_equals_a_build_on_disk(endpoint: str, tmp_path: Path) -> None:
    script = str(ROOT / "tests/real/store_build.py")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests"), "AWS_EC2_METADATA_DISABLED": "true"}
    for name in ("AWS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        environment.pop(name, None)
    command = [str(PYTHON), script, endpoint, str(tmp_path / "in")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["ok"], found["problems"]
    assert set(found["again"].values()) == {0}
    assert found["orphans"] == []
    assert found["batches"] == 6
    assert found["batches_equal"]
    assert found["blocks_fetched"] > 0
    write_corpus(tmp_path / "local", num_files=2, documents=30, sources="a")
    tree = small_recipe(tmp_path / "local", tokenizer={"vocab_size": 400}, tokens={"held_out": 0.05})
    tree["sources"] = {"a": tree["sources"]["a"]}
    run_recipe(tree, tmp_path / "run")
    run = RunFolder(str(tmp_path / "run"))
    texts = [line["text"] for name in run.names("documents") for line in run.read_table(name, ["text"]).to_pylist()]
    assert found["documents"] == sorted(texts)
    assert found["manifest"] == run.read_json("tokens/manifest.json")["shards"]
