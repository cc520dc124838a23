#!/usr/bin/env bash
# The main job on a small array, from nothing to a plot: channels, the model that ships with chest and
# one that is fitted here, a sweep against the baselines. Under ten minutes on two cores, set-up
# aside: scripts/demo.sh [FOLDER]
set -euo pipefail
out=$(realpath -m "${1:-demo-out}")
cd "$(dirname "$0")/.."
source scripts/setup.sh
configure release -DCHEST_BUILD_TESTS=OFF -DCHEST_BUILD_BENCH=OFF -DCHEST_BUILD_EXAMPLES=OFF
cmake --build --preset release --target chest
chest=$PWD/build/release/cli/chest
models=$PWD/models
mkdir -p "$out"
cd "$out"

run() {
  echo "\$ chest $*"
  "$chest" "$@"
}
# 3GPP spatial channel model, 16 x 4 antennas: fitting channels, and others to report on.
run generate scm --n-rx 16 --n-tx 4 --n-samples 20000 --seed 1 --out train.h5 --force
run generate scm --n-rx 16 --n-tx 4 --n-samples 2000 --seed 2 --out test.h5 --force
# Is there something to learn on such channels?
run info train.h5
run fit lmmse --channels train.h5 --out lmmse.h5 --force
rm -f fitted.h5.checkpoint
run fit dmse --channels train.h5 --out fitted.h5 --augment mirror --batch 64 --minutes 2 --force
cp "$models/scm_16x4.h5" shipped.h5
run sweep --channels test.h5 --model lmmse.h5 --estimators ls,lmmse,genie,dmse@fitted.h5,dmse@shipped.h5 \
  --snr=-10:5:20 --out results.h5 --csv results.csv --plot results.png --force
echo "results: $out/results.csv, plot: $out/results.png"
