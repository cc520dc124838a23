#!/usr/bin/env bash
# Linear MMSE by what is kept of the covariance: NMSE against the full matrix at 64x16, time and memory at 256x32.
#   bench/structured_lmmse.sh REFERENCE FOLDER [N_CHANNELS]              (chest on PATH, GNU time as /usr/bin/time)
# REFERENCE: the folder with data/quadriga_umalos_64x16.mat. N_CHANNELS: of the sweep at 256x32, 100 when left out.
set -euo pipefail
reference=$(realpath "$1")
n=${3:-100}
mkdir -p "$2"
cd "$2"
uma=$reference/data/quadriga_umalos_64x16.mat
timed() {  # name, command ...
  local name=$1
  shift
  /usr/bin/time -f "$name: %e s, %M kB resident at most" "$@"
}
[ -e scm_fit.h5 ] || chest generate scm --n-samples 20000 --seed 11 --out scm_fit.h5
[ -e scm_test.h5 ] || chest generate scm --n-samples 1000 --seed 12 --out scm_test.h5
compare() {  # name, channels, fitting samples, test channels, test samples
  local estimators=""
  for kind in full kronecker toeplitz dft; do
    [ -e "$1_$kind.h5" ] || chest fit lmmse --quiet --channels "$2" --samples "$3" --covariance $kind --out "$1_$kind.h5"
    estimators+=${estimators:+,}lmmse@$1_$kind.h5
  done
  chest sweep --quiet --channels "$4" --samples "$5" --pilots identity,qpsk:8 --snr=-10:10:20 --estimators "$estimators" \
    --out "$1.h5" --csv "$1.csv" --force
}
compare uma "$uma" 0:8000 "$uma" 8400:9000
compare few "$uma" 0:500 "$uma" 8400:9000
compare scm scm_fit.h5 0:8000 scm_test.h5 0:600
[ -e wide.h5 ] || timed "generate 256x32" chest generate scm --quiet --n-rx 256 --n-tx 32 --n-samples 4000 --seed 21 --out wide.h5
for kind in kronecker toeplitz dft; do
  timed "fit 256x32 $kind" chest fit lmmse --quiet --channels wide.h5 --samples 0:3800 --covariance $kind --out wide_$kind.h5 --force
  ls -l wide_$kind.h5
  timed "sweep 256x32 $kind" chest sweep --quiet --channels wide.h5 --samples "3800:$((3800 + n))" --snr=-10:10:20 \
    --pilots identity,qpsk:16 --estimators ls,lmmse@wide_$kind.h5 --block 4 --out sweep_$kind.h5 --csv sweep_$kind.csv --force
done
