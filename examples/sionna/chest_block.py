"""chest as estimator blocks of Sionna (sionna-no-rt 2.2, PyTorch).

    estimate = ChestEstimator("models/quadriga_umalos_64x16.h5")
    h_hat, err_var = estimate(y, no)                   # matrices: y [..., n_rx, n_pilots]

    estimate = ChestGridEstimator(resource_grid, "dmse", 16, models=["models/umi_16x624.h5"])
    h_hat, err_var = estimate(y, no)                   # in the seat of LSChannelEstimator

Tensors go to chest and come back by DLPack: on a processor nothing is copied where the values already have the layout
(y as it lies, complex64 or complex128; estimates are chest's own memory). Tensors of a GPU are copied to the processor and
back. There are no gradients.
"""
import numpy as np
import torch
from sionna.phy import Block
from sionna.phy.ofdm import BaseChannelEstimator

import chest


def to_numpy(tensor):
    """A view of a tensor's memory; a copy only from a GPU or where a conjugation is pending."""
    return np.from_dlpack(tensor.detach().resolve_conj().resolve_neg().cpu())


def to_torch(array, like):
    """A tensor in an array's memory, on the device of `like`."""
    return torch.from_dlpack(array).to(like.device)


def noise_of(no, batch):
    """`no` as one double for each item of the batch: it has the batch's first axes, or none of them."""
    no = to_numpy(torch.as_tensor(no)).astype(float)
    return np.broadcast_to(no.reshape(no.shape + (1,) * (len(batch) - no.ndim)), batch).ravel()


class ChestEstimator(Block):
    """A model of chest for channel matrices.

    model     file of `chest fit dmse`, `gmm` or `lmmse`, or "ls:64x16"
    pilots    P, [n_tx, n_pilots]; None: the identity
    threads   items of a batch side by side; 0: all processors

    y [..., n_rx, n_pilots], no (noise variance, with the first axes of y or none)
    -> h_hat [..., n_rx, n_tx], err_var of the same shape: predicted error variance per entry, for a detector
    """

    def __init__(self, model, pilots=None, threads=0, **options):
        super().__init__(**options)
        self._model, self._pilots, self._threads = chest.Model(model), pilots, threads

    def call(self, y, no):
        batch = y.shape[:-2]
        received = to_numpy(y.reshape(-1, *y.shape[-2:]))
        h_hat, err_var = self._model.estimate(received, noise_of(no, batch), self._pilots,
                                              threads=self._threads)
        h_hat = to_torch(h_hat, y).reshape(*batch, *h_hat.shape[1:])
        err_var = to_torch(err_var, y).reshape(*batch, 1, 1)
        return h_hat, err_var.expand(h_hat.shape)


class ChestGridEstimator(BaseChannelEstimator):
    """An estimator of chest for the pilots of a Sionna resource grid; the seat of LSChannelEstimator and its like.

    resource_grid  its pilot pattern is taken as it is, energies too; streams must not share elements
    estimator      "ls", "lmmse", "dmse:steps=1" ...
    n_rx           receive antennas
    models         files, of which the estimator takes that of its kind
    options        of chest.GridEstimator (panel, seed)

    y [batch, num_rx, n_rx, symbols, fft_size], no
    -> h_hat [batch, num_rx, n_rx, num_tx, streams, symbols, effective subcarriers], err_var of the same shape
    """

    def __init__(self, resource_grid, estimator, n_rx, models=(), threads=0, precision=None,
                 device=None, **options):
        super().__init__(resource_grid, precision=precision, device=device)
        mask = to_numpy(resource_grid.pilot_pattern.mask).astype(bool)
        sent = np.zeros(mask.shape, complex)
        # Of every stream, in the order of symbols, then subcarriers.
        sent[mask] = to_numpy(resource_grid.pilot_pattern.pilots).ravel()
        self._shape = mask.shape  # [num_tx, streams, symbols, effective subcarriers]
        # From the first effective subcarrier to the last; zero frequency stays as a hole between them.
        used = np.asarray(resource_grid.effective_subcarrier_ind)
        self._band, used = slice(used[0], used[-1] + 1), used - used[0]
        self._used = used if len(used) <= used[-1] else slice(None)
        ports = np.zeros((mask.shape[0] * mask.shape[1], used[-1] + 1, mask.shape[2]), complex)
        ports[:, used] = sent.reshape(-1, *mask.shape[2:]).transpose(0, 2, 1)
        grid = "%dx%d@%g" % (*ports.shape[1:], resource_grid.subcarrier_spacing / 1e3)
        self._estimator = chest.GridEstimator(estimator, ports, grid=grid, n_rx=n_rx, models=models,
                                              **options)
        self._threads = threads

    def call(self, y, no):
        batch = y.shape[:2]
        received = to_numpy(y[..., self._band].flatten(0, 1).transpose(-1, -2))
        # Noise that differs from antenna to antenna is taken at its mean.
        no = torch.as_tensor(no)
        no = no.mean(-1) if no.dim() == 3 else no
        h_hat, err_var = self._estimator.estimate(received, noise_of(no, batch),
                                                  threads=self._threads)
        # [n, r, ports, symbols, subcarriers]
        h_hat = to_torch(h_hat[:, :, :, self._used].transpose(0, 1, 2, 4, 3), y)
        h_hat = h_hat.reshape(*batch, h_hat.shape[1], *self._shape)
        err_var = to_torch(err_var[:, :, self._used].transpose(0, 1, 3, 2), y)
        err_var = err_var.reshape(*batch, 1, *self._shape)
        return h_hat, err_var.expand(h_hat.shape)
