"""One channel estimate as a user of the published method would write it in PyTorch, beside chest: CPU time and NMSE.

    python3 bench/published.py WEIGHTS.h5 [N_CHANNELS [MODEL.h5]]      (torch, numpy and h5py; chest on PATH)

WEIGHTS.h5 is the published network of the 3GPP channels as `chest import` reads it. PyTorch runs the loop of [Fesl2024a] on
channels of `chest generate scm`, one at a time and in batches of 64, on one thread; chest runs the same weights, with the calls
that `chest calibrate` finds, or with them and with one call MODEL.h5 (models/scm_64x16.h5 when left out) as well. Same channels, noise of the same power.
"""

import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch
import torch.nn.functional as F

weights = Path(sys.argv[1]).resolve()
n_channels = int(sys.argv[2]) if len(sys.argv) > 2 else 64
shipped = Path(sys.argv[3] if len(sys.argv) > 3 else Path(__file__).parents[1] / "models/scm_64x16.h5").resolve()
snrs = range(-15, 25, 5)
torch.set_num_threads(1)
torch.set_grad_enabled(False)


class Published:
    """The network and the reverse loop of [Fesl2024a]."""

    def __init__(self, file):
        with h5py.File(file) as f:
            state = {name: torch.tensor(np.asarray(f["state_dict"][name])) for name in f["state_dict"]}
        part = lambda name: (state[f"model.{name}.weight"], state[f"model.{name}.bias"])
        self.convolutions = [part(f"cnn_pre.conv_pre{i}") for i in range(2)] + [part(f"cnn_post.conv_post{i}") for i in range(3)]
        self.film = part("time_mlp.time_linear1")
        beta = torch.linspace(9.999000099991662e-05, 0.1, 100, dtype=torch.float64)
        self.beta, self.alpha = beta.float(), (1 - beta).float()
        self.abar = torch.cumprod(1 - beta, 0).float()

    def noise(self, x, index):
        phase = index * torch.exp(torch.arange(8) * (-np.log(1e4) / 7))
        scale, shift = F.linear(torch.cat([phase.sin(), phase.cos()]), *self.film).view(2, -1, 1, 1)
        for i, (weight, bias) in enumerate(self.convolutions):
            x = F.conv2d(x, weight, bias, padding=1)
            if i == 1:
                x = x * (1 + scale) + shift
            elif i < 4:
                x = F.relu(x)
        return x

    def estimate(self, y, snr):
        """y [n, 64, 16] complex64 -> h_hat, SNR linear."""
        angular = torch.fft.fft2(y, norm="ortho")
        x = torch.stack([angular.real, angular.imag], 1) * float(np.sqrt(snr / (1 + snr)))
        start = int(torch.argmin(torch.abs(self.abar / (1 - self.abar) - snr)))
        for i in range(start - 1, -1, -1):
            eps = self.noise(x, i)
            x = (x - self.beta[i] / torch.sqrt(1 - self.abar[i]) * eps) / torch.sqrt(self.alpha[i])
        return torch.fft.ifft2(torch.complex(x[:, 0], x[:, 1]), norm="ortho")


def run(*words):
    return subprocess.run(["chest", *map(str, words)], check=True, capture_output=True, text=True).stdout


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    run("generate", "scm", "--n-samples", n_channels, "--seed", 81, "--out", folder / "test.h5")
    run("generate", "scm", "--n-samples", 256, "--seed", 82, "--out", folder / "held.h5")
    run("import", weights, "--out", folder / "imported.h5")
    run("calibrate", folder / "imported.h5", "--channels", folder / "held.h5", "--samples", "0:256", "--pilots", "none")
    with h5py.File(folder / "test.h5") as f:
        h = f["channels"][:].astype(np.complex64)
    rng = np.random.default_rng(1)
    network = Published(weights)
    rows = {"PyTorch, one at a time": {}, "PyTorch, batches of 64": {}}
    for snr_db in snrs:
        snr = 10.0 ** (snr_db / 10)
        noise = rng.standard_normal(h.shape + (2,)).astype(np.float32).view(np.complex64)[..., 0] / np.sqrt(2 * snr)
        y = torch.tensor(h + noise.astype(np.complex64))
        for name, size in (("PyTorch, one at a time", 1), ("PyTorch, batches of 64", 64)):
            network.estimate(y[:size], snr)
            start = time.process_time()
            h_hat = torch.cat([network.estimate(y[i : i + size], snr) for i in range(0, len(y), size)]).numpy()
            seconds = (time.process_time() - start) / len(y)
            error = np.sum(np.abs(h_hat - h) ** 2) / np.sum(np.abs(h) ** 2)
            rows[name][snr_db] = (1e3 * seconds, 10 * np.log10(error))
    for name, model, estimator, block in (
        ("chest, those weights, one at a time", folder / "imported.h5", "dmse:precision=float32", 1),
        ("chest, those weights, blocks of 16", folder / "imported.h5", "dmse:precision=float32", 16),
        ("chest, its own model", shipped, "dmse:precision=float32", 16),
        ("chest, its own model, less than float32", shipped, "dmse:precision=auto", 16),
        ("chest, its own model, one call", shipped, "dmse:steps=1,precision=float32", 16),
        ("chest, the same, less than float32", shipped, "dmse:steps=1,precision=auto", 16),
    ):
        run("sweep", "--channels", folder / "test.h5", f"--snr={','.join(map(str, snrs))}", "--model", model, "--estimators",
            estimator, "--threads", 1, "--block", block, "--csv", folder / "row.csv", "--force")
        rows[name] = {}
        for row in csv.DictReader(open(folder / "row.csv")):
            rows[name][int(float(row["snr_db"]))] = (1e3 * float(row["seconds_per_channel"]), float(row["nmse_db"]))

print(f"torch {torch.__version__}, {n_channels} channels of 64x16, one thread; CPU milliseconds per channel and NMSE in dB")
print(f"{'':42s}" + "".join(f"{snr:15d}" for snr in snrs) + "    mean ms   times")
reference = np.mean([ms for ms, _ in rows["PyTorch, one at a time"].values()])
for name, row in rows.items():
    mean = np.mean([ms for ms, _ in row.values()])
    print(f"{name:42s}" + "".join(f"{row[s][0]:8.2f}{row[s][1]:7.2f}" for s in snrs) + f"{mean:10.2f}{reference / mean:8.1f}")
