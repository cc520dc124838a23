#!/usr/bin/env bash
# Methods for any pilots with their own parameters tuned as dmse's solvers are: on the same validation channels, within our
# budget and as published, beside their defaults; the table of docs/measurements.md.
#   bench/tuned.sh REFERENCE FOLDER [N_TUNE] [N_TEST]                       (chest on PATH)
# REFERENCE: the folder with data/quadriga_umalos_64x16.mat. N_TUNE: channels of the search, 16 when left out; N_TEST: of the table,
# 32. METHODS, PUBLISHED, PILOTS, SNR, LONG and LONG_SNR choose less or more; LONG are the methods with thousands of calls, tuned
# and tried on a quarter as many channels at LONG_SNR.
set -euo pipefail
reference=$(realpath "$1")
model=$(realpath "$(dirname "$0")/../models")/quadriga_umalos_64x16.h5
n_tune=${3:-16}
n_test=${4:-32}
methods=${METHODS:-ep,diffpir,pigdm,dps,score,red-diff}
published=${PUBLISHED:-ep,diffpir,pigdm}
long=${LONG:-dps,score,red-diff}
pilots=${PILOTS:-qpsk:8,qpsk:16}
snr=${SNR:-0,10,20}
long_snr=${LONG_SNR:-10}
mkdir -p "$2"
cd "$2"
uma=$reference/data/quadriga_umalos_64x16.mat
quarter() { echo $((($1 + 3) / 4)); }
tune() {  # name, methods, budget, SNRs, channels
  [ ! -e "$1.h5" ] || return 0
  chest calibrate "$model" --out "$1.part.h5" --force --channels "$uma" --samples 8000:8400 --method "$2" --budget "$3" \
    --pilots "$pilots" --snr="$4" --n-channels "$5" --bfloat16 --threads 1
  mv "$1.part.h5" "$1.h5"
}
tune ours "$methods" ours "$snr" "$n_tune"
tune published "$published" published "$snr" "$n_tune"
tune long "$long" published "$long_snr" "$(quarter "$n_tune")"
sweep() {  # name, model, estimators, SNRs, channels
  [ -e "$1.csv" ] || chest sweep --channels "$uma" --samples "8400:$((8400 + $5))" --snr="$4" --pilots "$pilots" --block 4 --threads 1 \
    --model "$2" --estimators "$3" --out "$1.sweep.h5" --csv "$1.csv" --force
}
each() { tr ',' '\n' <<< "$1" | sed "s/\$/$2/" | paste -sd,; }
sweep ours ours.h5 "dmse:bfloat16,$(each "$methods" :bfloat16),$(each "$methods" ':tuned=ours,bfloat16')" "$snr" "$n_test"
sweep published published.h5 "$(each "$published" ':tuned=published,bfloat16')" "$snr" "$n_test"
sweep long long.h5 "dmse:bfloat16,$(each "$long" ':tuned=published,bfloat16'),score:published,bfloat16" "$long_snr" "$(quarter "$n_test")"
# NMSE in dB, a row per estimator, a column per pilots and SNR; the last columns are calls and ms per channel.
for csv in "ours.csv published.csv" long.csv; do
  echo
  awk -F, 'FNR == 1 { for (i = 1; i <= NF; ++i) at[$i] = i; next }
    { gsub(/"/, ""); e = $1; for (i = 2; $i !~ /^(qpsk|dft|identity)/; ++i) e = e "," $i
      p = $i " " $(i + 2); d = i - 2
      if (!(p in seen_p)) { seen_p[p]; ps[++n_p] = p }
      if (!(e in seen_e)) { seen_e[e]; es[++n_e] = e }
      nmse[e, p] = $(at["nmse_db"] + d); nfe[e] = $(at["nfe"] + d); ms[e] = 1e3 * $(at["seconds_per_channel"] + d) }
    END { printf "| |"; for (i = 1; i <= n_p; ++i) printf " %s dB |", ps[i]; print " calls | ms |"
      printf "|---|"; for (i = 1; i <= n_p; ++i) printf "---|"; print "---|---|"
      for (j = 1; j <= n_e; ++j) { printf "| `%s` |", es[j]
        for (i = 1; i <= n_p; ++i) printf " %.1f |", nmse[es[j], ps[i]]
        printf " %.0f | %.0f |\n", nfe[es[j]], ms[es[j]] } }' $csv
done
