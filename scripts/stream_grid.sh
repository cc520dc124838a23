#!/usr/bin/env bash
# Streams wide grids through a sweep in bounded memory: links of 64 antennas x 3276 subcarriers x 14 symbols, kept as gains and
# delays, whose grids would take 23 GB for 1000 links.
#
#   scripts/stream_grid.sh [LINKS] [FOLDER]
#
# Address space is limited to 2 GiB. Prints the time and the table.
set -euo pipefail
links=${1:-1000}
folder=${2:-$(mktemp -d)}
here=$(cd "$(dirname "$0")/.." && pwd)
chest=${CHEST:-$here/build/release/cli/chest}
cd "$folder"
"$chest" generate tdl --profile TDLC300-100 --n-rx 64 --grid 3276x14@30 --n-samples "$links" \
  --out wide.h5 --force
ls -l wide.h5
ulimit -v $((2 * 1024 * 1024))
time "$chest" sweep --channels wide.h5 --estimators ls --pilots comb:4,symbols=2-11 --snr 10 \
  --out wide_results.h5 --force
