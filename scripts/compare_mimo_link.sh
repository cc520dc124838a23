#!/usr/bin/env bash
# Block error rates of four layers beside those that others published: an uplink 8 x 4 over CDL with a code for each layer, as in
# Sionna's notebook on MIMO OFDM transmissions over CDL (docs/link.md).
#
#   scripts/compare_mimo_link.sh FOLDER [SAMPLES [RUNG ...]]
#
# FOLDER gets channels and results; CHEST is the program. SAMPLES (default 250) slots of four transport blocks at an SNR. Rungs:
# A B C D E still moving prefix; without names all.
#
# 2.6 GHz, 100 ns, 15 kHz, 60 of 72 subcarriers, here side by side; QPSK, rate 1/2, belief propagation with 20 iterations; each
# channel at power 1, pilots at energy 1. Each layer has a quarter of our SNR and the power 1 there, and N0 holds prefix and pilots:
#   SNR = Eb/N0 + 10 log10(4 n_layers / (14 (1 + CP / 72) / n_data_symbols))
set -euo pipefail
folder=${1:?a folder for channels and results}
samples=${2:-250}
rungs=" ${*:3} "
threads=${THREADS:-0}
here=$(cd "$(dirname "$0")/.." && pwd)
chest=${CHEST:-$here/build/release/cli/chest}
mkdir -p "$folder"
cd "$folder"

# rung NAME PROFILE KM/H PILOT_SYMBOLS INFO_BITS OFFSET_DB "EB_N0 ..." ESTIMATOR
# Terminals move in any direction, as there.
rung() {
  [[ $rungs == "  " || $rungs == *" $1 "* ]] || return 0
  local name=$1 file=cdl_$2_$3_$samples.h5
  [ -e "$file" ] || "$chest" generate cdl --profile "$2" --delay-spread 100 --speed "$3" --carrier 2.6 --direction any --rx-panel 1x4x2 \
    --tx-panel 1x2x2:directional --grid 60x14@15 --n-samples "$samples" --seed 1 --threads "$threads" --out "$file" --quiet > /dev/null
  local snr="" eb
  for eb in $7; do snr=$snr,$(awk "BEGIN { print $eb + $6 }"); done
  "$chest" link --channels "$file" --normalise sample --pilots "comb:4,symbols=$4" --pilot-power 1 --layer-codes --modulation qpsk \
    --code-rate 0.5 --info-bits "$5" --decoder bp --schedule flooding --iterations 20 --estimators "$8" --snr="${snr#,}" \
    --threads "$threads" --force --quiet --csv "$name.csv" > /dev/null
  python3 - "$name" "$6" <<'PY'
import csv, sys
name, offset = sys.argv[1], float(sys.argv[2])
rows = list(csv.DictReader(open(name + ".csv")))
for estimator in dict.fromkeys(row["estimator"] for row in rows):
    print(name, estimator, " ".join(
        f"{float(r['snr_db']) - offset:g}: {float(r['bler']):.3g} ({float(r['bler_ci95_low']):.3g} .. {float(r['bler_ci95_high']):.3g})"
        for r in rows if r["estimator"] == estimator))
PY
}
nearest=ls:interpolation=nearest,time=nearest
for profile in A B C D E; do rung "$profile" $profile 0 2-11 704 11.02 "-5 -1 3 7 11 15" $nearest; done
# One pilot symbol, standing still and at 20 m/s: symbols there, 78 of 72 samples, are 1.2 % longer than ours of 71.4 us, which the
# speed makes up for.
rung still D 0 0 764 11.37 "0 2 4 6 8 10 12 14" $nearest
rung moving D 72.87 0 764 11.37 "0 2 4 6 8 10 18 22 30" $nearest
# A long prefix.
rung prefix C 10.8 2-11 704 10.31 "0 2 4 6 8 10" $nearest
