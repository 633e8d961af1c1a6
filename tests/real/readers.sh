#!/bin/sh
# The environment of the readers of token shards and exports: they conflict with ours, and are heavy.
set -e
cd "$(dirname "$0")/../.."
[ -x .venv-readers/bin/python ] || "${PYTHON:-python3}" -m venv .venv-readers
.venv-readers/bin/pip install --quiet torch==2.13.0 megatron-core==0.16.1 datatrove==0.10.1 litdata ai2-olmo-core==3.0.0 \
    'zarr>=3' tokenizers tiktoken sentencepiece zstandard
