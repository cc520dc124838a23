#!/usr/bin/env bash
# Fits that know more than channels, on 16x4 arrays: networks that are told the class of a channel or tell it, channels of
# any gain, and noise that is another channel, each against the plain fit of as many steps.
#   bench/labels.sh FOLDER [EPOCHS]                    (chest on PATH; python3 with numpy and h5py)
# Two kinds of channels of equal power: one narrow path, and three wide ones. Fits on 8000 (12 epochs of 125 steps when
# EPOCHS is left out), figures on 2000 others of each kind. Writes FOLDER/labels.txt.
set -euo pipefail
epochs=${2:-12}
mkdir -p "$1"
cd "$1"
draw() {  # name, paths, spread, samples, seed
  [ -e "$1.h5" ] || chest generate scm --n-rx 16 --n-tx 4 --n-paths "$2" --spread-rx-deg "$3" --spread-tx-deg "$3" \
    --n-samples "$4" --seed "$5" --out "$1.h5" --quiet > /dev/null
}
draw narrow 1 2 4400 11
draw wide 3 8 4400 12
draw narrow_test 1 2 2000 21
draw wide_test 3 8 2000 22
cat > mix.py <<'P'
import h5py
import numpy as np

def channels(name):
    with h5py.File(name + ".h5") as f:
        return f["channels"][:].astype(np.complex64)

def spread(h):  # angles of equal power that would hold as much: 1 / sum of squared parts, in dB
    p = np.abs(np.fft.fft2(h, norm="ortho")) ** 2
    p /= p.sum(axis=(1, 2), keepdims=True)
    return -10 * np.log10((p**2).sum(axis=(1, 2)))

for out, narrow, wide in (("mix", "narrow", "wide"), ("mix_test", "narrow_test", "wide_test")):
    h = np.concatenate([channels(narrow), channels(wide)])
    labels = np.repeat([0, 1], len(h) // 2)
    order = np.random.default_rng(1).permutation(len(h))
    np.save(out + ".npy", h[order])
    np.save(out + "_labels.npy", labels[order].astype(np.int32))
    np.save(out + "_numbers.npy", spread(h)[order])
P
[ -e mix_test_numbers.npy ] || python3 mix.py
fit() {  # name, options
  [ -e "$1.h5.model" ] || chest fit dmse --channels mix.npy --samples 0:8000 --validation 8000:8800 --epochs "$epochs" \
    --batch 64 --quiet --out "$1.h5.model" "${@:2}" > "$1.fit.txt"
}
fit plain
fit tells --labels mix_labels.npy --numbers mix_numbers.npy
fit told --labels mix_labels.npy --network chest:told-class
fit gain --augment phase,gain=6
fit contaminated --augment phase,contamination=1
cat > table.py <<'P'
import csv

rows = {}
for row in csv.DictReader(open("row.csv")):
    rows.setdefault(row["estimator"], []).append(float(row["nmse_db"]))
for name, values in rows.items():
    print(f"  {name:52s}" + "".join(f"{value:9.2f}" for value in values))
P
# NMSE of estimators on a test set: sweep CHANNELS ESTIMATORS SNR [options]
sweep() {
  chest sweep --channels "$1" --estimators "$2" --snr="$3" --quiet --csv row.csv --force "${@:4}" > /dev/null
  python3 table.py
}
{
  echo "NMSE in dB at -10, 0, 10, 20 dB, $epochs epochs of 125 steps"
  for kind in narrow wide; do
    class=$([ $kind = narrow ] && echo 0 || echo 1)
    echo "$kind channels, whose class is $class:"
    sweep ${kind}_test.h5 "dmse@plain.h5.model,dmse@tells.h5.model,dmse@told.h5.model,\
dmse:class=$class@told.h5.model,dmse:class=$((1 - class))@told.h5.model,dmse:class=$class,guidance=0.5@told.h5.model,\
dmse:class=$class,guidance=1@told.h5.model,dmse@gain.h5.model,dmse@contaminated.h5.model" -10:10:20
  done
  echo "the same channels of both kinds, 6 dB louder and weaker than fitted, noise too:"
  for scale in 1.99526 0.501187; do
    gain=$([ $scale = 1.99526 ] && echo 6 || echo -6)
    echo " gain $gain dB"
    sweep mix_test.npy "dmse@plain.h5.model,dmse@gain.h5.model" "$((-10 - gain)):10:$((20 - gain))" --normalise $scale
  done
} | tee labels.txt
cat > told.py <<'P'
# What the heads tell, and channels of another user in place of a part of the noise.
import subprocess
import sys

import h5py
import numpy as np

h = np.load("mix_test.npy")
labels, numbers = np.load("mix_test_labels.npy"), np.load("mix_test_numbers.npy")
rng = np.random.default_rng(2)

def estimate(y, snr, model):
    np.save("y.npy", y.astype(np.complex64))
    subprocess.run(["chest", "estimate", "--observations", "y.npy", f"--snr={snr}", "--model", model, "--out",
                    "estimate.h5", "--force", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return h5py.File("estimate.h5")

print("what the heads tell: SNR, wrong classes in %, cross entropy in nat, rms error of the number (spread of it) in dB")
for snr in (-10, 0, 10, 20):
    sigma = 10 ** (-snr / 20)
    y = h + sigma * rng.standard_normal(h.shape + (2,)).view(complex)[..., 0] / np.sqrt(2)
    with estimate(y, snr, "tells.h5.model") as f:
        p, told = f["class_probability"][:], f["numbers"][:, 0]
    entropy = -np.mean(np.log(p[np.arange(len(p)), labels]))
    print(f"  {snr:4d} {100 * np.mean(p.argmax(1) != labels):8.1f} {entropy:8.3f} "
          f"{np.sqrt(np.mean((told - numbers) ** 2)):8.2f} ({np.std(numbers):.2f})")
print("part of the noise power that is another user's channel, at 5 dB: NMSE in dB of plain, contaminated")
for share in (0, 0.25, 0.5, 1):
    snr, sigma = 5, 10 ** (-5 / 20)
    noise = rng.standard_normal(h.shape + (2,)).view(complex)[..., 0] / np.sqrt(2)
    other = h[rng.permutation(len(h))] * np.exp(2j * np.pi * rng.random((len(h), 1, 1)))
    y = h + sigma * (np.sqrt(1 - share) * noise + np.sqrt(share) * other)
    row = []
    for model in ("plain.h5.model", "contaminated.h5.model"):
        with estimate(y, snr, model) as f:
            e = f["channels"][:]
        row.append(10 * np.log10(np.sum(np.abs(e - h) ** 2) / np.sum(np.abs(h) ** 2)))
    print(f"  {share:5.2f} {row[0]:8.2f} {row[1]:8.2f}")
P
python3 told.py | tee -a labels.txt
