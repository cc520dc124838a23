#!/usr/bin/env bash
# A prior that goes on from its weights: through one call as it was fitted, and through three, as it is used at low SNR.
#   bench/unroll.sh FOLDER [EPOCHS]                                                           (chest on PATH)
# SCM 16x4, models/scm_16x4.h5 as the start; EPOCHS (4) of 125 steps of 64 channels at a rate of 5e-4; figures on 2000
# channels of another seed. Writes FOLDER/unroll.txt.
set -euo pipefail
model=$(realpath "$(dirname "$0")/../models/scm_16x4.h5")
epochs=${2:-4}
mkdir -p "$1"
cd "$1"
draw() { [ -e "$1.h5" ] || chest generate scm --n-rx 16 --n-tx 4 --n-samples "$2" --seed "$3" --out "$1.h5"; }
draw fit 9000 31
draw test 2000 32
go_on() {  # name, calls
  [ -e "$1.model" ] || chest fit dmse --start "$model" --unroll "$2" --channels fit.h5 --samples 0:8000 \
    --validation 8000:9000 --batch 64 --epochs "$epochs" --learning-rate 5e-4 --out "$1.model"
}
go_on one 1
go_on three 3
chest sweep --channels test.h5 --snr=-15:5:20 --csv unroll.csv --force --estimators "dmse:steps=1@$model,\
dmse:steps=3@$model,dmse:steps=1@one.model,dmse:steps=3@one.model,dmse:steps=1@three.model,dmse:steps=3@three.model" > /dev/null
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i }
  NR > 1 { name = $column["estimator"]; if (!(name in line)) order[++n] = name
           line[name] = line[name] sprintf("%8.3f", $column["nmse_db"]) }
  END { print "NMSE in dB at -15:5:20 dB"; for (i = 1; i <= n; i++) print line[order[i]], order[i] }' unroll.csv | tee unroll.txt
