#!/usr/bin/env python3
"""Estimators on OFDM grids, Sionna beside chest, on the same channels, pilots and noise.

Run by hand, in a virtual environment with sionna-no-rt 2.2 and h5py (about 3 GB):

    scripts/compare_sionna_grid.py --chest build/release/cli/chest --cell s8
    scripts/compare_sionna_grid.py --chest build/release/cli/chest --cell bench --test 4

Draws uplink links of UMi (3GPP TR 38.901, 3.5 GHz, 30 kHz, 3 m/s, no path loss, no shadowing; base station of
4 x 2 dual-polarised elements, one antenna per user), each brought to power 1 over its grid. Covariances come from
links that are not tested, those of antennas and symbols by `chest fit lmmse`, that of subcarriers from powers and
delays; both programs take them from one model file. Pilots and noise are drawn once. Sionna computes in double
precision and works on one user at a time, because its filters for the whole cell do not fit into memory; users have
pilots of their own, so nothing changes by that.

    s8      1 user, pilots on all of 48 subcarriers of symbols 2 and 11
    bench   4 users, comb 4, 624 subcarriers, symbols 2 and 11 of 14

Prints the NMSE over the whole grid in dB and, in the last column, ||h_chest - h_sionna|| / ||h_sionna||.
"""
import argparse
import pathlib
import subprocess
import tempfile

import h5py
import numpy as np

from sionna_links import N_RX, N_SYMBOLS, SPACING_HZ, draw_links

SPEEDS = (3.0, 3.0)  # m/s
CELLS = {"s8": dict(users=1, subcarriers=48), "bench": dict(users=4, subcarriers=624)}
PILOT_SYMBOLS = [2, 11]
LS = [("nn", "ls:interpolation=nearest,time=nearest"), ("lin", "ls"),
      ("lin_time_avg", "ls:time=average")]


def grids(gains, delays, n_subcarriers):
    """Links as [n, N_RX, n_subcarriers, N_SYMBOLS], each of mean power 1."""
    k = np.arange(n_subcarriers)
    h = np.empty((len(gains), N_RX, n_subcarriers, N_SYMBOLS), "c8")
    for i, (a, tau) in enumerate(zip(gains, delays)):
        turns = np.exp(-2j * np.pi * SPACING_HZ * np.outer(k, tau))
        one = np.einsum("rps,fp->rfs", a, turns)
        h[i] = one / np.sqrt(np.mean(np.abs(one) ** 2))
    return h


def toeplitz(r):
    lag = np.subtract.outer(np.arange(len(r)), np.arange(len(r)))
    return np.where(lag >= 0, r[np.abs(lag)], np.conj(r[np.abs(lag)]))


def set_frequency_lags(model, gains, delays, n_subcarriers):
    """The correlation over subcarriers from powers and delays, in place of the fitted averages of products.

    Those need not be a covariance: a negative eigenvalue of 0.006 makes filters without a floor useless from
    20 dB on, and chest leaves such modes out."""
    power = np.sum(np.abs(gains) ** 2, axis=(1, 3))
    power /= np.sum(power, axis=1, keepdims=True)
    lags = [np.sum(power * np.exp(-2j * np.pi * SPACING_HZ * k * delays)) / len(power)
            for k in range(n_subcarriers)]
    with h5py.File(model, "r+") as file:
        file["grid/r_f"][...] = np.reshape(lags, file["grid/r_f"].shape)


def covariances(model):
    with h5py.File(model) as file:
        r_f, r_t, r_rx = (file["grid/" + name][()] for name in ("r_f", "r_t", "R_rx"))
    return toeplitz(r_f.ravel()), toeplitz(r_t.ravel()), r_rx


class Sionna:
    """Estimators of one user, from y at its pilots."""

    def __init__(self, x, cov):
        import torch
        from sionna.phy.ofdm import PilotPattern, ResourceGrid
        self.torch = torch
        mask = (x != 0).T[None, None]
        self.pattern = PilotPattern(mask, x.T[(x != 0).T][None, None], normalize=False,
                                    precision="double")
        self.grid = ResourceGrid(num_ofdm_symbols=x.shape[1], fft_size=x.shape[0],
                                 subcarrier_spacing=SPACING_HZ, pilot_pattern=self.pattern,
                                 precision="double")
        self.cov_f, self.cov_t, self.cov_s = (torch.tensor(c, dtype=torch.complex128) for c in cov)

    def make(self, kind, name):
        from sionna.phy.ofdm import LMMSEChannelEstimator, LSChannelEstimator
        if kind == "ls":
            return LSChannelEstimator(self.grid, interpolation_type=name, precision="double")
        return LMMSEChannelEstimator(self.grid, self.cov_t, self.cov_f,
                                     self.cov_s if "s" in name else None, order=name,
                                     precision="double")

    def run(self, estimator, y, sigma2):
        """y [n, N_RX, F, S] -> h_hat of the same shape."""
        out = np.empty(y.shape, complex)
        no = self.torch.tensor(sigma2, dtype=self.torch.float64)
        for i, one in enumerate(y):
            received = self.torch.tensor(np.ascontiguousarray(one.transpose(0, 2, 1))[None, None])
            with self.torch.no_grad():
                h_hat, _ = estimator(received, no)
            out[i] = h_hat[0, 0, :, 0, 0].numpy().transpose(0, 2, 1)
        return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chest", default="build/release/cli/chest", help="the program")
    parser.add_argument("--cell", choices=CELLS, default="s8")
    parser.add_argument("--snr", type=float, nargs="+", default=[-10, 0, 10, 20], help="in dB")
    parser.add_argument("--fit", type=int, default=1024, help="links of the covariances")
    parser.add_argument("--test", type=int, default=64, help="cells that are estimated")
    parser.add_argument("--orders", nargs="+", default=["t-f", "f-t", "t-f-s", "f-t-s", "s-t-f"])
    parser.add_argument("--links", help=".npz of links, read if there and written if not")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    users, n_f = CELLS[args.cell]["users"], CELLS[args.cell]["subcarriers"]
    n_links = args.fit + args.test * users
    if args.links and pathlib.Path(args.links).exists():
        stored = np.load(args.links)
        gains, delays = stored["a"][:n_links], stored["tau"][:n_links]
        if len(gains) < n_links:
            raise SystemExit(f"{args.links} holds {len(gains)} links, {n_links} are needed")
    else:
        gains, delays = draw_links(n_links, args.seed, speeds=SPEEDS)
        if args.links:
            np.savez(args.links, a=gains, tau=delays)

    rng = np.random.default_rng(args.seed)
    x = np.zeros((users, n_f, N_SYMBOLS), complex)
    for u in range(users):
        at = np.ix_(np.arange(u, n_f, users), PILOT_SYMBOLS)
        x[u][at] = np.exp(1j * np.pi / 4 * (2 * rng.integers(4, size=x[u][at].shape) + 1))
    h = grids(gains[args.fit:], delays[args.fit:], n_f)
    h = h.reshape(args.test, users, *h.shape[1:]).transpose(0, 2, 1, 3, 4)  # [n, r, t, f, s]
    clean = np.einsum("nrtfs,tfs->nrfs", h, x)
    noise = rng.standard_normal((2, *clean.shape))
    noise = (noise[0] + 1j * noise[1]) / np.sqrt(2)

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)

        def chest(*words):
            subprocess.run([args.chest, *map(str, words), "--quiet"], check=True,
                           stdout=subprocess.DEVNULL)

        np.save(path / "fit.npy", grids(gains[:args.fit], delays[:args.fit], n_f))
        np.save(path / "x.npy", x)
        chest("fit", "lmmse", "--channels", path / "fit.npy", "--axes", "nrfs", "--out",
              path / "lmmse.h5")
        set_frequency_lags(path / "lmmse.h5", gains[:args.fit], delays[:args.fit], n_f)
        cov = covariances(path / "lmmse.h5")
        peers = [Sionna(x[u], cov) for u in range(users)]
        used = np.any(x != 0, axis=0)
        print(f"{args.cell}: {args.test} cells of {users} users, 16 x {n_f} x {N_SYMBOLS}, "
              f"covariances of {args.fit} links; NMSE of the grid in dB")
        print(f"{'estimator':14} {'SNR':>5} {'Sionna':>9} {'chest':>9} {'difference':>11}")
        runs = [("ls", name, text) for name, text in LS]
        runs += [("lmmse", order, "lmmse:order=" + order) for order in args.orders]
        runs += [("lmmse", "joint", "lmmse")]
        for kind, name, text in runs:
            makers = [peer.make(kind, name) for peer in peers] if name != "joint" else []
            for snr in args.snr:
                sigma2 = 10 ** (-snr / 10)
                y = clean + np.sqrt(sigma2) * noise
                # In the order of symbols, then subcarriers.
                np.save(path / "y.npy", y.transpose(0, 1, 3, 2)[:, :, used.T])
                chest("estimate", "--observations", path / "y.npy", "--axes", "nrt", "--snr", snr, "--grid",
                      f"{n_f}x{N_SYMBOLS}@30", "--n-tx", users, "--pilots",
                      f"file={path / 'x.npy'}", "--normalise", "1", "--model", path / "lmmse.h5",
                      "--estimator", text, "--out", path / "out.h5", "--force")
                with h5py.File(path / "out.h5") as file:
                    ours = file["channels"][()]

                def nmse(h_hat):
                    return 10 * np.log10(np.sum(np.abs(h_hat - h) ** 2) / np.sum(np.abs(h) ** 2))

                theirs, difference = "", ""
                if makers:
                    found = np.stack([peer.run(estimator, y, sigma2)
                                      for peer, estimator in zip(peers, makers)], axis=2)
                    theirs = f"{nmse(found):.3f}"
                    difference = f"{np.linalg.norm(ours - found) / np.linalg.norm(found):.1e}"
                print(f"{kind + ' ' + name:14} {snr:5g} {theirs:>9} {nmse(ours):9.3f} "
                      f"{difference:>11}", flush=True)


if __name__ == "__main__":
    main()
