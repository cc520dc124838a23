"""chest: MIMO channel estimation with a diffusion-model prior.

    y = H P + n,   n ~ CN(0, noise_var)

Arrays are [n, n_rx, n_pilots] for what was received and [n, n_rx, n_tx] for channels, at power 1 per entry.

    >>> import chest
    >>> h = chest.generate("scm", 100, n_rx=16, n_tx=4)
    >>> y = h + chest.noise(h.shape, 0.1, seed=2)
    >>> h_hat, err_var = chest.Model("models/scm_16x4.h5").estimate(y, 0.1)
    >>> chest.nmse_db(h_hat, h)
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from . import _chest
from ._chest import ArgumentError, Error, FileError, __version__

__all__ = [
    "ArgumentError", "Channels", "Error", "FileError", "GridEstimator", "Model", "Results", "estimate", "estimators", "fit_gmm",
    "fit_lmmse", "generate", "load_results", "nmse_db", "noise", "read_channels", "sweep", "write_channels",
]

PathLike = Union[str, "os.PathLike[str]"]


class Model:
    """A fitted prior: a file of `chest fit dmse`, `gmm` or `lmmse` on matrices, or "ls:64x16" (least squares).

    precision  of a network: "float32", "bfloat16", "int8", or "auto", the fastest that costs less than 0.02 dB as
               `chest calibrate` measured, where the processor is faster with it

    Estimates run on the engine, without LibTorch. Safe to use from several threads.
    """

    def __init__(self, path: PathLike, precision: str = "auto"):
        self._model = _chest.Model(os.fspath(path), precision)

    def estimate(
        self,
        y: np.ndarray,
        noise_var: Union[float, np.ndarray, None] = None,
        pilots: Optional[np.ndarray] = None,
        *,
        power_scale: bool = False,
        threads: int = 1,
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Estimates channels.

        y            [n, n_rx, n_pilots] or [n_rx, n_pilots], complex64 or complex128 with any strides, not copied
        noise_var    noise variance per complex entry of y, one or [n]; None or NaN: found for each item
        pilots       P, [n_tx, n_pilots]; None: the identity
        power_scale  the channels' power is not 1 per entry: found from y
        threads      items side by side; 0: all processors

        Returns h_hat, [n, n_rx, n_tx] of y's precision, and err_var, [n], the predicted error variance per entry (NaN
        where it is not known). Items that are zero or not finite give NaN.
        """
        y = np.asarray(y)
        if y.dtype not in (np.complex64, np.complex128):
            raise ArgumentError(f"y has the type {y.dtype}; expected complex64 or complex128")
        return self._model.estimate(y, noise_var, pilots, power_scale, threads)

    @property
    def info(self) -> Dict[str, Any]:
        """kind, n_rx, n_tx, steps, snr_db (range), n_parameters, predicts_error, finds_noise, engine, target."""
        return self._model.info

    def __repr__(self) -> str:
        info = self.info
        return f"<chest.Model {info['kind']} {info['n_rx']}x{info['n_tx']} from {self._model.path!r}>"


class Channels:
    """Channels in a file, read a block at a time, or an array [n, n_rx, n_tx]. See `read_channels`."""

    def __init__(self, channels: _chest.Channels):
        self._channels = channels
        for text in channels.warnings:
            warnings.warn(text, stacklevel=3)

    @property
    def shape(self) -> Tuple[int, ...]:
        """(n, n_rx, n_tx), on a grid (n, n_rx, n_tx, n_subcarriers, n_symbols)."""
        return tuple(self._channels.shape)

    @property
    def scale(self) -> float:
        """h = scale * stored."""
        return self._channels.scale

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Union[int, slice]) -> np.ndarray:
        if isinstance(index, slice):
            first, end, step = index.indices(len(self))
            block = self._channels.read(first, max(end - first, 0)) if step > 0 else self[:][index]
            return block[::step] if step > 1 else block
        i = index + len(self) if index < 0 else index
        if not 0 <= i < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return self._channels.read(i, 1)[0]

    def blocks(self, size: int = 256) -> Iterator[np.ndarray]:
        """The channels, at most `size` at a time."""
        for first in range(0, len(self), size):
            yield self._channels.read(first, min(size, len(self) - first))

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self.blocks():
            yield from block

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        block = self._channels.read(0, len(self))
        return block if dtype is None else block.astype(dtype)

    def __repr__(self) -> str:
        return f"<chest.Channels {self.shape} from {self._channels.kind}>"


ChannelsLike = Union[Channels, np.ndarray, PathLike]


def read_channels(
    path: PathLike,
    *,
    dataset: str = "",
    axes: str = "",
    normalise: Union[str, float] = "none",
    grid: str = "",
    samples: Optional[Tuple[int, Optional[int]]] = None,
) -> Channels:
    """Opens a file of channels: chest, MATLAB, h5py, quadriga-lib, Sionna, .npy, .npz (docs/formats.md).

    axes       order of the stored dimensions, as in "nrt" or "nrfs"; "": found
    normalise  "none" (refused where the power is not near 1), "dataset", "sample", or a factor
    grid       "624x14@30", of gains and delays
    samples    (first, end) of those that are used
    """
    factor = 1.0
    if not isinstance(normalise, str):
        factor, normalise = float(normalise), "factor"
    first, end = samples if samples is not None else (0, None)
    return Channels(
        _chest.Channels(os.fspath(path), dataset, axes, normalise, factor, grid, first, 0 if end is None else end)
    )


def _channels(channels: ChannelsLike) -> _chest.Channels:
    if isinstance(channels, Channels):
        return channels._channels
    if isinstance(channels, (str, os.PathLike)):
        return read_channels(channels)._channels
    return _chest.Channels(np.asarray(channels))


def write_channels(path: PathLike, channels: ChannelsLike, *, compress: bool = False) -> None:
    """Writes channels [n, n_rx, n_tx] in chest's own form, which every command reads."""
    _chest.write_channels(os.fspath(path), _channels(channels), compress)


def generate(kind: str, n_samples: int, *, seed: int = 1, first: int = 0, **options: float) -> np.ndarray:
    """Draws channels [n_samples, n_rx, n_tx], the same that `chest generate` writes for the same seed.

    kind     "scm" (n_paths, spread_rx_deg, spread_tx_deg), "rayleigh", "kronecker" (rho_rx, rho_tx) or "gmm"
             (n_components, spread_rx_deg, spread_tx_deg); all with n_rx and n_tx
    first    number of the first sample: blocks can be drawn in any order
    """
    return _chest.generate(kind, n_samples, seed, first, options)


def noise(shape: Sequence[int], noise_var: float, *, seed: int = 1) -> np.ndarray:
    """Circular complex Gaussian noise, complex64."""
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((*shape, 2)) * np.sqrt(0.5 * noise_var)
    return (parts[..., 0] + 1j * parts[..., 1]).astype(np.complex64)


def nmse_db(h_hat: np.ndarray, h: np.ndarray) -> float:
    """10 log10 of sum |h_hat - h|^2 / sum |h|^2 over all samples."""
    h = np.asarray(h)
    return float(10.0 * np.log10(np.sum(np.abs(h_hat - h) ** 2) / np.sum(np.abs(h) ** 2)))


def estimate(
    estimator: str,
    y: np.ndarray,
    noise_var: Optional[float] = None,
    pilots: Optional[np.ndarray] = None,
    *,
    models: Sequence[PathLike] = (),
    panel: str = "",
    engine: str = "auto",
    seed: int = 1,
    side: Optional[np.ndarray] = None,
) -> Tuple[np.ndarray, np.ndarray]:
    """Any estimator by its name and options, "omp", "dmse:steps=1", "sbl" (`estimators()`), as `chest estimate` runs it.

    y is [n, n_rx, n_pilots]; noise_var None: unknown; panel: rows x columns x polarisations of the receive antennas,
    "2x4x2" ("": a line); side [n, n_rx, n_tx]: what else is known of each channel, for networks fitted with --side. Returns
    h_hat [n, n_rx, n_tx] and err_var [n]. In double precision, with the set-up of the estimator in every call: for speed
    use Model.estimate.
    """
    found = float("nan") if noise_var is None else float(noise_var)
    return _chest.estimate(
        estimator, np.asarray(y), found, pilots, [os.fspath(m) for m in models], panel, engine, seed, side
    )


class GridEstimator:
    """An estimator by its name and options for one pilot pattern on an OFDM grid, as `chest sweep` runs it there.

    estimator    "ls", "lmmse:order=t-f-s", "dmse" ... (`estimators()`)
    pilots       "comb:4,symbols=2-11", "dmrs:symbols=2-11", or what every port sends, an array [n_tx, n_subcarriers,
                 n_symbols] with 0 where it is silent, whose ports share no element
    grid         subcarriers, symbols and spacing in kHz: "624x14@30"
    n_tx         ports; None: those of the array, else 1
    models       model files, of which it takes that of its kind
    panel        rows x columns x polarisations of the receive antennas, "2x4x2"; "": a line, or the model's
    pilot_power  pilot energy per element and port; the values of an array are multiplied by its root

    Made once: it can be called from several threads.
    """

    def __init__(
        self,
        estimator: str,
        pilots: Union[str, np.ndarray],
        *,
        grid: str,
        n_rx: int,
        n_tx: Optional[int] = None,
        models: Sequence[PathLike] = (),
        panel: str = "",
        pilot_power: float = 1.0,
        engine: str = "auto",
        seed: int = 1,
    ):
        if n_tx is None:
            n_tx = 1 if isinstance(pilots, str) else len(pilots)
        self._estimator = _chest.GridEstimator(
            estimator, pilots, grid, n_rx, n_tx, [os.fspath(m) for m in models], panel, float(pilot_power), engine, seed
        )

    def estimate(
        self, y: np.ndarray, noise_var: Union[float, np.ndarray, None] = None, *, threads: int = 1
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Estimates the channels of received grids, of which it reads the elements of the pilots.

        y          [n, n_rx, n_subcarriers, n_symbols], complex64 or complex128 with any strides
        noise_var  noise variance per complex entry of y, one or [n]; None or NaN: found for each item, by estimators
                   that can
        threads    blocks of items side by side; 0: all processors

        Returns h_hat, [n, n_rx, n_tx, n_subcarriers, n_symbols], complex64, and err_var, [n, n_tx, n_subcarriers,
        n_symbols], the predicted error variance of an entry, mean of the receive antennas (NaN where it is not known).
        Both are views of memory with the antennas fastest.
        """
        y = np.asarray(y)
        if y.dtype not in (np.complex64, np.complex128):
            raise ArgumentError(f"y has the type {y.dtype}; expected complex64 or complex128")
        noise = np.full(len(y), np.nan) if noise_var is None else np.asarray(noise_var, float)
        if noise.ndim == 0:
            noise = np.full(len(y), noise)
        h_hat, err_var = self._estimator.estimate(y, list(noise), threads)
        return h_hat, err_var[:, 0]

    @property
    def pilots(self) -> np.ndarray:
        """What every port sends, [n_tx, n_subcarriers, n_symbols]."""
        return self._estimator.pilots

    def method(self, noise_var: float) -> str:
        """What runs at this noise level, where the estimator chooses; otherwise empty."""
        return self._estimator.method(noise_var)


def estimators() -> Dict[str, str]:
    """Names of the estimators and one line on each."""
    return dict(_chest.estimators())


def fit_lmmse(channels: ChannelsLike, out: PathLike, *, covariance: str = "full") -> Model:
    """Fits the covariance of LMMSE ("full", "kronecker", "toeplitz" or "dft"), writes it to `out` and opens it."""
    _chest.fit_lmmse(_channels(channels), os.fspath(out), covariance)
    return Model(out)


def fit_gmm(
    channels: ChannelsLike, out: PathLike, *, covariance: str = "dft", n_components: int = 64, seed: int = 0
) -> Model:
    """Fits a Gaussian mixture by EM, writes it to `out` and opens it."""
    _chest.fit_gmm(_channels(channels), os.fspath(out), covariance, n_components, seed)
    return Model(out)


class Results:
    """What a sweep found: rows of (estimator, pilots, SNR)."""

    def __init__(self, results: _chest.Results):
        self._results = results

    @property
    def rows(self) -> List[Dict[str, Any]]:
        """One dict per row: estimator, pilots, snr_db, nmse, nmse_db, nmse_ci95_low, nfe ... (docs/results.md)."""
        return self._results.rows

    def column(self, name: str, estimator: Optional[str] = None, pilots: Optional[str] = None) -> np.ndarray:
        """A column as an array, of all rows or of those of an estimator and of pilots."""
        return np.array(
            [
                row[name]
                for row in self.rows
                if estimator in (None, row["estimator"]) and pilots in (None, row["pilots"])
            ]
        )

    @property
    def estimators(self) -> List[str]:
        return list(dict.fromkeys(row["estimator"] for row in self.rows))

    @property
    def pilots(self) -> List[str]:
        return list(dict.fromkeys(row["pilots"] for row in self.rows))

    def plot(self, y: str = "nmse_db", ax: Any = None, **options: Any) -> Any:
        """Curves over the SNR with matplotlib: one for each estimator and choice of pilots. Returns the axes."""
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.gca()
        several = len(self.pilots) > 1
        for pilots in self.pilots:
            for estimator in self.estimators:
                label = f"{estimator}, {pilots}" if several else estimator
                ax.plot(
                    self.column("snr_db", estimator, pilots), self.column(y, estimator, pilots), ".-", label=label,
                    **options,
                )
        ax.set_xlabel("SNR in dB")
        ax.set_ylabel("NMSE in dB" if y == "nmse_db" else y)
        ax.grid(True, alpha=0.3)
        ax.legend()
        return ax

    def to_pandas(self) -> Any:
        """The rows as a pandas frame."""
        import pandas

        return pandas.DataFrame(self.rows)

    def to_csv(self, path: Optional[PathLike] = None) -> str:
        """The rows as `chest sweep --csv` writes them."""
        if path is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(self._results.csv)
        return self._results.csv

    def save(self, path: PathLike) -> None:
        """A results file (HDF5), as `chest sweep --out` writes it."""
        self._results.save(os.fspath(path))

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return self._results.table


def load_results(path: PathLike) -> Results:
    """Reads a results file of `chest sweep --out` or `Results.save`."""
    return Results(_chest.load_results(os.fspath(path)))


def _bar() -> Callable[[float, float, str], None]:
    shown = [0.0]

    def show(fraction: float, seconds_left: float, text: str) -> None:
        now = time.monotonic()
        if fraction < 1.0 and now - shown[0] < 0.5:
            return
        shown[0] = now
        left = f", {seconds_left:.0f} s left" if seconds_left >= 0 else ""
        print(f"\r{100 * fraction:5.1f} %{left}  {text}", end="\n" if fraction >= 1.0 else "", file=sys.stderr)

    return show


def sweep(
    channels: ChannelsLike,
    estimators: Union[str, Sequence[str]],
    *,
    models: Sequence[PathLike] = (),
    snr_db: Sequence[float] = (-10, 0, 10, 20),
    pilots: Union[str, Sequence[str]] = "identity",
    pilot_power: float = 1.0,
    seed: int = 1,
    threads: int = 0,
    stop_rel: float = 0.0,
    engine: str = "auto",
    progress: Union[bool, Callable[[float, float, str], None]] = False,
) -> Results:
    """NMSE over SNR and pilots, all estimators on the same channels and noise: `chest sweep`, with the same numbers.

    channels    a file, `read_channels(...)`, or an array [n, n_rx, n_tx] of power 1 per entry
    estimators  ["ls", "lmmse", "dmse:steps=1"], or a text with one name
    pilots      "identity", "dft:8", "comb:4,symbols=2-11" ..., one or several
    progress    True: on stderr; or a function of (fraction, seconds left, text)

    Ctrl-C stops it.
    """
    names = [estimators] if isinstance(estimators, str) else list(estimators)
    kinds = [pilots] if isinstance(pilots, str) else list(pilots)
    show = _bar() if progress is True else progress if progress else None
    return Results(
        _chest.sweep(
            _channels(channels), names, [os.fspath(m) for m in models], [float(s) for s in snr_db], kinds,
            float(pilot_power), seed, threads, float(stop_rel), engine, show,
        )
    )
