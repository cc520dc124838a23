#!/usr/bin/env bash
# dmse and linear MMSE on pilots that the planes of a prior are not made for: few PRB, wide combs, guard bands, irregular ones; and
# the error that dmse predicts over bandwidths and combs. The tables of docs/grid.md.
#
#   scripts/compare_pilots.sh FOLDER [LINKS]
#
# FOLDER is that of scripts/fit_umi_model.sh; CSV files are written there. PYTHON is a Python with NumPy.
set -euo pipefail
folder=${1:?the folder of fit_umi_model.sh}
links=${2:-64}
threads=${THREADS:-0}
here=$(cd "$(dirname "$0")/.." && pwd)
chest=${CHEST:-$here/build/release/cli/chest}
cd "$folder"
"${PYTHON:-python3}" - <<'PY'
import numpy as np

def save(name, subcarriers):
    x = np.zeros((1, 624, 1), complex)
    x[0, subcarriers, 0] = np.exp(1j * np.pi / 4 * (2 * np.random.default_rng(1).integers(4, size=len(subcarriers)) + 1))
    np.save(f"pilots_{name}.npy", x)

comb, rng = np.arange(0, 624, 4), np.random.default_rng(2)
save("zero", comb[abs(comb - 312) > 4])          # 3 pilots left out at zero frequency
save("guard", comb[abs(comb - 312) > 32])        # 17 in the middle
save("wide", comb[abs(comb - 320) > 120])        # 61
save("random", np.sort(rng.permutation(comb)[:120]))
save("irregular", np.sort(rng.permutation(624)[:156]))
PY
sweep() {  # NAME SUBCARRIERS PILOTS LINKS ESTIMATORS
  "$chest" sweep --channels umi_test.npz --grid "$2x1@30" --panel 2x4x2 --normalise sample --samples "0:$4" \
    --model umi_16x624.h5 --model umi_lmmse.h5 --estimators "$5" --pilots "$3" --snr=-10,0,10,20 --threads "$threads" \
    --out "$1.h5" --csv "$1.csv" --force
}
for name in zero guard wide random irregular; do sweep "pilots_$name" 624 "file=pilots_$name.npy" "$links" lmmse,dmse; done
sweep pilots_comb12 624 comb:12 "$links" lmmse,dmse
for comb in 2 4 6; do
  for subcarriers in 24 48 96 156 624; do sweep "few_${comb}_$subcarriers" $subcarriers "comb:$comb" "$links" lmmse,dmse; done
  sweep "few_${comb}_3276" 3276 "comb:$comb" $((links / 4)) dmse
done
