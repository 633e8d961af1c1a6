#!/bin/sh
# The environment of the optional classifiers: KenLM, and Hugging Face encoders. Idempotent.
set -e
cd "$(dirname "$0")/../.."
stamp=.venv-classifiers/.installed-$(cksum < tests/real/classifiers.sh | cut -d' ' -f1)
[ -f "$stamp" ] && exit
rm -rf .venv-classifiers
"${PYTHON:-python3}" -m venv .venv-classifiers
.venv-classifiers/bin/pip install --quiet "torch==2.13.0" "transformers==5.17.0" "kenlm==0.3.0" --editable .
touch "$stamp"
