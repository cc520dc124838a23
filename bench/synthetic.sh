#!/usr/bin/env bash
# Are drawn channels worth fitting on? Estimators fitted on n measured channels, and on these and drawn ones: from a network that was
# fitted on the same n channels, and from one that has seen many of their kind. The table of docs/sampling.md, about fifteen minutes.
#   bench/synthetic.sh MODEL.h5 CHANNELS FOLDER [MINUTES] [DRAWN]           (chest on PATH; python3 with numpy and h5py)
# CHANNELS: those of the model's kind that it was not fitted on, more than 4000; the last are tested on. MINUTES: of the fit of each
# network, 2 when left out. DRAWN: channels drawn from each, 2000 when left out. Writes FOLDER/synthetic.csv.
set -euo pipefail
model=$(realpath "$1")
channels=$(realpath "$2")
minutes=${4:-2}
drawn=${5:-2000}
mkdir -p "$3"
cd "$3"
# together OUT.npy FILE:COUNT FILE ...: channels of several files one after another
together() {
  python3 - "$@" <<'P'
import sys
import h5py
import numpy as np

parts = []
for word in sys.argv[2:]:
    name, _, count = word.partition(":")
    with h5py.File(name) as f:
        h = f["channels"][: int(count)] if count else f["channels"][:]
    parts.append(h["r"] + 1j * h["i"] if h.dtype.names else h)
np.save(sys.argv[1], np.concatenate(parts).astype(np.complex64))
P
}
fit() { chest fit "$1" --channels "$2" --axes nrt --out "$3" --force --quiet "${@:4}" > /dev/null; }
echo "n,fitted_on,estimator,snr_db,nmse_db" > synthetic.csv
for n in 50 200 1000; do
  rm -f own.h5.checkpoint  # of the fit before, which its minutes ended
  fit dmse "$channels" own.h5 --samples 0:$n --minutes "$minutes"
  chest sample own.h5 --n-samples "$drawn" --calls 50 --out of_own.h5 --force --quiet > /dev/null
  chest sample "$model" --n-samples "$drawn" --calls 50 --seed 3 --out of_model.h5 --force --quiet > /dev/null
  together measured.npy "$channels:$n"
  together with_own.npy "$channels:$n" of_own.h5
  together with_model.npy "$channels:$n" of_model.h5
  for set in measured with_own with_model; do
    fit lmmse $set.npy lmmse_$set.h5
    fit gmm $set.npy gmm_$set.h5 --components $((n / 5 < 32 ? n / 5 : 32))
    chest sweep --channels "$channels" --samples 4000: --snr 0,10,20 --quiet --csv row.csv --force \
      --estimators lmmse@lmmse_$set.h5,gmm@gmm_$set.h5 > /dev/null
    awk -F, -v n=$n -v set=$set 'NR > 1 { print n "," set "," $1 "," $4 "," $9 }' row.csv | tee -a synthetic.csv
  done
  chest sweep --channels "$channels" --samples 4000: --snr 0,10,20 --quiet --csv row.csv --force \
    --model own.h5 --estimators dmse > /dev/null
  awk -F, -v n=$n 'NR > 1 { print n ",measured," $1 "," $4 "," $9 }' row.csv | tee -a synthetic.csv
done
