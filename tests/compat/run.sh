#!/usr/bin/env bash
# Build a package of every task with this tree, and test each with the versions of bioimageio.core
# that consumers run: 0.9.6 (spec 0.5.7) and 0.10.4 (BioEngine; ilastik has 0.10.2).
#
#   tests/compat/run.sh [TASK ...]
#
# PYTHON: the interpreter with unifmir (default: that of .venv). COMPAT_DIR: where the environments and
# packages go (default: build/compat).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python="${PYTHON:-.venv/bin/python}"
work="${COMPAT_DIR:-build/compat}"
mkdir -p "$work"

rm -rf "$work/packages"
PYTHONPATH=. "$python" -m tests.compat.packages "$work/packages" "$@"

status=0
for core in 0.9.6 0.10.4; do
    env="$work/$core"
    if [ ! -e "$env/complete" ]; then
        rm -rf "$env"
        "$python" -m venv "$env"
        # pydantic: spec 0.5.10 and earlier were written before 2.13 and break with 2.14.
        "$env/bin/python" -m pip install --quiet \
            "bioimageio.core==$core" "torch==2.13.0" onnx onnxruntime "pydantic<2.14"
        touch "$env/complete"
    fi
    "$env/bin/python" -W ignore tests/compat/check.py "$work"/packages/*.zip || status=1
done
[ "$status" -eq 0 ] && echo "all packages passed on every version" || echo "a package failed" >&2
exit "$status"
