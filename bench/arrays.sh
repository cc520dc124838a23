#!/usr/bin/env bash
# What one prior for many arrays loses against one for each size: the same generator and number of steps, NMSE of one
# call on channels of sizes that it was fitted among and of sizes that it never saw.
#   bench/arrays.sh FOLDER [MINUTES]                                           (chest on PATH)
# MINUTES of each fit, 10 when left out; 0: the models that ship, where there are some. FOLDER/many.h5 is made where it is not
# there.
# Writes FOLDER/arrays.csv.
set -euo pipefail
minutes=${2:-10}
models=$(realpath "$(dirname "$0")/../models")
mkdir -p "$1"
cd "$1"
if [ ! -e many.h5 ]; then
  chest generate scm --n-rx 128 --n-tx 32 --n-samples 5000 --seed 31 --out wide.h5
  chest generate scm --rx-panel 8x16x1 --n-tx 32 --n-samples 5000 --seed 32 --out panel.h5
  fit="chest fit dmse --channels wide.h5 --samples 0:4800 --validation 4800:5000 --arrays 8-128x1-32 --bfloat16"
  $fit --minutes 13 --out lines.h5
  $fit --also panel.h5 --start lines.h5 --epochs 14 --out many.h5
fi
echo "n_rx,n_tx,snr_db,ls_db,lmmse_db,genie_db,one_for_all_db,one_per_size_db" > arrays.csv
for size in 8x1 16x4 24x7 64x16 100x20 128x32; do
  n_rx=${size%x*}
  n_tx=${size#*x}
  [ -e "fit_$size.h5" ] || chest generate scm --n-rx "$n_rx" --n-tx "$n_tx" --n-samples 2000 --seed 21 --out "fit_$size.h5"
  [ -e "test_$size.h5" ] || chest generate scm --n-rx "$n_rx" --n-tx "$n_tx" --n-samples 200 --seed 22 --out "test_$size.h5"
  estimators=ls,genie,lmmse@lmmse_$size.h5,dmse:steps=1@many.h5
  [ -e "lmmse_$size.h5" ] ||
    chest fit lmmse --channels "fit_$size.h5" --covariance kronecker --out "lmmse_$size.h5"
  if [ ! -e "own_$size.h5" ]; then
    if [ "$minutes" != 0 ]; then
      chest fit dmse --channels "fit_$size.h5" --minutes "$minutes" --bfloat16 --out "own_$size.h5" > "own_$size.log" 2>&1
    elif [ -e "$models/scm_$size.h5" ]; then
      cp "$models/scm_$size.h5" "own_$size.h5"
    fi
  fi
  [ ! -e "own_$size.h5" ] || estimators+=,dmse:steps=1@own_$size.h5
  chest sweep --channels "test_$size.h5" --snr=-10:10:30 --estimators "$estimators" \
    --out "table_$size.results.h5" --csv "table_$size.csv" --quiet > /dev/null
  awk -F, -v rx="$n_rx" -v tx="$n_tx" '
    NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
    { snr = $column["snr_db"]; value[snr, $column["estimator"]] = $column["nmse_db"]; if (!(snr in seen)) { seen[snr] = 1; order[++n] = snr } }
    END { for (i = 1; i <= n; i++) { s = order[i]
      printf "%d,%d,%s,%s,%s,%s,%s,%s\n", rx, tx, s, value[s, "ls"], value[s, "lmmse@lmmse_" rx "x" tx ".h5"], value[s, "genie"],
        value[s, "dmse:steps=1@many.h5"], value[s, "dmse:steps=1@own_" rx "x" tx ".h5"] } }' "table_$size.csv" | tee -a arrays.csv
done
