#!/usr/bin/env bash
# A small network on the families whose least error is known, held against it and against LMMSE: the table of
# docs/sampling.md, in about MINUTES for each of three families; and the bases and dimensions of these networks over SNR, of
# docs/analysis.md.
#   bench/families.sh FOLDER [MINUTES]                                      (chest on PATH)
# MINUTES: of each fit, 3 when left out. Writes FOLDER/families.csv, jacobian_NAME.csv and dimension_NAME.csv.
set -euo pipefail
minutes=${2:-3}
mkdir -p "$1"
cd "$1"
echo "family,snr_db,optimum_db,lmmse_db,gmm_db,dmse_db" > families.csv
for family in "power-law --alpha 1" "regions --n-components 16" "paths --n-paths 1"; do
  name=${family%% *}
  size="--n-rx 32 --n-tx 1"
  [ "$name" != regions ] || size="--n-rx 16 --n-tx 8"
  chest generate $family $size --n-samples 9000 --out $name.h5 --force --quiet > /dev/null
  chest fit lmmse --channels $name.h5 --samples 0:8000 --out lmmse.h5 --force --quiet > /dev/null
  chest fit gmm --channels $name.h5 --samples 0:8000 --components 32 --out gmm.h5 --force --quiet > /dev/null
  chest fit dmse --channels $name.h5 --samples 0:8000 --minutes "$minutes" --out dmse_$name.h5 --force --quiet > /dev/null
  chest sweep --channels $name.h5 --samples 8000: --snr=-10:10:30 --model lmmse.h5 --model gmm.h5 --model dmse_$name.h5 \
    --estimators lmmse,gmm,dmse:steps=1 --csv $name.csv --force --quiet > /dev/null
  optimum=$(chest info $name.h5 --quiet | sed -n 's/.*pilots identity: //p')
  for snr in -10 0 10 20 30; do
    best=$(tr ',' '\n' <<< "$optimum" | awk -v snr=$snr '$3 == snr { print $1 }')
    awk -F, -v name=$name -v snr=$snr -v best="$best" 'NR > 1 && $4 == snr { nmse[$1] = $9 }
      END { printf "%s,%s,%s,%.1f,%.1f,%.1f\n", name, snr, best, nmse["lmmse"], nmse["gmm"], nmse["dmse:steps=1"] }' \
      $name.csv | tee -a families.csv
  done
  for kind in jacobian dimension; do
    chest analyze $kind dmse_$name.h5 --channels $name.h5 --samples 8000: --n 20 --snr=-10:10:30 \
      --csv ${kind}_$name.csv --force --quiet
  done
done
