#!/usr/bin/env python3
"""Block error rates of Sionna's coded OFDM uplink with chest in the seat of its channel estimator.

Run by hand, in a virtual environment with sionna-no-rt 2.2 and the Python package of chest:

    examples/sionna/grid_link.py simo

simo is the set-up of Sionna's notebook Neural_Receiver: CDL-C, 100 ns, 10 m/s, 3.5 GHz, 30 kHz, an FFT of 128 with guard
bands and zero frequency left out, pilots on all other subcarriers of symbols 2 and 11, one transmit antenna, two receive
antennas of crossed polarisations, QPSK, 5G LDPC at rate 1/2, k = 1392. The axis is Eb/N0 as there, which is the SNR per
resource element and receive antenna: pilots and code are not counted against it.

    ls       Sionna's LSChannelEstimator, the nearest pilot
    lmmse    Sionna's LMMSEChannelEstimator, over time, then frequency, with the covariances of 2000 other draws of the cell
    chest    dmse with models/tdl_pusch.h5, which was fitted on tapped delay lines and knows nothing of this cell
    perfect  the channel itself

    scripts/sionna_links.py umi_fit.npz --links 2048 --seed 3
    chest fit lmmse --channels umi_fit.npz --grid 624x14@30 --panel 2x4x2 --normalise sample --out umi_lmmse.h5
    examples/sionna/grid_link.py cell --lmmse umi_lmmse.h5

cell is that of Sionna Bench: 4 users of one antenna, a base station of 2 rows x 4 columns x 2 polarisations, 14 symbols x
624 subcarriers at 30 kHz, pilots of Sionna's Kronecker pattern on symbols 2 and 11 (a comb of 4 for each user, energy 4), drops of
UMi at 3.5 GHz, 0 to 15 m/s, each link at power 1 over its grid, QPSK, rate 1/2, k = 7488. The axis is -10 log10(no), noise per
resource element and receive antenna.

    ls       Sionna's LSChannelEstimator, linear interpolation
    lmmse    covariances of links of another seed over antennas, subcarriers and symbols at once (chest; Sionna's filters of
             one axis after another do not fit into memory)
    chest    dmse with models/umi_16x624.h5
    perfect  the channel itself

Sionna draws channels, encodes, maps, equalises (LMMSE, told the error variances of the estimator) and decodes (20
iterations). All estimators see the same channels, noise and bits, and so do all points. Prints block error rates with 95 %
intervals, the NMSE over the grid, and where each estimator has a block error rate of 0.1.
"""
import argparse
import pathlib

import numpy as np
import torch
from sionna.phy import config
from sionna.phy.channel import (ApplyOFDMChannel, GenerateOFDMChannel, cir_to_ofdm_channel,
                                gen_single_sector_topology, subcarrier_frequencies)
from sionna.phy.channel.tr38901 import CDL, Antenna, AntennaArray, PanelArray, UMi
from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder
from sionna.phy.mapping import Demapper, Mapper
from sionna.phy.mimo import StreamManagement
from sionna.phy.ofdm import (LMMSEChannelEstimator, LMMSEEqualizer, LSChannelEstimator,
                             RemoveNulledSubcarriers, ResourceGrid, ResourceGridMapper)
from sionna.phy.utils import ebnodb2no

from chest_block import ChestGridEstimator
from flat_link import crossing, interval

MODELS = pathlib.Path(__file__).parents[2] / "models"
CARRIER_HZ, SPACING_HZ, N_SYMBOLS = 3.5e9, 30e3, 14


class Simo:
    axis, points, batch = "ebn0_db", [-2.25, -2, -1.75, -1.5, 2, 2.5], 50

    def __init__(self, args):
        self.grid = ResourceGrid(N_SYMBOLS, 128, SPACING_HZ, num_guard_carriers=(5, 6), dc_null=True,
                                 pilot_pattern="kronecker", pilot_ofdm_symbol_indices=[2, 11])
        user = Antenna("single", "V", "38.901", CARRIER_HZ)
        base = AntennaArray(1, 1, "dual", "VH", "38.901", CARRIER_HZ)
        model = CDL("C", 100e-9, CARRIER_HZ, user, base, "uplink", min_speed=10.0)
        self.draw = GenerateOFDMChannel(model, self.grid, normalize_channel=True)
        h = RemoveNulledSubcarriers(self.grid)(self.draw(2000))[:, 0, :, 0, 0].flatten(0, 1)
        n, n_s, n_f = h.shape
        cov_t = torch.einsum("nsf,nuf->su", h, h.conj()) / (n * n_f)
        cov_f = torch.einsum("nsf,nsg->fg", h, h.conj()) / (n * n_s)
        self.estimators = {
            "ls": LSChannelEstimator(self.grid, interpolation_type="nn"),
            "lmmse": LMMSEChannelEstimator(self.grid, cov_t, cov_f, order="t-f"),
            "chest": ChestGridEstimator(self.grid, "dmse", 2, [MODELS / "tdl_pusch.h5"]),
            "perfect": None,
        }

    def no(self, ebn0_db):
        return ebnodb2no(ebn0_db, 2, 0.5)


class Cell:
    axis, points, batch = "snr_db", [-9.5, -9, -8.5, -8, -5, -4], 2
    users = 4

    def __init__(self, args):
        if not args.lmmse:
            raise SystemExit("cell needs --lmmse, a model of chest fit lmmse (see the head of this file)")
        self.grid = ResourceGrid(N_SYMBOLS, 624, SPACING_HZ, num_tx=self.users,
                                 pilot_pattern="kronecker", pilot_ofdm_symbol_indices=[2, 11])
        panel = dict(carrier_frequency=CARRIER_HZ)
        base = PanelArray(2, 4, "dual", "cross", "38.901", **panel)
        user = PanelArray(1, 1, "single", "V", "omni", **panel)
        self.model = UMi(CARRIER_HZ, "low", user, base, "uplink", enable_pathloss=False,
                         enable_shadow_fading=False)
        self.frequencies = subcarrier_frequencies(624, SPACING_HZ)
        self.estimators = {
            "ls": LSChannelEstimator(self.grid, interpolation_type="lin"),
            "lmmse": ChestGridEstimator(self.grid, "lmmse", 16, [args.lmmse]),
            "chest": ChestGridEstimator(self.grid, "dmse", 16, [MODELS / "umi_16x624.h5"]),
            "perfect": None,
        }

    def draw(self, n):
        self.model.set_topology(*gen_single_sector_topology(n, self.users, "umi", min_ut_velocity=0.0,
                                                            max_ut_velocity=15.0))
        # Symbols follow each other at the mean distance of a slot, prefix included.
        a, tau = self.model(N_SYMBOLS, SPACING_HZ * 14 / 15)
        return cir_to_ofdm_channel(self.frequencies, a, tau, normalize=True)

    def no(self, snr_db):
        return torch.tensor(10 ** (-snr_db / 10))


class Link:
    """Codewords of all users of a set-up, one each."""

    def __init__(self, setup):
        grid = setup.grid
        self.estimators, self.shape = setup.estimators, (grid.num_tx, 1)
        self.n = int(grid.num_data_symbols) * 2
        self.encode = LDPC5GEncoder(self.n // 2, self.n)
        self.decode = LDPC5GDecoder(self.encode, hard_out=True)
        self.map, self.demap = Mapper("qam", 2), Demapper("app", "qam", 2)
        self.fill, self.apply = ResourceGridMapper(grid), ApplyOFDMChannel()
        self.used = RemoveNulledSubcarriers(grid)
        self.equalise = LMMSEEqualizer(grid, StreamManagement(np.ones((1, grid.num_tx)), 1))

    def run(self, h, no):
        """h [n, 1, n_rx, users, 1, symbols, fft] -> for each estimator which codewords were lost, and squares of
        its errors and of h."""
        bits = torch.randint(2, (len(h), *self.shape, self.n // 2)).float()
        y = self.apply(self.fill(self.map(self.encode(bits))), h, no)
        h = self.used(h)
        lost, squares = {}, {}
        for name, estimate in self.estimators.items():
            h_hat, err_var = estimate(y, no) if estimate else (h, torch.zeros(h.shape))
            x_hat, no_eff = self.equalise(y, h_hat, err_var, no)
            lost[name] = (self.decode(self.demap(x_hat, no_eff)) != bits).any(-1).flatten()
            squares[name] = torch.stack([((h_hat - h).abs() ** 2).sum(), (h.abs() ** 2).sum()])
        return lost, squares


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("setup", choices=["simo", "cell"])
    parser.add_argument("--points", type=float, nargs="+", help="on the axis, in dB")
    parser.add_argument("--channels", type=int, default=200, help="per point; of cell drops of 4 users")
    parser.add_argument("--lmmse", help="cell: model file of chest fit lmmse")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    config.seed = args.seed
    with torch.no_grad():
        setup = {"simo": Simo, "cell": Cell}[args.setup](args)
        link, points, bler = Link(setup), args.points or setup.points, {}
        names = list(link.estimators)
        print(f"| {setup.axis} | " + " | ".join(names) + " | NMSE in dB: " + ", ".join(names[:3]) + " |")
        print("| --- " * (len(names) + 2) + "|")
        channels = [setup.draw(setup.batch) for _ in range(-(-args.channels // setup.batch))]
        for point in points:
            torch.manual_seed(args.seed)  # the same bits and noise
            config.seed = args.seed
            found = [link.run(h, setup.no(point)) for h in channels]
            n = sum(lost["ls"].numel() for lost, _ in found)
            cells, levels = [], []
            for name in names:
                errors = int(sum(lost[name].sum() for lost, _ in found))
                bler.setdefault(name, []).append(errors / n)
                cells.append("%.3f (%.3f to %.3f)" % (errors / n, *interval(errors, n)))
                error, power = (float(s) for s in sum(squares[name] for _, squares in found))
                if error > 0:
                    levels.append("%.1f" % (10 * np.log10(error / power)))
            print("| %g | " % point + " | ".join(cells) + " | " + " / ".join(levels) + " |", flush=True)
    print("\nBLER 0.1 at " + ", ".join("%s %.1f dB" % (name, crossing(points, curve))
                                       for name, curve in bler.items()))


if __name__ == "__main__":
    main()
