#!/usr/bin/env bash
# Fits models/umi_16x624.h5 and the models that docs/grid.md compares it with, on links drawn by scripts/sionna_links.py.
#
#   scripts/fit_umi_model.sh FOLDER [MINUTES]
#
# FOLDER gets the links and the models; PYTHON is a Python with sionna-no-rt 2.2, CHEST the program. About MINUTES (default 33)
# plus a quarter of an hour on two cores, 6 GB of memory.
set -euo pipefail
folder=${1:?a folder for links and models}
minutes=${2:-33}
python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")/.." && pwd)
chest=${CHEST:-$here/build/release/cli/chest}
mkdir -p "$folder"
cd "$folder"

draw() { [ -e "$1" ] || "$python" "$here/scripts/sionna_links.py" "$@"; }
draw umi_fit.npz --links 16384 --seed 3
draw umi_calibrate.npz --links 256 --seed 2001
draw umi_test.npz --links 512 --seed 1001
draw uma_test.npz --links 256 --seed 1002 --scenario uma
draw cell_test.npz --links 64 --seed 1003 --users 4

links=(--channels umi_fit.npz --grid 624x14@30 --panel 2x4x2 --normalise sample)
"$chest" fit dmse "${links[@]}" --samples 0:15872 --validation 15872:16384 --minutes "$minutes" \
  --out umi_16x624.h5
"$chest" calibrate umi_16x624.h5 --channels umi_calibrate.npz --grid 624x1@30 --panel 2x4x2 --normalise sample
# The others see as many links as they gain from.
"$chest" fit lmmse "${links[@]}" --samples 0:15872 --out umi_lmmse.h5
"$chest" fit gmm "${links[@]}" --samples 0:4096 --validation 15872:16384 --out umi_gmm.h5
