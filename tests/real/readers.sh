#!/bin/sh
# The environments of the readers of token shards and exports, and of trainers on our plans: heavy, and in conflict with ours and with each other.
# Not under constraints.txt, since mosaicml-streaming wants another NumPy. Idempotent.
set -e
only="$*" # names of the environments to make; all without
cd "$(dirname "$0")/../.."

environment() { # NAME PACKAGE…
    name=$1
    shift
    case " $only " in "  " | *" $name "*) ;; *) return ;; esac
    stamp=".venv-$name/.installed-$(printf '%s ' "$@" | cksum | cut -d' ' -f1)"
    [ -f "$stamp" ] && return
    [ -x ".venv-$name/bin/python" ] || "${PYTHON:-python3}" -m venv ".venv-$name"
    ".venv-$name/bin/pip" install --quiet "$@"
    touch "$stamp"
}

environment readers torch==2.13.0 megatron-core==0.16.1 datatrove==0.10.1 litdata==0.2.76 ai2-olmo-core==3.0.0 sentencepiece \
    tokenizers==0.23.3 zarr==3.1.6 tensorstore==0.1.86 datasets==5.2.0
environment trainers torch==2.13.0 transformers==5.24.0 accelerate==1.15.0 datasets==4.7.0 grain==0.2.18 \
    torchtitan==0.3.0 torchdata==0.11.0 triton blake3 fsspec pyarrow click PyYAML pydantic
environment mosaic torch==2.13.0 mosaicml-streaming==0.13.0
