#!/usr/bin/env bash
# Panels of antennas, as matrices: what omp and sbl gain that know the panel, what a network gains where the angles of
# rows and columns are laid out for it, and one prior for many arrays on panels.
#   bench/panels.sh FOLDER [EPOCHS]                             (chest on PATH; python3 with numpy and h5py)
# EPOCHS of the fits on one panel, 8 when left out. FOLDER/many.h5 goes on from models/scm_arrays.h5 on parts of panels of 8x16
# antennas, six minutes, where it is not there. Writes FOLDER/panels_*.csv.
set -euo pipefail
models=$(realpath "$(dirname "$0")/../models")
epochs=${2:-8}
mkdir -p "$1"
cd "$1"
draw() {  # name, panel, transmit antennas, samples, seed
  [ -e "$1.h5" ] || chest generate scm --rx-panel "$2" --n-tx "$3" --n-samples "$4" --seed "$5" --out "$1.h5" --quiet
}
draw fit 8x8x1 4 9000 41
draw test_8x8x1 8x8x1 4 500 42
draw test_4x8x1 4x8x1 4 500 43
draw test_5x7x1 5x7x1 4 500 43
draw test_4x4x1 4x4x1 4 500 43
draw test_4x8x2 4x8x2 8 500 43
draw test_8x16x1 8x16x1 16 200 43
# The same channels mixed so that the transform of a line is that of the panel: angles of the columns, then of the rows.
python3 - <<'EOF'
import h5py, numpy as np
for name in ("fit", "test_8x8x1"):
    h = h5py.File(name + ".h5")["channels"][:].reshape(-1, 8, 8, 4)          # sample, column, row, transmit antenna
    angles = np.fft.fft2(h, axes=(1, 2), norm="ortho").transpose(0, 2, 1, 3).reshape(-1, 64, 4)
    np.save(name + "_mixed.npy", np.fft.ifft(angles, axis=1, norm="ortho").astype(np.complex64))
EOF
[ -e plain.h5 ] || chest fit dmse --channels fit.h5 --network chest:axial --epochs "$epochs" --bfloat16 --out plain.h5
[ -e mixed.h5 ] || chest fit dmse --channels fit_mixed.npy --network chest:axial --epochs "$epochs" --bfloat16 --out mixed.h5
[ -e lmmse.h5 ] || chest fit lmmse --channels fit.h5 --out lmmse.h5
if [ ! -e many.h5 ]; then
  chest generate scm --rx-panel 8x16x1 --n-tx 32 --n-samples 5000 --seed 32 --out wide.h5 --quiet --force
  chest fit dmse --channels wide.h5 --samples 0:4800 --validation 4800:5000 --arrays 8-128x1-32 \
    --start "$models/scm_arrays.h5" --epochs 16 --bfloat16 --out many.h5
fi
sweep() {  # name, then flags
  local name=$1
  shift
  chest sweep "$@" --snr=-10:10:20 --csv "panels_$name.csv" --force --quiet
}
sweep line --channels test_8x8x1.h5 --panel 1x64x1 --estimators omp,sbl
sweep one --channels test_8x8x1.h5 --model lmmse.h5 --estimators lmmse,omp,sbl,dmse:steps=1@plain.h5
sweep mixed --channels test_8x8x1_mixed.npy --estimators dmse:steps=1@mixed.h5
for panel in 8x8x1 4x8x1 5x7x1 4x4x1 4x8x2 8x16x1; do
  sweep "$panel" --channels "test_$panel.h5" --estimators "omp,dmse:steps=1@$models/scm_arrays.h5,dmse:steps=1@many.h5"
done
chest generate scm --n-samples 300 --seed 12 --out test_line.h5 --force --quiet
sweep ula --channels test_line.h5 --estimators "omp,dmse:steps=1@$models/scm_arrays.h5,dmse:steps=1@many.h5"
