#!/usr/bin/env bash
# What received pilots of a site buy a model of another one: chest adapt from 100, 1000 and all observations.
#   bench/adapt.sh REFERENCE FOLDER        (chest on PATH; python3 with numpy and h5py)
# REFERENCE: the folder with data/quadriga_umalos_64x16.mat, quadriga_umanlos_64x16.mat and quadriga_umilos_32x4.mat. The table is
# FOLDER/adapt.csv: site,model,snr_db,nmse_db. Adaptations are counted in epochs: the figures are the same everywhere.
set -euo pipefail
reference=$(realpath "$1")
models=$(realpath "$(dirname "$0")/../models")
mkdir -p "$2"
cd "$2"
los=$reference/data/quadriga_umalos_64x16.mat
nlos=$reference/data/quadriga_umanlos_64x16.mat
umi=$reference/data/quadriga_umilos_32x4.mat

# observe CHANNELS.mat FIRST:END SNR_DB SLOTS OUT.npy: Y = H + N, or of SLOTS random QPSK slots, Y = H P + N
observe() {
  [ -e "$5" ] || python3 - "$@" <<'P'
import sys
import h5py
import numpy as np

name, samples, snr_db, slots, out = sys.argv[1:]
first, end = (int(word) for word in samples.split(":"))
with h5py.File(name) as f:
    h = f["H_all"][:, :, first:end]
h = (h["real"] + 1j * h["imag"]).transpose(2, 1, 0)
rng = np.random.default_rng(1)
if int(slots) > 0:
    p = (rng.choice([-1, 1], (h.shape[2], int(slots))) + 1j * rng.choice([-1, 1], (h.shape[2], int(slots))))
    p /= np.sqrt(2 * h.shape[2])
    np.save("P.npy", p)
    h = h @ p
n = rng.standard_normal(h.shape + (2,)).view(complex)[..., 0] * np.sqrt(0.5 * 10 ** (-float(snr_db) / 10))
np.save(out, (h + n).astype(np.complex64))
P
}
estimator=dmse
# report SITE CHANNELS FIRST:END NAME MODEL [sweep options]
report() {
  chest sweep --channels "$2" --samples "$3" --snr=-10:5:20 --quiet --csv row.csv --force --model "$5" \
    --estimators "$estimator" --threads 1 "${@:6}" > /dev/null
  awk -F, -v site="$1" -v name="$4" 'NR > 1 { print site "," name "," $4 "," $9 }' row.csv | tee -a adapt.csv
}
adapt() {  # MODEL OBSERVATIONS FIRST:END EPOCHS OUT [options]
  [ -e "$5" ] || chest adapt "$1" --observations "$2" --samples "$3" --snr 10 --out "$5" --threads 1 \
    --epochs "$4" --bfloat16 --quiet "${@:6}" | tee "$5.txt"
}
# stages SITE CHANNELS FIRST:END MODEL OBSERVATIONS: before, and from N of the observations in E epochs, for N:E in "${@:6}"
stages() {
  report "$1" "$2" "$3" before "$4"
  local run n
  for run in "${@:6}"; do
    n=${run%:*}
    adapt "$4" "$5" "0:$n" "${run#*:}" "$1_$n.h5"
    report "$1" "$2" "$3" "$n" "$1_$n.h5"
  done
}

echo "site,model,snr_db,nmse_db" > adapt.csv
observe "$los" 0:8000 10 0 los.npy
stages los "$los" 8400:9000 "$models/scm_64x16.h5" los.npy 100:15 1000:12 8000:4
report los "$los" 8400:9000 clean "$models/quadriga_umalos_64x16.h5"

# LOS to NLOS; a model fitted on its clean channels from the start, for as long.
observe "$nlos" 0:1600 10 0 nlos.npy
stages nlos "$nlos" 1600:2000 "$models/quadriga_umalos_64x16.h5" nlos.npy 100:15 1000:12 1600:15
[ -e nlos_clean.h5 ] || chest fit dmse --channels "$nlos" --samples 0:1600 --epochs 15 --network \
  chest:hidden=32-60-41-22,no-position,gate --bfloat16 --threads 1 --out nlos_clean.h5 --quiet
report nlos "$nlos" 1600:2000 clean nlos_clean.h5

# The model for many arrays, of the SCM, to UMi with 32x4 antennas.
observe "$umi" 0:3200 10 0 umi.npy
stages umi "$umi" 3600:4000 "$models/scm_arrays.h5" umi.npy 100:15 1000:12 3200:8
[ -e umi_clean.h5 ] || chest fit dmse --channels "$umi" --samples 0:3200 --validation 3200:3600 --epochs 8 --bfloat16 --threads 1 \
  --out umi_clean.h5 --quiet
report umi "$umi" 3600:4000 clean umi_clean.h5

# Half as many pilot slots as antennas.
observe "$los" 0:1000 10 8 few.npy
adapt "$models/scm_64x16.h5" few.npy 0:1000 10 few_1000.h5 --pilots file=P.npy
report few-identity "$los" 8400:9000 1000 few_1000.h5
estimator=diffpir
for model in before:"$models/scm_64x16.h5" 1000:few_1000.h5 full-1000:los_1000.h5 clean:"$models/quadriga_umalos_64x16.h5"; do
  report few "$los" 8400:8460 "${model%%:*}" "${model#*:}" --pilots file=P.npy
done
