#!/usr/bin/env bash
# The samplers of `chest sample` on an exact mixture prior, over denoiser calls: distances between their channels and
# draws of the mixture itself. The table of docs/sampling.md; about ten minutes on two cores.
#   bench/samplers.sh FOLDER [N]                                            (chest on PATH)
# N: channels of each set, 2000 when left out. Writes FOLDER/samplers.csv; the rows `exact` are other draws of the
# mixture: what no sampler can beat.
set -euo pipefail
n=${2:-2000}
mkdir -p "$1"
cd "$1"
chest generate gmm --n-rx 8 --n-tx 4 --n-components 8 --n-samples 20000 --out channels.h5 --force --quiet > /dev/null
chest fit gmm --covariance full --components 8 --channels channels.h5 --out prior.h5 --force --quiet > /dev/null
draw() { chest sample prior.h5 --n-samples "$n" --double --force --quiet "$@" > /dev/null; }
draw --sampler exact --seed 1 --out truth.h5
echo "sampler,calls,mmd2,mmd2_angular,sliced_wasserstein,rx_angles,tx_angles,power,rank,neighbours" > samplers.csv
row() {
  chest compare truth.h5 drawn.h5 --n "$n" --permutations 0 --estimator none --csv row.csv --force > /dev/null
  awk -F, -v name="$1" -v calls="$2" 'NR > 1 && $1 != "copies" { all = all "," $2 }
    END { print name "," calls all }' row.csv | tee -a samplers.csv
}
for seed in 2 3 4; do
  draw --sampler exact --seed $seed --out drawn.h5
  row exact 0
done
for sampler in ddpm ddim euler heun dpm:order=2 dpm:order=3 dpm:sde evodiff pc lml lml:damping=1e-3 gibbs coarse-to-fine \
  shortest-path teleport teleport:sde; do
  for calls in 5 10 20 50 100; do
    [ "$sampler-$calls" != gibbs-5 ] || continue  # too few for it
    draw --sampler $sampler --calls $calls --seed 2 --out drawn.h5
    row $sampler $calls
  done
done
