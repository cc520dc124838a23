#!/usr/bin/env bash
# What the shipped network learned and what channels come out of it: the tables of docs/analysis.md and docs/sampling.md.
# About fifteen minutes on two cores. Writes tables as CSV into FOLDER.
#   bench/learned.sh MODEL.h5 CHANNELS FOLDER [N]                           (chest on PATH)
# CHANNELS: those of the model's kind that it was not fitted on, more than 4000. N: channels drawn and compared, 1000 when left out.
set -euo pipefail
model=$(realpath "$1")
channels=$(realpath "$2")
n=${4:-1000}
mkdir -p "$3"
cd "$3"
for kind in jacobian conservativity dimension score; do
  chest analyze $kind "$model" --channels "$channels" --snr=-10,0,10,20 --csv $kind.csv --plot $kind.png --force --quiet
  echo
done
chest analyze likelihood "$model" --channels "$channels" --n 8 --steps 25,50,100 --csv likelihood.csv --force --quiet
echo
chest analyze invert "$model" --channels "$channels" --n 8 --steps 10,20,50 --csv invert.csv --force --quiet
echo "sampler,calls,mmd2,mmd2_angular,sliced_wasserstein,rx_angles,tx_angles,power,rank,neighbours,lmmse_gap_db" > drawn.csv
for sampler in ddpm ddim heun dpm:order=2 dpm dpm:sde evodiff pc teleport:sde; do
  for calls in 10 20 50; do
    chest sample "$model" --n-samples "$n" --calls $calls --sampler $sampler --channels "$channels" \
      --out drawn.h5 --force --quiet > /dev/null
    chest compare "$channels" drawn.h5 --n "$n" --permutations 0 --snr 10 --csv row.csv --force > /dev/null
    awk -F, -v name="$sampler" -v calls="$calls" '$1 ~ /^nmse/ { nmse[$1] = $2; next }
      NR > 1 && $1 != "copies" { all = all "," $2 }
      END { printf "%s,%s%s,%.2f\n", name, calls, all,
            nmse["nmse_db_fitted_on_b_tested_on_a_at_10_db"] - nmse["nmse_db_fitted_on_a_tested_on_a_at_10_db"] }' \
      row.csv | tee -a drawn.csv
  done
done
# Mixtures fitted on n measured channels and on channels drawn from the network, tested on others.
chest sample "$model" --n-samples 4000 --calls 50 --channels "$channels" --out many.h5 --force --quiet > /dev/null
fit() { chest fit gmm --components 32 --force --quiet "$@" > /dev/null; }
fit --channels many.h5 --out gmm_drawn.h5
for count in 100 500 4000; do fit --channels "$channels" --samples 0:$count --out gmm_$count.h5; done
chest sweep --channels "$channels" --samples 4000: --snr 0,10,20 --quiet --csv fitted.csv --force \
  --estimators gmm@gmm_drawn.h5,gmm@gmm_100.h5,gmm@gmm_500.h5,gmm@gmm_4000.h5
