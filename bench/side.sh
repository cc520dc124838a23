#!/usr/bin/env bash
# A network that is told another matrix of each channel, on 16x4 arrays, against the plain fit of as many steps: the same
# channels and noise, with the matrix, without it, and with that of another channel.
#   bench/side.sh FOLDER [EPOCHS]                      (chest on PATH; python3 with numpy and h5py)
# SCM links whose clusters stand still while their gains fade. slot: correlation 0.95 with the slot before; turned: the same,
# and a phase between the two that nobody knows; band: a band whose fading is independent, of the same directions. The
# matrix is what least squares, or the plain fit, makes of the other slot or band at 10 dB. Fits on 8000 (12 epochs of 125
# steps when EPOCHS is left out), figures on 2000 others. Writes FOLDER/side.txt.
set -euo pipefail
epochs=${2:-12}
mkdir -p "$1"
cd "$1"
[ -e links.h5 ] || chest generate scm --n-rx 16 --n-tx 4 --n-samples 10800 --seed 11 --out links.h5 --quiet > /dev/null
cat > links.py <<'P'
# NAME.npy: channels now; NAME_ls.npy: the others at 10 dB; NAME_wrong.npy: the same of the link after each.
import h5py
import numpy as np

with h5py.File("links.h5") as f:
    other = f["channels"][:].astype(complex)
    sides = [f["covariance/t_rx"][:].astype(complex), f["covariance/t_tx"][:].astype(complex)]
rng = np.random.default_rng(1)

def normal(shape):
    return rng.standard_normal((*shape, 2)).view(complex)[..., 0] / np.sqrt(2)

def factor(t):  # of Hermitian Toeplitz matrices with these first columns
    n = t.shape[1]
    i, j = np.indices((n, n))
    C = np.where(i >= j, t[:, np.abs(i - j)], t[:, np.abs(i - j)].conj())
    values, vectors = np.linalg.eigh(C)
    return vectors * np.sqrt(np.maximum(values, 0))[:, None, :]

L_rx, L_tx = map(factor, sides)
fresh = L_rx @ normal(other.shape) @ L_tx.transpose(0, 2, 1)
ls = other + np.sqrt(0.1) * normal(other.shape)
turn = np.exp(2j * np.pi * rng.random((len(other), 1, 1)))
for name, a, phase in (("slot", 0.95, 1), ("turned", 0.95, turn), ("band", 0, 1)):
    np.save(name + ".npy", phase * (a * other + np.sqrt(1 - a * a) * fresh))
np.save("ls.npy", ls)
np.save("ls_wrong.npy", np.roll(ls, -1, axis=0))

# What a genie with the covariance of each link makes of y alone, and of both slots.
def nmse(name, a, use):
    h = np.load(name + ".npy")[8800:9800]
    C_rx, C_tx = [x[8800:9800] @ x[8800:9800].conj().transpose(0, 2, 1) for x in (L_rx, L_tx)]
    C = (C_rx[:, :, None, :, None] * C_tx[:, None, :, None, :]).reshape(-1, 64, 64)  # rows of H one after the other
    eye, known = np.eye(64), ls[8800:9800].reshape(-1, 64, 1)
    row = []
    for snr in (-10, 0, 10, 20):
        sigma2 = 10 ** (-snr / 10)
        y = h.reshape(-1, 64, 1) + np.sqrt(sigma2) * normal((len(h), 64, 1))
        mean, P = np.zeros_like(y), C
        if use:  # the slot before
            K = a * C @ np.linalg.inv(C + 0.1 * eye)
            mean, P = K @ known, C - a * K @ C
        e = mean + P @ np.linalg.solve(P + sigma2 * eye, y - mean) - h.reshape(-1, 64, 1)
        row.append(10 * np.log10(np.sum(np.abs(e) ** 2) / np.sum(np.abs(h) ** 2)))
    return "".join(f"{value:9.2f}" for value in row)

with open("genie.txt", "w") as out:
    for name, a, use, what in (("slot", 0.95, False, "y alone"), ("slot", 0.95, True, "y and ls"), ("band", 0, False, "either")):
        print(f"{name:7s} {what:34s}{nmse(name, a, use)}", file=out)
P
[ -e genie.txt ] || OPENBLAS_NUM_THREADS=1 python3 links.py
fit() {  # name, channels, options
  [ -e "$1.h5" ] || chest fit dmse --channels "$2.npy" --samples 0:8000 --validation 8000:8800 --epochs "$epochs" \
    --batch 64 --quiet --out "$1.h5" "${@:3}" > "$1.fit.txt"
}
cat > table.py <<'P'
import csv

for row in csv.DictReader(open("row.csv")):
    print(f"{float(row['nmse_db']):9.2f}", end="")
print()
P
row() {  # label, channels, model, options
  printf '%-7s %-34s' "$2" "$1"
  chest sweep --channels "$2.npy" --samples 8800: --estimators dmse --model "$3.h5" --snr=-10:10:20 --quiet --csv row.csv \
    --force "${@:4}" > /dev/null
  python3 table.py
}
{
  echo "NMSE in dB at -10, 0, 10, 20 dB, $epochs epochs of 125 steps"
  fit plain slot
  [ -e dmse.h5 ] || chest estimate --observations ls.npy --snr 10 --model plain.h5 --out dmse.h5 --quiet > /dev/null
  for name in slot turned band; do
    fit "${name}_ls" "$name" --side ls.npy
    fit "${name}_dmse" "$name" --side dmse.h5
    row "plain" "$name" plain
    row "told ls" "$name" "${name}_ls" --side ls.npy
    row "the same, left out" "$name" "${name}_ls"
    row "the same, of another link" "$name" "${name}_ls" --side ls_wrong.npy
    row "told dmse" "$name" "${name}_dmse" --side dmse.h5
  done
  echo "genie with the covariance of each link:"
  cat genie.txt
} | tee side.txt
