#!/usr/bin/env bash
# The network as the estimator of given pilots, fewer than antennas, against the calibrated solvers of the prior, LMMSE and
# the mixture: same channels, pilots and noise.
#   bench/few_pilots.sh FOLDER [16x4|64x16 [EPOCHS]]                                          (chest on PATH)
# SCM with two and three pilots for 4 antennas (left out), or four and eight for 16; fits on 8000 channels (12 epochs of 125
# steps of 64 channels when EPOCHS is left out), figures on 1000 others. Writes FOLDER/few_pilots.csv.
set -euo pipefail
models=$(realpath "$(dirname "$0")/../models")
array=${2:-16x4}
epochs=${3:-12}
case $array in
  16x4) pilots=(2 3) components=64 ;;
  64x16) pilots=(4 8) components=256 ;;
  *) echo "few_pilots.sh: $array: expected 16x4 or 64x16" >&2; exit 2 ;;
esac
mkdir -p "$1"
cd "$1"
draw() {  # name, samples, seed
  [ -e "$1.h5" ] || chest generate scm --n-rx "${array%x*}" --n-tx "${array#*x}" --n-samples "$2" --seed "$3" --out "$1.h5"
}
draw fit 9000 11
draw test 1000 12
[ -e lmmse.h5 ] || chest fit lmmse --channels fit.h5 --samples 0:8000 --out lmmse.h5
[ -e gmm.h5 ] || chest fit gmm --channels fit.h5 --samples 0:8000 --covariance factors --components $components --rank 4 \
  --iterations 40 --regularisation 1e-3 --out gmm.h5
for n in "${pilots[@]}"; do
  [ -e "few_$n.h5" ] || chest fit dmse --channels fit.h5 --samples 0:8000 --validation 8000:9000 --pilots "qpsk:$n" \
    --batch 64 --epochs "$epochs" --out "few_$n.h5"
  chest sweep --channels test.h5 --snr=-10:5:20 --pilots "qpsk:$n" --block 20 --model lmmse.h5 --model gmm.h5 \
    --estimators "lmmse,gmm,dmse@$models/scm_$array.h5,dmse@few_$n.h5,dmse:consistency=soft@few_$n.h5,\
dmse:consistency=hard@few_$n.h5" --csv "pilots_$n.csv" --force
done
cat pilots_*.csv > few_pilots.csv
