#!/usr/bin/env bash
# Fits models/tdl_pusch.h5: a prior of the tapped delay lines that base stations are tested with, for any number of uncorrelated
# antennas, 15 and 30 kHz, and any bandwidth; and models of single profiles, which docs/grid.md compares it with.
#
#   scripts/fit_tdl_model.sh FOLDER [MINUTES]
#
# FOLDER gets the channels and the models; CHEST is the program. About MINUTES (default 10) for the mix, a quarter of it for each
# of two profiles, and five minutes.
set -euo pipefail
folder=${1:?a folder for channels and models}
minutes=${2:-10}
threads=${THREADS:-0}
here=$(cd "$(dirname "$0")/.." && pwd)
chest=${CHEST:-$here/build/release/cli/chest}
mkdir -p "$folder"
cd "$folder"

# One antenna: those of a file are independent, and each is estimated by itself. At 15 kHz, whose every second subcarrier is
# one of 30 kHz. The profiles of 38.104 three times as often as those of 38.901 at other delay spreads.
fixed=TDLA30-10,TDLB100-400,TDLC300-100
draw() {  # FILE, options
  local file=$1
  shift
  [ -e "$file" ] || "$chest" generate tdl "$@" --n-rx 1 --n-tx 1 --grid 1272x14@15 --threads "$threads" --out "$file"
}
draw tdl_fit.h5 --profile "$fixed,$fixed,$fixed,A,B,C,D,E" --delay-spread 30,100,300 --doppler 100 \
  --n-samples 24576 --seed 11
draw tdla_fit.h5 --profile TDLA30-10 --n-samples 8192 --seed 12
draw tdlc_fit.h5 --profile TDLC300-100 --n-samples 8192 --seed 13

# Few channels, so that the limit falls into one of many epochs: the best one counts.
fit() {  # CHANNELS MODEL SAMPLES VALIDATION MINUTES
  [ -e "$2" ] || "$chest" fit dmse --channels "$1" --comb 2,4,8 --samples "0:$3" --validation "$4" \
    --minutes "$5" --threads "$threads" --out "$2"
}
fit tdl_fit.h5 tdl_pusch.h5 4096 24064:24320 "$minutes"
fit tdla_fit.h5 tdla_only.h5 1024 7936:8192 "$((minutes / 4))"
fit tdlc_fit.h5 tdlc_only.h5 1024 7936:8192 "$((minutes / 4))"
# The covariances of the same channels, for 273 PRB at 30 kHz.
[ -e tdl_lmmse.h5 ] || "$chest" fit lmmse --channels tdl_fit.h5 --grid 6552x14@15 --samples 0:2400 --out tdl_lmmse.h5
