#!/usr/bin/env bash
# Environments of the tests marked `real`: each where its programs conflict with the main one. Idempotent.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}

make_environment() { # NAME PACKAGE…
  local folder=.venv-$1 stamp
  shift
  stamp="$folder/.installed-$(printf '%s ' "$@" | cksum | cut -d' ' -f1)"
  [ -f "$stamp" ] && return
  rm -rf "$folder"
  "$python" -m venv "$folder"
  "$folder/bin/pip" install --quiet --upgrade pip
  "$folder/bin/pip" install --quiet --constraint constraints.txt "$@"
  touch "$stamp"
}

make_environment engines "torch==2.13.0" --editable '.[proxy]' ray s3fs 'moto[server]'
tests/real/conformance.sh
tests/real/readers.sh
tests/real/classifiers.sh

if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null && ! command -v slurmctld > /dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurm-wlm munge > /dev/null
fi
