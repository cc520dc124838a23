#!/usr/bin/env bash
# Block error rates beside those that others published: a terminal and two antennas over CDL-C, as in Sionna's notebook on a
# neural receiver (docs/link.md).
#
#   scripts/compare_link.sh FOLDER [SAMPLES]
#
# FOLDER gets channels, models and results; CHEST is the program. SAMPLES (default 4000) transport blocks at an SNR; some minutes.
# Then what remains beside perfect knowledge: errors of the estimates as white ones, error variances that are not told, one and
# two rounds of estimation with decoded data.
set -euo pipefail
folder=${1:?a folder for channels and results}
samples=${2:-4000}
threads=${THREADS:-0}
here=$(cd "$(dirname "$0")/.." && pwd)
chest=${CHEST:-$here/build/release/cli/chest}
mkdir -p "$folder"
cd "$folder"

# 3.5 GHz, 100 ns, 10 m/s; 128 subcarriers of 30 kHz without guards and zero frequency, here side by side.
draw() {  # FILE SEED SAMPLES
  [ -e "$1" ] || "$chest" generate cdl --profile C --delay-spread 100 --speed 36 --carrier 3.5 --rx-panel 1x1x2 \
    --tx-panel 1x1x1:directional --grid 116x14@30 --n-samples "$3" --seed "$2" --threads "$threads" --out "$1"
}
draw cdlc_fit.h5 2 4000
draw "cdlc_$samples.h5" 1 "$samples"
[ -e cdlc_lmmse.h5 ] || "$chest" fit lmmse --channels cdlc_fit.h5 --normalise sample --out cdlc_lmmse.h5

# Pilots on all subcarriers of symbols 2 and 11; 1392 bits with the CRC, 2784 sent: one bit per symbol, SNR = Eb/N0.
"$chest" link --channels "cdlc_$samples.h5" --normalise sample --pilots comb:1,symbols=2-11 --modulation qpsk --code-rate 0.5 \
  --info-bits 1376 --decoder bp --schedule flooding --iterations 20 --model cdlc_lmmse.h5 \
  --estimators ls:interpolation=nearest,time=nearest,ls,lmmse --snr=-2.5:0.5:3 --threads "$threads" --force \
  --out "cdlc_$samples.results.h5" --csv cdlc.csv --plot cdlc.svg

"$chest" link --channels "cdlc_$samples.h5" --normalise sample --pilots comb:1,symbols=2-11 --modulation qpsk --code-rate 0.5 \
  --info-bits 1376 --decoder bp --schedule flooding --iterations 20 --model cdlc_lmmse.h5 --model "$here/models/tdl_pusch.h5" \
  --estimators lmmse,dmse --beside white,untold,data1,data2 --snr=-2.25:0.25:-1 --threads "$threads" --force \
  --out "cdlc_beside_$samples.results.h5" --csv cdlc_beside.csv
