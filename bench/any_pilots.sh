#!/usr/bin/env bash
# Fewer pilots than antennas: every solver and competitor on the same channels, pilots and noise.
#   bench/any_pilots.sh REFERENCE FOLDER [N_CHANNELS]                     (chest on PATH)
# REFERENCE: the folder with data/quadriga_umalos_64x16.mat. The shipped models are calibrated for these pilots;
# competitors that are not there yet are fitted first. N_CHANNELS: of each table, 120 when left out.
set -euo pipefail
reference=$(realpath "$1")
models=$(realpath "$(dirname "$0")/../models")
n=${3:-120}
mkdir -p "$2"
cd "$2"
uma=$reference/data/quadriga_umalos_64x16.mat
[ -e scm_fit.h5 ] || chest generate scm --n-samples 20000 --seed 11 --out scm_fit.h5
[ -e scm_test.h5 ] || chest generate scm --n-samples 1000 --seed 12 --out scm_test.h5
fit() {  # name, channels, samples
  [ -e "lmmse_$1.h5" ] || chest fit lmmse --channels "$2" --samples "$3" --out "lmmse_$1.h5"
  [ -e "gmm_$1.h5" ] || chest fit gmm --channels "$2" --samples "$3" --covariance factors --components 256 --rank 4 \
    --iterations 40 --regularisation 1e-3 --out "gmm_$1.h5"
}
fit uma "$uma" 0:8000
fit scm scm_fit.h5 0:8000
[ -e vae_uma.h5 ] || chest fit vae --channels "$uma" --samples 0:8000 --validation 8000:8400 --epochs 50 --out vae_uma.h5
sweep() {  # name, channels, samples, model, further estimators
  chest sweep --channels "$2" --samples "$3" --snr=-10:5:20 --pilots qpsk:4,qpsk:8,qpsk:12,qpsk:16 --block 20 \
    --model "lmmse_$1.h5" --model "gmm_$1.h5" --model "$4" \
    --estimators "ls,lmmse,gmm,omp,sbl,dmse:bfloat16,ep:bfloat16,diffpir:bfloat16,pigdm:bfloat16,dps:bfloat16,score:bfloat16$5" \
    --out "pilots_$1.h5" --csv "pilots_$1.csv" --plot "pilots_$1.png"
  chest plot "pilots_$1.h5" --x n_pilots --out "pilots_$1_by_count.png" --force
}
sweep uma "$uma" "8400:$((8400 + n))" "$models/quadriga_umalos_64x16.h5" ,vae@vae_uma.h5
sweep scm scm_test.h5 "0:$n" "$models/scm_64x16.h5" ,genie
# Particles, on an array for which they are affordable.
[ -e small_test.h5 ] || chest generate scm --n-rx 16 --n-tx 4 --n-samples 200 --seed 12 --out small_test.h5
chest sweep --channels small_test.h5 --samples 0:40 --snr=0:10:20 --pilots qpsk:2,qpsk:3 --block 10 --model "$models/scm_16x4.h5" \
  --estimators sbl,dmse,ep,diffpir,smc,smc:potential=tweedie,particles=8,levels=20 --out small.h5 --csv small.csv
