#!/usr/bin/env bash
# How the prior grows with the number of fitting channels and with its size: the same number of
# training steps for all, one call per estimate, NMSE on channels that no fit or choice has seen.
#   bench/prior_growth.sh CHANNELS.mat FOLDER [STEPS]                      (chest on PATH)
# STEPS: batches of 16, 10000 when left out. Writes FOLDER/growth.csv.
set -euo pipefail
channels=$(realpath "$1")
steps=${3:-10000}
mkdir -p "$2"
cd "$2"
echo "fitting_channels,parameters,mean_nmse_db,$(seq -s, -15 5 30)" > growth.csv
for run in 500:32-58-41-22 2000:32-58-41-22 8000:32-58-41-22 8000:10-18-12-8 8000:56-100-72-36; do
  n=${run%%:*}
  layers=${run#*:}
  model=growth_$n.$layers.h5
  epochs=$((steps * 16 / n))
  [ -e "$model" ] || chest fit dmse --channels "$channels" --samples "0:$n" --validation 8000:8400 \
    --bfloat16 --epochs "$epochs" --patience "$epochs" --network "chest:hidden=$layers" \
    --out "$model" > "growth_$n.$layers.log"
  chest sweep --channels "$channels" --samples 8400:9000 --snr=-15:5:30 --model "$model" \
    --estimators dmse:steps=1 --out "growth_$n.$layers.results.h5" --csv "growth_$n.$layers.csv" > /dev/null
  parameters=$(chest info "$model" | awk '/parameters/ { print $2 }')
  awk -F, -v n="$n" -v p="$parameters" 'NR > 1 { all = all sprintf(",%.2f", $9); sum += $9; k++ }
    END { printf "%d,%d,%.3f%s\n", n, p, sum / k, all }' "growth_$n.$layers.csv" | tee -a growth.csv
done
