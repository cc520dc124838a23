#!/usr/bin/env bash
# The network as the estimator of given pilots, fewer than antennas, against the calibrated solvers of the prior, LMMSE and
# the mixture: same channels, pilots and noise.
#   bench/few_pilots.sh FOLDER [EPOCHS [N_CHANNELS]]                                          (chest on PATH)
# SCM 64x16 with four and eight pilots; fits on 8000 channels (12 epochs of 500 steps when EPOCHS is left out), figures on
# N_CHANNELS (1000) others. Writes FOLDER/few_pilots.csv.
set -euo pipefail
models=$(realpath "$(dirname "$0")/../models")
epochs=${2:-12}
n=${3:-1000}
mkdir -p "$1"
cd "$1"
[ -e scm_fit.h5 ] || chest generate scm --n-samples 20000 --seed 11 --out scm_fit.h5
[ -e scm_test.h5 ] || chest generate scm --n-samples 1000 --seed 12 --out scm_test.h5
[ -e lmmse_scm.h5 ] || chest fit lmmse --channels scm_fit.h5 --samples 0:8000 --out lmmse_scm.h5
[ -e gmm_scm.h5 ] || chest fit gmm --channels scm_fit.h5 --samples 0:8000 --covariance factors --components 256 --rank 4 \
  --iterations 40 --regularisation 1e-3 --out gmm_scm.h5
for pilots in ${PILOTS:-4 8}; do
  [ -e "few_$pilots.h5" ] || chest fit dmse --channels scm_fit.h5 --samples 0:8000 --validation 8000:8400 \
    --pilots "qpsk:$pilots" --bfloat16 --epochs "$epochs" --out "few_$pilots.h5"
  chest sweep --channels scm_test.h5 --samples "0:$n" --snr=-10:5:20 --pilots "qpsk:$pilots" --block 20 --model lmmse_scm.h5 \
    --model gmm_scm.h5 --estimators "lmmse,gmm,dmse@$models/scm_64x16.h5,dmse@few_$pilots.h5,\
dmse:consistency=soft@few_$pilots.h5,dmse:consistency=hard@few_$pilots.h5" --csv "few_$pilots.csv" --force
done
cat few_*.csv > few_pilots.csv
