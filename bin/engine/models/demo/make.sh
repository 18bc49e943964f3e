#!/bin/sh
# Makes the demonstration model from nothing: corpus, training, export, evaluation. Takes less than an hour on one or two cores (THREADS=2).
# Needs Python 3.11 or newer. Everything but the results lies in a build folder outside of the repository.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=${1:-${TMPDIR:-/tmp}/privatemode-demo-model}
threads=${THREADS:-1}
export PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS="$threads"

mkdir -p "$build"
if [ ! -x "$build/venv/bin/python" ]; then
    python3 -m venv "$build/venv"
    "$build/venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
fi
python="$build/venv/bin/python"

"$python" "$here/make_corpus.py" --out "$build/data"
"$python" "$here/train.py" --data "$build/data" --out "$build/run" --threads "$threads"
"$python" "$here/export.py" --run "$build/run" --out "$here"
"$python" "$here/evaluate.py" --model "$here" --data "$build/data" --every 3 > "$build/evaluation.txt"
tail -n 1 "$build/evaluation.txt"
