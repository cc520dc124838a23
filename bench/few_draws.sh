#!/usr/bin/env bash
# Channels drawn in few calls: a prior as it was fitted for estimates, and one that went on by the discrepancy between what it
# draws in so many calls and channels of its kind.
#   bench/few_draws.sh FOLDER [EPOCHS]                                                        (chest on PATH)
# SCM 16x4, models/scm_16x4.h5 as the start; EPOCHS (8) of 63 steps of 256 channels at a rate of 1e-3; 2000 drawn channels against
# 2000 of another seed. THREADS: 0 (all) when left out. Writes FOLDER/few_draws.csv and FOLDER/few_draws_nmse.csv.
set -euo pipefail
model=$(realpath "$(dirname "$0")/../models/scm_16x4.h5")
epochs=${2:-8}
threads=${THREADS:-0}
mkdir -p "$1"
cd "$1"
draw() { [ -e "$1.h5" ] || chest generate scm --n-rx 16 --n-tx 4 --n-samples "$2" --seed "$3" --out "$1.h5"; }
draw fit 17000 31
draw test 4000 32
estimators=dmse:steps=1@$model
for calls in 1 2 3 5; do
  [ -e "draws_$calls.h5" ] || chest fit dmse --start "$model" --objective discrepancy --unroll $calls --channels fit.h5 \
    --samples 0:16000 --validation 16000:17000 --batch 256 --epochs "$epochs" --learning-rate 1e-3 --threads "$threads" \
    --out "draws_$calls.h5"
  estimators+=,dmse:steps=1@draws_$calls.h5
done
echo "model,sampler,calls,mmd2,mmd2_angular,sliced_wasserstein,rx_angles,tx_angles,power,rank,neighbours" > few_draws.csv
row() {  # name, model, sampler, calls
  if [ -n "$2" ]; then
    chest sample "$2" --n-samples 2000 --sampler "$3" --calls "$4" --seed 7 --out drawn.h5 --force --quiet > /dev/null
  else
    chest generate scm --n-rx 16 --n-tx 4 --n-samples 2000 --seed 33 --out drawn.h5 --force --quiet > /dev/null
  fi
  chest compare test.h5 drawn.h5 --n 2000 --permutations 0 --csv row.csv --force > /dev/null
  awk -F, -v name="$1,$3,$4" 'NR > 1 && $1 != "copies" && $1 !~ /^nmse/ { all = all sprintf(",%.5f", $2) }
    END { print name all }' row.csv | tee -a few_draws.csv
}
row "other channels" "" - -
for calls in 1 2 3 5; do
  for sampler in ddim dpm; do [ $calls = 1 ] && [ $sampler = dpm ] || row prior "$model" $sampler $calls; done
  row "fitted for $calls" "draws_$calls.h5" ddim $calls
done
for calls in 10 20 50; do row prior "$model" dpm $calls; done
chest sweep --channels test.h5 --snr=-10:10:20 --estimators "$estimators" --csv few_draws_nmse.csv --force > /dev/null
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i }
  NR > 1 { name = $column["estimator"]; if (!(name in line)) order[++n] = name
           line[name] = line[name] sprintf("%8.2f", $column["nmse_db"]) }
  END { print "NMSE in dB of one call at -10:10:20 dB"; for (i = 1; i <= n; i++) print line[order[i]], order[i] }' few_draws_nmse.csv
