#!/usr/bin/env bash
# What a call from Python and from Octave costs beside one from C: bench/doors.sh [BUILD]
# BUILD (build/release) has the library, the Python module and the MEX file (-DCHEST_WITH_PYTHON=ON -DCHEST_WITH_OCTAVE=ON).
# Prints the least processor time of many calls, one thread, complex64, noise variance known.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(realpath "${1:-build/release}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1 PYTHONPATH=$build/bindings/python LD_LIBRARY_PATH=$build/bindings/c
cc -std=gnu99 -O2 -Ibindings/c bench/doors.c -L"$build/bindings/c" -lchest -o "$work/doors"
echo "| model | batch | C | Python | more | Octave | more |"
echo "| --- | --- | --- | --- | --- | --- | --- |"
least() { printf '%s\n%s\n' "$1" "$2" | sort -g | head -n 1; }
for model in scm_16x4 scm_64x16; do
  size=${model#scm_}
  for batch in 1 64; do
    c=inf python=inf octave=inf
    # In turns, so that what else the machine does meets all alike.
    for _ in 1 2 3 4 5; do
      c=$(least $c "$("$work/doors" models/$model.h5 $batch)")
      python=$(least $python "$(/usr/bin/python3 bench/doors.py models/$model.h5 $batch)")
      octave=$(least $octave "$(MODEL=models/$model.h5 BATCH=$batch N_RX=${size%x*} N_TX=${size#*x} \
        octave-cli --no-init-file --quiet -p "$build/bindings/octave" bench/doors.m)")
    done
    echo "$model $batch $c $python $octave" | awk '{
      printf "| `%s` | %d | %.1f us | %.1f us | %.1f us, %.0f %% | %.1f us | %.1f us, %.0f %% |\n", $1, $2, 1e6 * $3, 1e6 * $4,
        1e6 * ($4 - $3), 100 * ($4 - $3) / $3, 1e6 * $5, 1e6 * ($5 - $3), 100 * ($5 - $3) / $3}'
  done
done
