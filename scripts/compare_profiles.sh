#!/usr/bin/env bash
# The prior of UMi on the profiles of TR 38.901, beside the genie: what it loses on channels of another kind.
#
#   scripts/compare_profiles.sh FOLDER [SAMPLES]
#
# FOLDER is that of scripts/fit_umi_model.sh (the models are read there) and gets the channels and CSV files.
set -euo pipefail
folder=${1:?the folder of fit_umi_model.sh}
samples=${2:-64}
here=$(cd "$(dirname "$0")/.." && pwd)
chest=${CHEST:-$here/build/release/cli/chest}
cd "$folder"
compare() {  # NAME, options of chest generate
  local name=$1
  shift
  "$chest" generate "$@" --grid 624x14@30 --n-samples "$samples" --seed 7 --out "$name.h5" --force
  "$chest" sweep --channels "$name.h5" --model umi_16x624.h5 --model umi_lmmse.h5 \
    --estimators ls,lmmse,dmse:sparse=0,dmse,genie --pilots comb:4,symbols=2-11 --snr 0,10,20 \
    --out "${name}_results.h5" --csv "$name.csv" --force
}
for profile in A B C D E; do
  compare "cdl$profile" cdl --profile $profile --delay-spread 100 --rx-panel 2x4x2 --speed 3 --carrier 3.5
done
for doppler in 10 100 400; do
  compare "tdlb$doppler" tdl --profile "TDLB100-$doppler" --n-rx 16
done
