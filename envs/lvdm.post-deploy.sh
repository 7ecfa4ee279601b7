#!/usr/bin/env bash
# Installs this checkout, so that jobs run the very code that the workflow was planned with.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
python -m pip install --constraint "$root/requirements.lock" --editable "$root"
