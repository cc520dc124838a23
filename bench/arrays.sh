#!/usr/bin/env bash
# What one prior for many arrays loses against one for each size: the same generator and number of steps, NMSE of one
# call on channels of sizes that it was fitted among and of sizes that it never saw.
#   bench/arrays.sh FOLDER [MINUTES]                                           (chest on PATH)
# MINUTES of each fit, 10 when left out. The model that ships is taken where FOLDER/many.h5 is not there.
# Writes FOLDER/arrays.csv.
set -euo pipefail
minutes=${2:-10}
models=$(realpath "$(dirname "$0")/../models")
mkdir -p "$1"
cd "$1"
[ -e many.h5 ] || cp "$models/scm_8-128x1-32.h5" many.h5
echo "n_rx,n_tx,snr_db,ls_db,lmmse_db,genie_db,one_for_all_db,one_per_size_db" > arrays.csv
for size in 8x1 16x4 24x7 64x16 100x20 128x32; do
  n_rx=${size%x*}
  n_tx=${size#*x}
  [ -e "fit_$size.h5" ] || chest generate scm --n-rx "$n_rx" --n-tx "$n_tx" --n-samples 8000 --seed 21 --out "fit_$size.h5"
  [ -e "test_$size.h5" ] || chest generate scm --n-rx "$n_rx" --n-tx "$n_tx" --n-samples 300 --seed 22 --out "test_$size.h5"
  flags=()
  estimators=ls,genie,dmse:steps=1@many.h5
  [ "$((n_rx * n_tx))" -gt 2048 ] || { [ -e "lmmse_$size.h5" ] || chest fit lmmse --channels "fit_$size.h5" --out "lmmse_$size.h5"
    flags=(--model "lmmse_$size.h5"); estimators+=,lmmse; }
  [ "$minutes" = 0 ] || { [ -e "own_$size.h5" ] || chest fit dmse --channels "fit_$size.h5" --minutes "$minutes" --bfloat16 \
    --out "own_$size.h5" > "own_$size.log" 2>&1
    estimators+=,dmse:steps=1@own_$size.h5; }
  chest sweep --channels "test_$size.h5" --snr=-10:10:30 --estimators "$estimators" ${flags[@]+"${flags[@]}"} \
    --out "table_$size.results.h5" --csv "table_$size.csv" --quiet > /dev/null
  awk -F, -v rx="$n_rx" -v tx="$n_tx" '
    NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
    { snr = $column["snr_db"]; value[snr, $column["estimator"]] = $column["nmse_db"]; if (!(snr in seen)) { seen[snr] = 1; order[++n] = snr } }
    END { for (i = 1; i <= n; i++) { s = order[i]
      printf "%d,%d,%s,%s,%s,%s,%s,%s\n", rx, tx, s, value[s, "ls"], value[s, "lmmse"], value[s, "genie"],
        value[s, "dmse:steps=1@many.h5"], value[s, "dmse:steps=1@own_" rx "x" tx ".h5"] } }' "table_$size.csv" | tee -a arrays.csv
done
