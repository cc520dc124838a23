#!/usr/bin/env bash
# Block error rates in the cell of docs/grid.md: four users of one antenna with a comb each, 16 antennas, 624 subcarriers (docs/link.md).
#
#   scripts/compare_umi_link.sh FOLDER [SLOTS]
#
# FOLDER has the links and the models of scripts/fit_umi_model.sh; it gets results; CHEST is the program. SLOTS (default 64) transport
# blocks at an SNR.
set -euo pipefail
folder=${1:?a folder with links and models}
slots=${2:-64}
here=$(cd "$(dirname "$0")/.." && pwd)
chest=${CHEST:-$here/build/release/cli/chest}
cd "$folder"
"$chest" link --channels cell_test.npz --grid 624x14@30 --panel 2x4x2 --normalise sample --samples "0:$slots" \
  --model "$here/models/umi_16x624.h5" --model umi_lmmse.h5 --model umi_gmm.h5 --estimators ls,lmmse,gmm,dmse --beside untold \
  --pilots comb:4,symbols=2-11 --modulation qpsk --code-rate 0.5 --snr=-4,-3,-2,-1,1,3,5 --threads "${THREADS:-0}" --force \
  --out umi_link.h5 --csv umi_link.csv
