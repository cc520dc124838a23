#!/usr/bin/env bash
# Estimators of grids on links that no model was fitted on: the tables of docs/grid.md.
#
#   scripts/compare_grid.sh FOLDER [LINKS]
#
# FOLDER is that of scripts/fit_umi_model.sh; CSV files are written there.
set -euo pipefail
folder=${1:?the folder of fit_umi_model.sh}
links=${2:-128}
here=$(cd "$(dirname "$0")/.." && pwd)
chest=${CHEST:-$here/build/release/cli/chest}
cd "$folder"
models=(--model umi_16x624.h5 --model umi_lmmse.h5 --model umi_gmm.h5)

# One symbol: all estimators. sbl takes most of the time.
for scenario in umi uma; do
  "$chest" sweep --channels "${scenario}_test.npz" --grid 624x1@30 --panel 2x4x2 --normalise sample \
    --samples "0:$links" "${models[@]}" --estimators ls,lmmse,omp,sbl,sbl:penalty=0.2,gmm,dmse:sparse=0,dmse \
    --pilots comb:4,symbols=0 --snr=-10:5:20 --out "$scenario.h5" --csv "$scenario.csv" --force
done
# Fourteen symbols, pilots on two of them.
for scenario in umi uma; do
  "$chest" sweep --channels "${scenario}_test.npz" --grid 624x14@30 --panel 2x4x2 \
    --normalise sample --samples "0:$((links / 2))" "${models[@]}" \
    --estimators ls,lmmse,lmmse:order=t-f-s,gmm,dmse --pilots comb:4,symbols=2-11 --snr=-10:10:20 \
    --out "${scenario}_slot.h5" --csv "${scenario}_slot.csv" --force
done
# The cell of Sionna Bench: four users of one antenna with a comb each, 16 antennas, 14 x 624.
"$chest" sweep --channels cell_test.npz --grid 624x14@30 --panel 2x4x2 --normalise sample \
  "${models[@]}" --estimators ls,lmmse,lmmse:order=t-f-s,gmm,dmse --pilots comb:4,symbols=2-11 \
  --snr=-10:10:20 --out cell.h5 --csv cell.csv --force
# One model at other pilot distances and bandwidths.
for pilots in comb:2 comb:4 comb:6; do
  for subcarriers in 48 156 624 3276; do
    "$chest" sweep --channels umi_test.npz --grid "${subcarriers}x1@30" --panel 2x4x2 \
      --normalise sample --samples "0:$((links / 2))" --model umi_16x624.h5 --estimators ls,dmse \
      --pilots "$pilots" --snr 0,10,20 --out "band_${pilots#comb:}_$subcarriers.h5" \
      --csv "band_${pilots#comb:}_$subcarriers.csv" --force
  done
done
