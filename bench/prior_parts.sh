#!/usr/bin/env bash
# What each part of chest's prior is worth: the network and recipe without it, same channels, epochs
# and noise, one call per estimate, NMSE on validation channels.
#   bench/prior_parts.sh CHANNELS.mat FOLDER [EPOCHS]                      (chest on PATH)
# Fits on samples 0:8000 (6 epochs when left out), compares on 8000:8400; writes FOLDER/parts.csv.
set -euo pipefail
channels=$(realpath "$1")
epochs=${3:-6}
mkdir -p "$2"
cd "$2"
{
  echo "all |"
  echo "with a gate, o = g x + c | --network chest:gate"
  echo "no magnitude plane | --network chest:no-magnitude"
  echo "no position planes | --network chest:no-position"
  echo "zeros around the angular domain | --network chest:zero-padding"
  echo "one modulated layer | --network chest:modulated=1"
  echo "noise level as an index | --network chest:index"
  echo "no variance head | --network chest:no-variance"
  echo "mean square of the output | --objective prediction"
  echo "noise prediction | --prediction epsilon"
  echo "sample prediction | --prediction sample"
  echo "no augmentation | --augment none"
  echo "mirrored channels | --augment mirror"
  echo "directions turned by half a bin | --augment phase,turn=0.5"
  echo "axial layers | --network chest:axial"
  echo "wide and shallow: 48, 63, 32 | --network chest:hidden=48-63-32"
  echo "deep and narrow: six layers of 31 | --network chest:hidden=31-31-31-31-31-31"
  echo "the letter's network, our recipe | --network letter --prediction velocity --objective nmse --learning-rate 4e-3 --batch 16 --ema 0.998"
  echo "the letter's network and recipe | --network letter"
} > parts.txt
echo "part,mean_nmse_db,$(seq -s, -15 5 30)" > parts.csv
i=0
while IFS='|' read -r name flags; do
  i=$((i + 1))
  model=part$i.h5
  # shellcheck disable=SC2086
  [ -e "$model" ] || chest fit dmse --channels "$channels" --samples 0:8000 \
    --validation 8000:8400 --bfloat16 --epochs "$epochs" $flags --out "$model" > "part$i.log"
  chest sweep --channels "$channels" --samples 8000:8400 --snr=-15:5:30 --model "$model" \
    --estimators dmse:steps=1 --out "part$i.results.h5" --csv "part$i.csv" > /dev/null
  awk -F, -v name="${name% }" 'NR > 1 { all = all sprintf(",%.2f", $9); sum += $9; n++ }
    END { printf "\"%s\",%.3f%s\n", name, sum / n, all }' "part$i.csv" | tee -a parts.csv
done < parts.txt
