#!/usr/bin/env bash
# Installs this checkout into an environment that conda made, so that jobs run the very code that was planned with.
# Snakemake runs a copy of this file, in the folder that it was started in.
set -euo pipefail
test -f pyproject.toml -a -d lvdm || { echo "$PWD is no checkout of lvdm: start snakemake in one" >&2; exit 1; }
python -m pip install --no-deps --editable .
