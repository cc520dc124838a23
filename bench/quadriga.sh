#!/usr/bin/env bash
# The main job on QuaDRiGa UMa LOS channels, 64x16: fitted on samples 0:8000, reported on 8000:9000.
#   bench/quadriga.sh CHANNELS.mat WEIGHTS.h5 FOLDER [MINUTES]       (chest on PATH)
# WEIGHTS.h5: the authors' QuaDRiGa weights as HDF5 (dmse_quadriga_los_weights.h5). MINUTES: of fitting
# the own model, 80 when left out; an own.h5 that is there is used as it is.
set -euo pipefail
channels=$(realpath "$1")
weights=$(realpath "$2")
minutes=${4:-80}
mkdir -p "$3"
cd "$3"
on_others=(--channels "$channels" --samples 8000:9000)
[ -e published.h5 ] || chest import "$weights" --out published.h5
[ -e lmmse.h5 ] || chest fit lmmse --channels "$channels" --samples 0:8000 --out lmmse.h5
[ -e own.h5 ] || chest fit dmse --channels "$channels" --samples 0:8000 --network letter --learning-rate 1e-3 \
  --epochs 1000 --patience 1000 --minutes "$minutes" --out own.h5
models=(--model lmmse.h5)
networks=dmse@own.h5,dmse@published.h5,dmse:published@published.h5,dmse:steps=1@published.h5,dmse:steps=1@own.h5
snr=--snr=-10:5:20

# A sweep that is there already is continued or read, not repeated.
chest sweep "${on_others[@]}" "${models[@]}" --estimators "ls,lmmse,$networks" "$snr" \
  --out identity.h5 --csv identity.csv --plot identity.png
chest sweep "${on_others[@]}" "${models[@]}" --estimators "ls,lmmse,$networks" "$snr" \
  --pilots dft:16,dft:32 --out dft.h5 --csv dft.csv --plot dft.png
chest sweep "${on_others[@]}" "${models[@]}" --estimators ls,lmmse "$snr" \
  --pilots dft:8 --out dft8.h5 --csv dft8.csv --plot dft8.png
chest link "${on_others[@]}" "${models[@]}" --estimators ls,lmmse,dmse@own.h5,dmse:published@published.h5 \
  "$snr" --modulation qpsk,16qam,64qam --out link.h5 --csv link.csv --plot link.png
