#!/usr/bin/env python3
"""Links of 3GPP TR 38.901 drawn by Sionna, as gains and delays that chest reads.

Run by hand, in a virtual environment with sionna-no-rt 2.2 (about 3 GB):

    scripts/sionna_links.py umi.npz --links 4096 --seed 1
    scripts/sionna_links.py cell.npz --links 64 --seed 9 --users 4
    chest info umi.npz --grid 624x14@30

Uplink of UMi or UMa: 3.5 GHz, 30 kHz, 14 symbols, users of one antenna at speeds of 0 to 15 m/s, a base station of 2 rows, 4
columns and 2 polarisations (--panel 2x4x2), no path loss, no shadowing. With --users N every channel holds N links as
transmit antennas. OUT.npz gets a [n, 1, 16, 1, users, paths, 14] and tau [n, 1, 1, paths] in s; paths that a link lacks have
gain 0. About 500 links a second on two cores.
"""
import argparse

import numpy as np

CARRIER_HZ, SPACING_HZ, N_SYMBOLS, N_RX = 3.5e9, 30e3, 14, 16


def draw_links(n, seed, scenario="umi", speeds=(0.0, 15.0)):
    """Gains [n, N_RX, paths, N_SYMBOLS] and delays in s [n, paths]; paths that a link lacks have gain 0."""
    import sionna.phy
    import torch
    from sionna.phy.channel import gen_single_sector_topology
    from sionna.phy.channel.tr38901 import PanelArray, UMa, UMi

    torch.manual_seed(seed)
    sionna.phy.config.seed = seed
    base = PanelArray(num_rows_per_panel=2, num_cols_per_panel=4, polarization="dual",
                      polarization_type="cross", antenna_pattern="38.901",
                      carrier_frequency=CARRIER_HZ)
    user = PanelArray(num_rows_per_panel=1, num_cols_per_panel=1, polarization="single",
                      polarization_type="V", antenna_pattern="omni", carrier_frequency=CARRIER_HZ)
    kind = {"umi": UMi, "uma": UMa}[scenario]
    model = kind(carrier_frequency=CARRIER_HZ, o2i_model="low", ut_array=user, bs_array=base,
                 direction="uplink", enable_pathloss=False, enable_shadow_fading=False)
    gains, delays = [], []
    with torch.no_grad():
        while sum(map(len, gains)) < n:
            model.set_topology(*gen_single_sector_topology(64, 1, scenario,
                                                           min_ut_velocity=speeds[0],
                                                           max_ut_velocity=speeds[1]))
            # Symbols follow each other at the mean distance of a slot, prefix included.
            a, tau = model(N_SYMBOLS, SPACING_HZ * 14 / 15)
            gains.append(a[:, 0, :, 0, 0].cpu().numpy().astype("c8"))
            delays.append(tau[:, 0, 0].cpu().numpy())
    most = max(a.shape[2] for a in gains)
    gains = [np.pad(a, ((0, 0), (0, 0), (0, most - a.shape[2]), (0, 0))) for a in gains]
    delays = [np.pad(t, ((0, 0), (0, most - t.shape[1]))) for t in delays]
    return np.concatenate(gains)[:n], np.concatenate(delays)[:n]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", help="file to write (.npz)")
    parser.add_argument("--links", type=int, required=True, help="channels to draw")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--scenario", choices=["umi", "uma"], default="umi")
    parser.add_argument("--users", type=int, default=1, help="links per channel")
    args = parser.parse_args()
    gains, delays = draw_links(args.links * args.users, args.seed, args.scenario)
    n, users, paths = args.links, args.users, gains.shape[2]
    # The paths of each user in turn; of the others its antenna has none.
    a = np.zeros((n, 1, N_RX, 1, users, users * paths, N_SYMBOLS), "c8")
    for u in range(users):
        a[:, 0, :, 0, u, u * paths:(u + 1) * paths] = gains[u::users]
    tau = np.concatenate([delays[u::users] for u in range(users)], axis=1)
    np.savez(args.out, a=a, tau=tau.astype("f4")[:, None, None])


if __name__ == "__main__":
    main()
