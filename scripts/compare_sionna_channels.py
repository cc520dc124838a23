#!/usr/bin/env python3
"""Tapped and clustered delay lines of chest beside those of Sionna: power over delay, correlations over frequency, time and
antennas, with the error of both averages. Prints the table of docs/grid.md.

Run by hand, in a virtual environment with sionna-no-rt 2.2 and h5py (about 3 GB):

    scripts/compare_sionna_channels.py build/release/cli/chest --channels 4000

Both draw the profile of TR 38.901 (V16.1 and V19.2 have the same), uplink, 30 kHz, 14 symbols, Doppler 100 Hz. Antennas: two of
the base station, uncorrelated, for tapped delay lines; a panel of 2 x 2 x 2 with the element of 38.901 and one vertical
omnidirectional antenna for clustered ones. The line of sight of TDL-D and E has one phase for all antennas in Sionna, and one for each in chest, so the last column differs
there. Each statistic is a mean over channels; the table has the largest difference over its
lags and the largest one in standard errors. Of some hundred differences of equal channels the largest is near 3.
"""
import argparse
import os
import subprocess
import tempfile

import numpy as np

CARRIER_HZ, SPACING_HZ, N_SYMBOLS, DOPPLER_HZ = 3.5e9, 30e3, 14, 100.0
SPEED = DOPPLER_HZ * 299792458.0 / CARRIER_HZ
SYMBOL_S = 2192 / 2048 / SPACING_HZ  # within half a millisecond, whose first prefix alone is longer
LAGS = np.array([0, 1, 4, 16, 64, 256])


def of_chest(chest, kind, profile, n):
    """Gains [n, rx, path, symbol] and delays [n, path] in s."""
    import h5py
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "channels.h5")
        antennas = ["--n-rx", "2"] if kind == "tdl" else ["--rx-panel", "2x2x2"]
        spread = [] if len(profile) > 1 else ["--delay-spread", "100"]
        subprocess.run([chest, "generate", kind, "--profile", profile, *spread, *antennas, "--n-tx", "1",
                        "--doppler", str(DOPPLER_HZ), "--grid", f"300x{N_SYMBOLS}@30", "--n-samples", str(n), "--seed", "5",
                        "--out", file, "--quiet"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with h5py.File(file) as f:
            gains = f["gains"][()]
            return gains[:, :, :, 0].transpose(0, 3, 2, 1).astype("c16"), f["delays"][()]


def of_sionna(kind, profile, n):
    import sionna.phy
    import torch
    from sionna.phy.channel.tr38901 import CDL, TDL, PanelArray
    sionna.phy.config.seed = 6
    torch.manual_seed(6)
    if kind == "tdl":
        name = profile.replace("TDL", "")
        model = TDL(name, 100e-9 if len(name) == 1 else None, CARRIER_HZ, min_speed=SPEED, max_speed=SPEED, num_rx_ant=2)
    else:
        base = PanelArray(num_rows_per_panel=2, num_cols_per_panel=2, polarization="dual", polarization_type="cross",
                          antenna_pattern="38.901", carrier_frequency=CARRIER_HZ)
        user = PanelArray(num_rows_per_panel=1, num_cols_per_panel=1, polarization="single", polarization_type="V",
                          antenna_pattern="omni", carrier_frequency=CARRIER_HZ)
        model = CDL(profile, 100e-9, CARRIER_HZ, ut_array=user, bs_array=base, direction="uplink",
                    ut_velocity=torch.tensor([SPEED, 0.0, 0.0]))
    gains, delays = [], []
    with torch.no_grad():
        while sum(map(len, gains)) < n:
            a, tau = model(500, N_SYMBOLS, 1.0 / SYMBOL_S)
            gains.append(a[:, 0, :, 0, 0].cpu().numpy().astype("c16"))
            delays.append(np.broadcast_to(tau[:, 0, 0].cpu().numpy(), (500, tau.shape[-1])))
    gains = np.concatenate(gains)[:n]
    if kind == "cdl":  # Sionna counts the rows of a panel from the other end
        gains = gains.reshape(n, 2, 2, 2, *gains.shape[2:])[:, :, :, ::-1].reshape(gains.shape)
    return gains, np.concatenate(delays)[:n]


def statistics(gains, delays):
    """Per channel, of power 1 on average: {name: [n, lags]}."""
    n, n_rx = gains.shape[:2]
    gains = gains / np.sqrt((abs(gains) ** 2).sum(2).mean())
    # Paths of equal delay are one.
    table = np.unique(np.round(delays[0] * 1e9, 3))
    which = np.searchsorted(table, np.round(delays[0] * 1e9, 3))
    taps = np.zeros((n, n_rx, len(table), gains.shape[3]), "c16")
    for path, tap in enumerate(which):
        taps[:, :, tap] += gains[:, :, path]
    first = taps[..., 0]
    h = first @ np.exp(-2j * np.pi * SPACING_HZ * np.outer(table * 1e-9, LAGS))  # [n, rx, lag]
    time = np.einsum("nrls,nrl->ns", taps, first.conj()) / n_rx
    return {"delay": table, "power": (abs(taps) ** 2).mean((1, 3)),
            "frequency": (h[:, :, :1].conj() * h).mean(1), "time": time,
            "antennas": np.einsum("nrl,nl->nr", first, first[:, 0].conj())}


def compared(a, b):
    """Largest difference of the means, and the largest in standard errors, real and imaginary parts apart."""
    difference = abs(a.mean(0) - b.mean(0)).max()
    worst = 0.0
    for part in (np.real, np.imag):
        x, y = part(a), part(b)
        error = np.sqrt(x.var(0) / len(x) + y.var(0) / len(y))
        moved = abs(x.mean(0) - y.mean(0))
        worst = max(worst, (moved / np.maximum(error, 1e-9))[moved > 1e-6].max(initial=0.0))
    return difference, worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("chest", help="the program")
    parser.add_argument("--channels", type=int, default=4000)
    args = parser.parse_args()
    names = ["power", "frequency", "time", "antennas"]
    print("| | " + " | ".join(names) + " |\n" + "| --- " * 5 + "|")
    cases = [("tdl", p) for p in ("A", "B", "C", "D", "E", "TDLA30", "TDLB100", "TDLC300")] + [("cdl", p) for p in "ABCDE"]
    for kind, profile in cases:
        a = statistics(*of_chest(args.chest, kind, profile, args.channels))
        b = statistics(*of_sionna(kind, profile, args.channels))
        same = len(a["delay"]) == len(b["delay"]) and abs(a["delay"] - b["delay"]).max() < 2e-3
        cells = [f"{d:.3f} ({z:.1f})" for d, z in (compared(a[name], b[name]) for name in names)] if same else ["other delays"]
        print(f"| {kind.upper() + '-' + profile if len(profile) == 1 else profile} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
