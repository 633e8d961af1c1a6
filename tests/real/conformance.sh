#!/bin/sh
# The environment of datatrove's filters with its tokenizers for thirteen languages, and of what our measures need.
# kiwipiepy: later ones have no model of the kind that datatrove asks for. Idempotent.
set -e
cd "$(dirname "$0")/../.."

packages="datatrove==0.10.1 regex==2026.11.15 nltk==3.10.4 tldextract==5.4.0 spacy[ja]==3.8.18 sudachidict-core==20261015
jieba==0.42.1 pyvi==0.1.1 pythainlp==5.4.0 indic-nlp-library==0.92 kiwipiepy==0.20.4 kiwipiepy_model==0.20.0
numpy==2.4.6 pyarrow==26.0.1 numba==0.68.1 duckdb==2.0.0 zstandard==0.25.0"
alone="dolma==1.2.1 nemo-curator==1.4.0"
stamp=".venv-conformance/.installed-$(printf '%s' "$packages $alone" | cksum | cut -d' ' -f1)"
[ -f "$stamp" ] && exit
[ -x .venv-conformance/bin/python ] || "${PYTHON:-python3}" -m venv .venv-conformance
# shellcheck disable=SC2086  # a list of words on purpose
.venv-conformance/bin/pip install --quiet $packages
# of these only the functions that compute the values are loaded, so they need nothing else
# shellcheck disable=SC2086
.venv-conformance/bin/pip install --quiet --no-deps $alone
touch "$stamp"
