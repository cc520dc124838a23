#!/usr/bin/env bash
# chest's own prior against the published network and chain on four sets of channels, with the same
# channels and noise for all; the fits that are not there are made first (hours on two cores: the
# shipped models are taken for the two large ones).
#   bench/priors.sh REFERENCE FOLDER                                      (chest on PATH)
# REFERENCE: the folder with data/quadriga_*.mat and golden/dmse_*_weights.h5.
set -euo pipefail
reference=$(realpath "$1")
models=$(realpath "$(dirname "$0")/../models")
mkdir -p "$2"
cd "$2"
data=$reference/data
[ -e published_scm.h5 ] || chest import "$reference/golden/dmse_3gpp_path3_weights.h5" --out published_scm.h5
[ -e published_los.h5 ] || chest import "$reference/golden/dmse_quadriga_los_weights.h5" --out published_los.h5
[ -e scm_fit.h5 ] || chest generate scm --n-samples 20000 --seed 11 --out scm_fit.h5
[ -e scm_test.h5 ] || chest generate scm --n-samples 1000 --seed 12 --out scm_test.h5
fit() {  # name, channels, samples to fit, to validate, epochs, batch
  [ -e "lmmse_$1.h5" ] || chest fit lmmse --channels "$2" --samples "$3" --out "lmmse_$1.h5"
  [ -e "own_$1.h5" ] || chest fit dmse --channels "$2" --samples "$3" --validation "$4" \
    --network chest:gate --epochs "$5" --batch "${6:-16}" --augment mirror --bfloat16 --out "own_$1.h5"
}
[ -e lmmse_scm.h5 ] || chest fit lmmse --channels scm_fit.h5 --out lmmse_scm.h5
[ -e own_scm.h5 ] || cp "$models/scm_64x16.h5" own_scm.h5
[ -e own_umalos.h5 ] || cp "$models/quadriga_umalos_64x16.h5" own_umalos.h5
[ -e lmmse_umalos.h5 ] || chest fit lmmse --channels "$data/quadriga_umalos_64x16.mat" --samples 0:8000 --out lmmse_umalos.h5
fit umanlos "$data/quadriga_umanlos_64x16.mat" 0:1600 1600:1800 50
fit umilos "$data/quadriga_umilos_32x4.mat" 0:3200 3200:3600 40 64
sweep() {  # name, channels, samples, estimators without a network of ours
  local own=own_$1.h5
  chest sweep --channels "$2" --samples "$3" --snr=-15:5:30 --model "lmmse_$1.h5" \
    --estimators "$4,dmse:steps=1@$own,dmse:steps=2@$own,dmse:steps=3@$own,dmse@$own" \
    --out "table_$1.h5" --csv "table_$1.csv" --plot "table_$1.png"
}
sweep umalos "$data/quadriga_umalos_64x16.mat" 8400:9000 \
  ls,lmmse,dmse:published@published_los.h5,dmse:steps=3@published_los.h5
sweep scm scm_test.h5 0:500 ls,lmmse,genie,dmse:published@published_scm.h5,dmse:steps=3@published_scm.h5
sweep umanlos "$data/quadriga_umanlos_64x16.mat" 1800:2000 \
  ls,lmmse,dmse:published@published_los.h5,dmse:steps=3@published_los.h5
sweep umilos "$data/quadriga_umilos_32x4.mat" 3600:4000 ls,lmmse
# An SNR that is unknown or misreported, and the link with and without the predicted error.
chest sweep --channels "$data/quadriga_umalos_64x16.mat" --samples 8400:9000 --snr=-15:5:30 \
  --model own_umalos.h5 --out noise.h5 --csv noise.csv \
  --estimators dmse,dmse:snr=unknown,dmse:snr=+3,dmse:snr=-3
for flag in "" --no-error-variance; do
  chest link --channels "$data/quadriga_umalos_64x16.mat" --samples 8400:9000 --snr=-5:5:20 \
    --model own_umalos.h5 --estimators ls,dmse --modulation qpsk,16qam $flag \
    --out "link$flag.h5" --csv "link$flag.csv"
done
