"""Checks with h5py that a file of tests/dataset_independent_readers_test.cpp holds what it should, and
copies it with the names that Octave knows for complex numbers (docs/formats.md)."""
import sys

import h5py
import numpy as np

with h5py.File(sys.argv[1]) as file, h5py.File(sys.argv[2], "w") as copy:
    H = file["channels"]
    assert H.dtype == np.complex64, H.dtype
    assert H.shape == (5, 4, 3), H.shape
    k, r, t = np.ogrid[:5, :4, :3]
    np.testing.assert_allclose(H[...], np.exp(1j * (0.7 * k + 1.3 * r + 2.1 * t)), atol=1e-7)
    assert file.attrs["format"] == b"chest-channels", file.attrs["format"]
    assert file.attrs["format_version"] == 1
    assert file.attrs["seed"] == 5
    assert H.attrs["axes"] == b"sample, rx, tx"
    assert abs(H.attrs["mean_power"] - 1) < 1e-12
    t_rx = file["covariance/t_rx"]
    assert t_rx.dtype == np.complex128 and t_rx.shape == (5, 4)
    np.testing.assert_allclose(t_rx[...], np.exp(1j * (0.7 * k + 1.3 * r))[:, :, 0], atol=1e-15)
    assert file["covariance/t_tx"].shape == (5, 3)
    np.testing.assert_allclose(file["err_var"][...], 0.1 * np.arange(1, 6), rtol=1e-15)

    H = file["channels"][...]
    copy["channels"] = H.view([("real", H.real.dtype), ("imag", H.real.dtype)])
    copy["err_var"] = file["err_var"][...]
