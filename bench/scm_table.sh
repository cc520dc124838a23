#!/usr/bin/env bash
# The published network on generated SCM channels, 64x16: NMSE over SNR against LS, LMMSE and genie.
#   bench/scm_table.sh WEIGHTS.h5 FOLDER      (chest on PATH; a few minutes on two cores)
# WEIGHTS.h5: the authors' 3GPP weights as HDF5 (dmse_3gpp_path3_weights.h5).
set -euo pipefail
weights=$(realpath "$1")
mkdir -p "$2"
cd "$2"
chest import "$weights" --out published_scm.h5 --force
chest generate scm --n-samples 20000 --seed 11 --out scm_fit.h5 --force
chest generate scm --n-samples 1000 --seed 12 --out scm_test.h5 --force
chest fit lmmse --channels scm_fit.h5 --out lmmse_scm.h5 --force
chest fit lmmse --channels scm_fit.h5 --covariance toeplitz --out lmmse_scm_toeplitz.h5 --force
chest sweep --channels scm_test.h5 --model published_scm.h5 --snr=-15:5:20 \
  --estimators ls,lmmse@lmmse_scm.h5,lmmse@lmmse_scm_toeplitz.h5,genie,dmse:published,dmse:steps=1,dmse:steps=3 \
  --out scm.h5 --csv scm.csv --plot scm.png
