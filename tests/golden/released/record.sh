#!/usr/bin/env bash
# Model files as a version of chest writes them, which every later one has to read: run once for a release, by its own program,
#   tests/golden/released/record.sh build/release/cli/chest
# makes tests/golden/released/VERSION/: one small model of each kind, observations y.h5, and what that version estimated from them.
# Before VERSION is released its folder is made anew when a form changes; after that it stays as it is.
set -euo pipefail
program=$(realpath "$1")
version=$("$program" --version | sed -n '1s/^chest \([0-9.]*\).*/\1/p')
out=$(realpath "$(dirname "$0")")/$version
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s "$program" "$work/chest"
export PATH=$work:$PATH
mkdir "$work/files"
cd "$work/files"  # files name each other without the folders of this machine
chest generate scm --n-rx 4 --n-tx 2 --n-samples 800 --seed 1 --out h.h5 --quiet
chest fit lmmse --channels h.h5 --out lmmse.h5 --quiet
chest fit gmm --channels h.h5 --covariance dft --components 2 --out gmm.h5 --quiet
chest fit gmm --channels h.h5 --covariance full --components 2 --out gmm_full.h5 --quiet
chest fit dmse --channels h.h5 --network chest:hidden=4-4 --epochs 2 --out dmse.h5 --quiet
chest fit vae --channels h.h5 --latent 1 --epochs 2 --out vae.h5 --quiet
chest generate scm --n-rx 4 --n-tx 2 --n-samples 6 --seed 2 --out y.h5 --quiet
for kind in lmmse gmm gmm_full dmse; do
  chest estimate --observations y.h5 --snr 10 --estimator "${kind%_full}" --model "$kind.h5" --out "of_$kind.h5" --quiet
done
rm h.h5
rm -rf "$out"
mkdir "$out"
mv ./*.h5 "$out"
ls -l "$out"
