#!/usr/bin/env bash
# Builds the Python package in empty environments, and tries it from an empty folder:
#   scripts/try_python.sh [FOLDER [OPTION ...]]           PYTHON=python3.12 for another Python
# FOLDER (a new one by default) keeps the wheel; OPTIONs are those of pip wheel and pip install. Needs what scripts/setup.sh installs, LibTorch excepted; pip fetches the rest.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=$PWD
work=$(realpath -m "${1:-$(mktemp -d)}")
python=${PYTHON:-python3}
mkdir -p "$work"
rm -rf "$work"/{wheel,installed,empty} "$work"/*.whl
say() { echo "== $*"; }

say "pip wheel ."
$python -m venv "$work/wheel"
start=$(date +%s)
"$work/wheel/bin/pip" -q --disable-pip-version-check wheel "${@:2}" --no-deps -w "$work" "$tree"
wheel=$(ls "$work"/*.whl)
echo "$(basename "$wheel"): $(stat -c %s "$wheel" | awk '{printf "%.1f MB", $1 / 1e6}'), built in $(($(date +%s) - start)) s"
"$work/wheel/bin/pip" -q --disable-pip-version-check install "$wheel" mypy
"$work/wheel/bin/python" -m zipfile -l "$wheel" | awk 'NR > 1 {print $1}'

say "pip install ."
$python -m venv "$work/installed"
"$work/installed/bin/pip" -q --disable-pip-version-check install "${@:2}" "$tree"

mkdir "$work/empty"
cd "$work/empty"
cat > gain.py <<'PY'
from typing import List

import numpy as np

import chest


def gains(model: chest.Model, noise_vars: List[float]) -> List[float]:
    h = chest.generate("scm", 200, n_rx=16, n_tx=4, seed=5)
    out: List[float] = []
    for noise_var in noise_vars:
        y = h + chest.noise(h.shape, noise_var, seed=2)
        h_hat, err_var = model.estimate(y, noise_var)
        assert float(np.mean(err_var)) < noise_var
        out.append(chest.nmse_db(y, h) - chest.nmse_db(h_hat, h))
    return out
PY
for environment in wheel installed; do
  say "$environment: an estimate from an empty folder"
  "$work/$environment/bin/python" -c "
import sys, chest
from gain import gains
print('chest', chest.__version__, *(f'{g:.1f} dB' for g in gains(chest.Model(sys.argv[1]), [1.0, 0.1, 0.01])), 'below LS')
loaded = open('/proc/self/maps').read()
assert 'torch' not in loaded
" "$tree/models/scm_16x4.h5"
done
say "mypy --strict of that caller"
"$work/wheel/bin/python" -m mypy --strict gain.py
sed -i 's/gains(model: chest.Model/gains(model: int/' gain.py
if "$work/wheel/bin/python" -m mypy --strict gain.py > wrong.log; then
  echo "try_python: a wrong type is not found" >&2
  exit 1
fi
