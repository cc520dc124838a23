#!/usr/bin/env python3
"""Second implementation of the covariances of the SCM generator: writes scm.h5 beside itself.

Straight from the definition, without the shortcuts of channels/scm.cpp: distances are wrapped as the
definition says, the covariance is one FFT over the whole grid. Needs numpy and h5py.
"""
import pathlib

import h5py
import numpy as np


def wrap(degrees):
    return (degrees + 180.0) % 360.0 - 180.0


def power_spectrum(gains, angles, spread, n_antennas):
    n_grid = 100 * n_antennas
    u = 2 * np.pi * (np.arange(n_grid) + 1 / 3) / n_grid - np.pi
    theta = np.degrees(np.arcsin(u / np.pi))
    b = spread / np.sqrt(2)
    v = np.zeros(n_grid)
    for gain, angle in zip(gains, angles):
        v += gain / (2 * b) * (np.exp(-np.abs(wrap(theta - angle)) / b)
                               + np.exp(-np.abs(wrap(180 - theta - angle)) / b))
    f = np.degrees(1) * 2 * np.pi * v / np.sqrt(np.pi**2 - u**2)
    f = np.minimum(f, n_grid)
    return f / f.mean()


rng = np.random.default_rng(20240307)
with h5py.File(pathlib.Path(__file__).with_suffix(".h5"), "w") as out:
    for i, (n_antennas, n_paths, spread) in enumerate([(8, 3, 2.0), (5, 2, 35.0), (16, 1, 0.5)]):
        gains = rng.random(n_paths)
        gains /= gains.sum()
        angles = rng.uniform(-90, 90, n_paths)
        f = power_spectrum(gains, angles, spread, n_antennas)
        group = out.create_group(f"case_{i}")
        group.attrs["spread_deg"] = spread
        group["gains"] = gains
        group["angles_deg"] = angles
        group["power_spectrum"] = f
        group["t"] = np.fft.fft(f)[:n_antennas] / f.size
