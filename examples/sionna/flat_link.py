#!/usr/bin/env python3
"""Block error rates of a coded MIMO link over QuaDRiGa channels, with chest as Sionna's channel estimator.

Run by hand, in a virtual environment with sionna-no-rt 2.2, matplotlib and the Python package of chest:

    CHEST_REFERENCE_DIR=DIR examples/sionna/flat_link.py --plot flat_link.png

DIR/data/quadriga_umalos_64x16.mat has the channels: 64 receive, 16 transmit antennas, flat over a block. A block is 16 slots
of pilots (the antennas in turn, y = H + n) and a codeword of 1024 bits of 5G LDPC at rate 1/2 in QPSK on two streams, which
go through a pair of antennas at a time, all pairs in turn, at half the power each. Sionna encodes, maps, detects (maximum
likelihood over both streams) and decodes; its detector is told the noise and the predicted error of the estimate as noise.
Estimators: what was received (LS), LMMSE with the covariance of the channels that the model was fitted on, the model, and
the channel itself. All see the same blocks. Channels are those of users 8400 to 8999, which no model was fitted on.

Prints a table of block error rates with 95 % intervals and the SNR at which each estimator has one of 0.1.
"""
import argparse
import os
import pathlib
import tempfile

import numpy as np
import torch
from sionna.phy import config
from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder
from sionna.phy.mapping import Mapper
from sionna.phy.mimo import MaximumLikelihoodDetector

import chest
from chest_block import ChestEstimator

MODEL = pathlib.Path(__file__).parents[2] / "models" / "quadriga_umalos_64x16.h5"
N_TX, N_STREAMS, K, N = 16, 2, 512, 1024


class Link(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = LDPC5GEncoder(K, N)
        self.decode = LDPC5GDecoder(self.encode, hard_out=True)
        self.map = Mapper("qam", 2)
        self.detect = MaximumLikelihoodDetector("bit", "app", N_STREAMS, "qam", 2)

    def noise(self, shape, no):
        return torch.randn(shape, dtype=torch.complex64) * no**0.5

    def forward(self, h, no, estimators):
        """h [n, n_rx, n_tx] -> for each estimator which blocks were lost [n], and NMSE."""
        n, n_slots = len(h), N // (2 * N_STREAMS)
        bits = torch.randint(2, (n, K)).float()
        x = self.map(self.encode(bits)).reshape(n, n_slots, N_STREAMS)
        pairs = torch.arange(N_TX // 2)[:, None] + torch.tensor([0, N_TX // 2])
        in_turn = lambda m: m.repeat(1, n_slots // len(pairs), 1, 1)
        of_pairs = lambda m: m[:, :, pairs].permute(0, 2, 1, 3) / N_STREAMS**0.5  # [n, pair, rx, stream]
        through = in_turn(of_pairs(h))
        y = (through @ x[..., None])[..., 0]
        y = y + self.noise(y.shape, no)
        pilots = h + self.noise(h.shape, no)
        lost, nmse = {}, {}
        for name, estimate in estimators.items():
            h_hat, err_var = estimate(pilots, no) if estimate else (h, torch.zeros(h.shape))
            nmse[name] = ((h_hat - h).abs() ** 2).sum() / (h.abs() ** 2).sum()
            # Noise is white, so what is received outside of the streams' two dimensions says nothing.
            q, r = map(in_turn, torch.linalg.qr(of_pairs(h_hat)))
            # Streams have power 1/2 each: together they carry the error of one entry.
            s = (no + err_var[:, 0, 0])[:, None, None, None] * torch.eye(N_STREAMS)
            llr = self.detect((q.mH @ y[..., None])[..., 0], r,
                              s.to(torch.complex64).expand(-1, n_slots, -1, -1))
            lost[name] = (self.decode(llr.reshape(n, N)) != bits).any(-1)
        return lost, nmse


def interval(errors, n):
    """95 % of a proportion (Wilson)."""
    z, p = 1.96, errors / n
    middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return max(middle - half, 0) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def crossing(snr, bler, target=0.1):
    """Where a curve meets `target`, on a logarithmic axis; NaN where it does not."""
    for i in range(len(snr) - 1):
        if bler[i] > target >= bler[i + 1]:
            high, low = np.log(bler[i]), np.log(max(bler[i + 1], 1e-4))
            return snr[i] + (high - np.log(target)) / (high - low) * (snr[i + 1] - snr[i])
    return float("nan")


def draw(file, snr, bler):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(figsize=(5, 3.6), dpi=90, layout="constrained")
    for (name, curve), marker in zip(bler.items(), "osd^"):
        axes.semilogy(snr, [p or np.nan for p in curve], "-" + marker, ms=4, label=name)
    axes.set(xlabel="SNR in dB", ylabel="block error rate", ylim=(1e-3, 1.1))
    axes.grid(True, which="both", alpha=0.25)
    axes.legend()
    figure.savefig(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--snr", type=float, nargs="+", default=list(range(-12, 5, 2)), help="in dB")
    parser.add_argument("--blocks", type=int, default=300, help="per SNR, spread over the 600 channels")
    parser.add_argument("--plot", help="file for the figure")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    folder = os.environ.get("CHEST_REFERENCE_DIR")
    if not folder:
        raise SystemExit("CHEST_REFERENCE_DIR is not set: the folder with data/quadriga_umalos_64x16.mat")
    file = pathlib.Path(folder) / "data" / "quadriga_umalos_64x16.mat"
    scale = chest.read_channels(file, normalise="dataset").scale
    h = torch.from_dlpack(chest.read_channels(file, normalise=scale, samples=(8400, 9000))[:])
    h = h[torch.arange(args.blocks) * len(h) // args.blocks]
    link = Link()
    bler = {}
    with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
        lmmse = pathlib.Path(scratch) / "lmmse.h5"
        chest.fit_lmmse(chest.read_channels(file, normalise=scale, samples=(0, 8000)), lmmse)
        estimators = {"ls": ChestEstimator("ls:64x16"), "lmmse": ChestEstimator(lmmse),
                      "chest": ChestEstimator(MODEL), "perfect": None}
        names = list(estimators)
        print("| snr_db | " + " | ".join(names) + " | NMSE in dB: " + ", ".join(names[:3]) + " |")
        print("| --- " * (len(names) + 2) + "|")
        for snr_db in args.snr:
            torch.manual_seed(args.seed)  # the same bits and noise
            config.seed = args.seed
            no = torch.tensor(10 ** (-snr_db / 10))
            lost, nmse = {name: [] for name in names}, {name: [] for name in names}
            for block in h.split(50):
                for found, of in zip(link(block, no, estimators), (lost, nmse)):
                    for name in names:
                        of[name].append(found[name])
            n = sum(map(len, lost["ls"]))
            errors = {name: int(torch.cat(lost[name]).sum()) for name in names}
            cells = ["%.4f (%.4f to %.4f)" % (errors[name] / n, *interval(errors[name], n))
                     for name in names]
            levels = ["%.1f" % (10 * np.log10(np.mean(nmse[name]))) for name in names[:3]]
            print("| %g | " % snr_db + " | ".join(cells) + " | " + " / ".join(levels) + " |", flush=True)
            for name in names:
                bler.setdefault(name, []).append(errors[name] / n)
    at = {name: crossing(args.snr, curve) for name, curve in bler.items()}
    print("\nBLER 0.1 at " + ", ".join("%s %.1f dB" % item for item in at.items()))
    if args.plot:
        draw(args.plot, args.snr, bler)


if __name__ == "__main__":
    main()
