#!/usr/bin/env bash
# The prior of tapped delay lines beside the genie, priors of single profiles and linear MMSE: the table of docs/grid.md.
#
#   scripts/compare_tdl.sh FOLDER [SAMPLES]
#
# FOLDER is that of scripts/fit_tdl_model.sh (the models are read there) and gets the channels and CSV files.
set -euo pipefail
folder=${1:?the folder of fit_tdl_model.sh}
samples=${2:-64}
threads=${THREADS:-0}
here=$(cd "$(dirname "$0")/.." && pwd)
chest=${CHEST:-$here/build/release/cli/chest}
cd "$folder"
compare() {  # NAME PDP, options of chest generate
  local name=$1 pdp=$2
  shift 2
  "$chest" generate "$@" --n-samples "$samples" --seed 7 --out "$name.h5" --force
  "$chest" sweep --channels "$name.h5" --model tdl_lmmse.h5 --threads "$threads" \
    --estimators "ls,lmmse,$pdp,dmse@tdl_pusch.h5,dmse@tdla_only.h5,dmse@tdlc_only.h5,genie" \
    --pilots dmrs:symbols=2-11 --snr 0,10,20 --out "${name}_results.h5" --csv "$name.csv" --force
}
for profile in TDLA30-10 TDLB100-10 TDLB100-100 TDLB100-400 TDLC300-100; do
  compare "$profile" "lmmse:pdp=$profile" tdl --profile $profile --n-rx 4 --grid 612x14@30
done
compare TDLC300-100_15 lmmse:pdp=TDLC300-100 tdl --profile TDLC300-100 --n-rx 4 --grid 612x14@15
for profile in A C E; do
  compare "cdl$profile" "lmmse:delay-spread=100,doppler=10" cdl --profile $profile --delay-spread 100 \
    --rx-panel 1x4x1 --doppler 10 --grid 612x14@30
done
# Two and four receive antennas, one and two layers, from 5 to 100 MHz.
for grid in 300x14@15 1272x14@15 288x14@30 612x14@30 3276x14@30; do
  for ports in 1 2; do
    "$chest" generate tdl --profile TDLB100-400 --n-rx 2 --n-tx $ports --grid "$grid" \
      --n-samples $((samples / 4)) --seed 8 --out cell.h5 --force
    "$chest" sweep --channels cell.h5 --model tdl_pusch.h5 --estimators ls,dmse,lmmse:pdp=TDLB100-400 --threads "$threads" \
      --pilots dmrs:symbols=2-11 --snr 0,10,20 --out cell_results.h5 --csv "cell_${grid}_$ports.csv" --force
  done
done
