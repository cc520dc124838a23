#!/usr/bin/env python3
"""Checks of chest_block.py, by hand as the links: values equal those of chest and of Sionna, and no tensor is copied."""
import pathlib

import numpy as np
import torch
from sionna.phy.ofdm import LSChannelEstimator, ResourceGrid, ResourceGridMapper

import chest
from chest_block import ChestEstimator, ChestGridEstimator, to_numpy, to_torch

MODEL = pathlib.Path(__file__).parents[2] / "models" / "scm_16x4.h5"


def same_memory():
    for y in (torch.randn(3, 5, dtype=torch.complex64), torch.randn(5, 3, dtype=torch.complex64).T):
        array = to_numpy(y)
        assert array.ctypes.data == y.data_ptr() and array.shape == y.shape
        assert to_torch(array, y).data_ptr() == y.data_ptr()
    # A conjugation that is only noted is carried out.
    assert (to_numpy(y.conj()) == array.conj()).all()


def matrices():
    y = torch.from_dlpack(chest.generate("scm", 6, n_rx=16, n_tx=4).reshape(2, 3, 16, 4))
    no = torch.tensor([0.1, 0.2])
    h_hat, err_var = ChestEstimator(MODEL)(y, no)
    model = chest.Model(MODEL)
    for i in range(2):
        expected, errors = model.estimate(to_numpy(y[i]), float(no[i]))
        assert (to_numpy(h_hat[i]) == expected).all()
        assert (to_numpy(err_var[i]) == errors[:, None, None]).all() and err_var.shape == h_hat.shape
    P = np.fft.fft(np.eye(4)) / 2
    h_hat, _ = ChestEstimator(MODEL, pilots=P)(y, 0.1)
    assert np.abs(to_numpy(h_hat)[0] - model.estimate(to_numpy(y[0]), 0.1, P)[0]).max() < 1e-5


def grids():
    """Least squares of chest is Sionna's, with several users, guard bands and zero frequency left out."""
    for options in (dict(fft_size=48, num_tx=4), dict(fft_size=72, num_tx=2, num_streams_per_tx=2),
                    dict(fft_size=64, num_guard_carriers=(5, 6), dc_null=True)):
        grid = ResourceGrid(num_ofdm_symbols=14, subcarrier_spacing=30e3, pilot_pattern="kronecker",
                            pilot_ofdm_symbol_indices=[2, 11], **options)
        y = torch.randn(3, 1, 2, 14, options["fft_size"], dtype=torch.complex64)
        ours, errors = ChestGridEstimator(grid, "ls:interpolation=nearest,time=nearest", 2)(y, 0.5)
        theirs, their_errors = LSChannelEstimator(grid, interpolation_type="nn")(y, torch.tensor(0.5))
        assert ours.shape == theirs.shape and errors.shape == theirs.shape
        assert (ours - theirs).abs().max() < 1e-5, (options, (ours - theirs).abs().max())
        assert (errors - their_errors.expand(errors.shape)).abs().max() < 1e-5
        each, _ = ChestGridEstimator(grid, "ls", 2)(y, torch.tensor([0.1, 0.2, 0.5]))
        if not options.get("dc_null"):  # with it Sionna takes the two neighbours of the gap for adjacent
            lines, _ = LSChannelEstimator(grid, interpolation_type="lin")(y, torch.tensor(0.5))
            assert (each - lines).abs().max() < 1e-5


for check in (same_memory, matrices, grids):
    check()
    print(check.__name__, "ok")
