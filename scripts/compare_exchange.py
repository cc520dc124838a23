#!/usr/bin/env python3
"""chest's exports side by side with the packages that read them, on the same noise: the figures of docs/exchange.md.

    pip install numpy h5py onnx onnxruntime safetensors torch diffusers diffusers-dmse     (chest on PATH)
    python3 compare_exchange.py MODEL.h5 [MODEL.h5 ...]       (or learned_range: a network with variances of the step back)

For each model of kind dmse: the ONNX denoiser in ONNX Runtime against `dmse:steps=1`, and its predicted error; the safetensors file
as the package reads it against the model file, bit for bit; DMSEScheduler with the exported scheduler_config.json and the ONNX
network against `dmse:scheduler=N`. Largest absolute differences; entries of a channel have power 1. Of a model of planes of grids
the ONNX denoiser against `dmse:steps=1` at the pilots of a symbol; the copy of the model that it runs on has uncorrelated
subcarriers, so that what lies between the planes and the grid is a known factor. Packages that are not there are left out.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import onnx
import onnxruntime
from safetensors import safe_open
from safetensors.numpy import save_file


def chest(*words):
    subprocess.run(["chest", *map(str, words), "--quiet", "--force"], check=True, stdout=subprocess.DEVNULL)


def planes(h):  # [n, n_rx, n_tx] complex -> [n, 2, n_rx, n_tx]
    return np.stack([h.real, h.imag], axis=1).astype(np.float32)


def complex_of(p):
    return p[:, 0] + 1j * p[:, 1]


def estimate(folder, model, estimator, snr_db, *flags):
    flags = flags or ("--pilots", "identity")
    chest("estimate", "--observations", folder / "y.h5", "--axes", "nrt", "--snr", snr_db, "--estimator", estimator,
          "--model", model, "--out", folder / "h.h5", *flags)
    with h5py.File(folder / "h.h5") as f:
        error = f["err_var"][:] if "err_var" in f else None
        h = f["channels"][:]
    return (h["r"] + 1j * h["i"] if h.dtype.names else h), error


def compare(folder, model, snrs=(-20, -10, 0, 10, 20, 40)):
    with h5py.File(model) as f:
        n_rx, n_tx = int(f.attrs["n_rx"]), int(f.attrs["n_tx"])
        is_grid = "grid" in f
        weights = {name: f["weights"][name][:] for name in f["weights"]}
    chest("export", model, "--out", folder / "m.safetensors")
    with safe_open(folder / "m.safetensors", "np") as f:
        same = all(np.array_equal(f.get_tensor("weights/" + name), values) for name, values in weights.items())
        print(f"  safetensors: {len(list(f.keys()))} arrays, weights {'the same bits' if same else 'DIFFER'}")
    chest("import", folder / "m.safetensors", "--out", folder / "back.h5")
    chest("export", folder / "back.h5", "--out", folder / "again.safetensors")
    identical = (folder / "m.safetensors").read_bytes() == (folder / "again.safetensors").read_bytes()
    print(f"  safetensors -> model -> safetensors: {'the same bytes' if identical else 'DIFFERENT'}")

    chest("export", model, "--out", folder / "m.onnx")
    onnx.checker.check_model(onnx.load(folder / "m.onnx"), full_check=True)
    network = onnxruntime.InferenceSession(folder / "m.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in network.get_outputs()]
    print(f"  ONNX: {(folder / 'm.onnx').stat().st_size} bytes, checked; outputs {', '.join(names)}")

    def denoise(z, sigma2):
        return dict(zip(names, network.run(None, {"z": planes(z), "sigma2": np.array(sigma2, np.float32)})))

    if is_grid:
        read_planes = planes_of_grids(folder, model, n_tx)
    rng = np.random.default_rng(1)
    draw = lambda n: (rng.standard_normal((n, n_rx, n_tx)) + 1j * rng.standard_normal((n, n_rx, n_tx))) / 2**0.5
    # Channels of few angles, so that the network is where it was fitted.
    outline = np.where(rng.random((32, n_rx, n_tx)) < 0.1, draw(32), 0)
    h = np.fft.ifft2(outline, norm="ortho")
    h /= np.sqrt(np.mean(abs(h) ** 2))
    for snr_db in snrs:
        sigma2 = 10 ** (-snr_db / 10)
        y = (h + sigma2**0.5 * draw(32)).astype(np.complex128)
        with h5py.File(folder / "y.h5", "w") as f:
            f["y"] = y
        ours, error = read_planes(snr_db) if is_grid else estimate(folder, model, "dmse:steps=1", snr_db)
        theirs = denoise(y, sigma2)
        text = f"  {snr_db:4} dB: ONNX Runtime {np.abs(complex_of(theirs['h']) - ours).max():.1e}"
        if "error" in theirs and error is not None:
            # chest multiplies by what its calibration measured: compared up to that factor.
            ratio = error.reshape(len(error), -1).mean(1) / theirs["error"]
            text += f", error ratio spread {ratio.std() / ratio.mean():.1e}"
        if not is_grid:
            text += loop(folder, model, denoise, y, snr_db)
        print(text, flush=True)


def planes_of_grids(folder, model, n_columns):
    """dmse:steps=1 at the pilots: of the observations in y.h5, [n, n_rx, n_columns] as a plane, D and its predicted error."""
    copy = folder / "plane.h5"
    shutil.copyfile(model, copy)
    with h5py.File(copy, "r+") as f:
        grid = f["grid"]
        step, spacing_hz = int(grid.attrs["plane_step"]), float(grid.attrs["spacing_hz"])
        for name in ("r_f", "r_t"):  # no correlation from one subcarrier to the next
            values = np.zeros_like(grid[name][:])
            values.reshape(-1)[0] = 1 if values.dtype.names is None else (1, 0)
            grid[name][:] = values
        for name, value in (("linear_ratio", 2), ("error_ratio", 1)):  # always the network, error as it comes
            if name in grid:
                grid[name][:] = np.full_like(grid[name][:], value)
        for name in ("most_step", "least_step", "rx_rows", "rx_columns", "rx_polarisations"):  # no timing offsets, no panel
            if name in grid.attrs:
                del grid.attrs[name]
    pilots = np.zeros((1, n_columns * step, 1), complex)
    pilots[:, ::step] = 1
    np.save(folder / "pilots.npy", pilots)

    def read(snr_db):
        h, error = estimate(folder, copy, "dmse:steps=1", snr_db, "--pilots", f"file={folder / 'pilots.npy'}",
                            "--grid", f"{n_columns * step}x1@{spacing_hz / 1e3:g}", "--n-tx", 1, "--per-element")
        # The filter over subcarriers, made for errors of this variance, leaves z / (1 + e) of a pilot alone.
        sigma2 = 10 ** (-snr_db / 10)
        e = max(0.03 * sigma2 / (1 + sigma2), 1e-7)
        with h5py.File(folder / "h.h5") as f:
            error = f["err_var_element"][:, 0, ::step, 0] - (e / (1 + e)) ** 2
        return h[:, :, 0, ::step, 0] * (1 + e), error

    return read


def loop(folder, model, denoise, y, snr_db):
    try:
        import torch
        from diffusers_dmse import DMSEScheduler
    except ImportError:
        return ""

    chest("export", model, "--out", folder / "scheduler_config.json")
    config = json.loads((folder / "scheduler_config.json").read_text())
    # Not from_config(), which in diffusers-dmse 0.1.0 drops all entries: its __init__ names none.
    scheduler = DMSEScheduler(**{key: value for key, value in config.items() if not key.startswith("_")})
    text = ""
    for n in (len(scheduler.betas), 20):
        if n > len(scheduler.betas):
            continue
        scheduler.set_timesteps(n)
        _, first = scheduler.init_step(float(snr_db))
        snr = 10 ** (snr_db / 10)
        x = torch.from_numpy(planes(y)) * (snr / (1 + snr)) ** 0.5
        for t in scheduler.timesteps[first:]:
            abar = float(scheduler.alphas_cumprod[t])
            z = x.numpy() / abar**0.5
            h_hat = denoise(complex_of(z), (1 - abar) / abar)["h"]
            kind = scheduler.config.prediction_type
            eps = (z - h_hat) * (abar / (1 - abar)) ** 0.5
            out = {"epsilon": eps, "sample": h_hat, "v_prediction": abar**0.5 * eps - (1 - abar) ** 0.5 * h_hat}[kind]
            x = scheduler.step(torch.from_numpy(out), t, x).prev_sample
        ours, _ = estimate(folder, model, f"dmse:scheduler={n}", snr_db)
        text += f"; DMSEScheduler {n} steps {np.abs(complex_of(x.numpy()) - ours).max():.1e}"
    return text


def network_with_variances(folder):
    """Imports random weights of the published layers, with planes for the variances of the step back, 8x4."""
    rng, weights, pre, post, n_levels = np.random.default_rng(3), {}, [2, 8, 9], [9, 4, 4], 16

    def layer(name, *dims):
        weights[name + ".weight"] = (rng.standard_normal(dims) / np.prod(dims[1:]) ** 0.5).astype(np.float32)
        weights[name + ".bias"] = (0.1 * rng.standard_normal(dims[0])).astype(np.float32)

    for i in range(2):
        layer(f"cnn_pre.conv_pre{i}", pre[i + 1], pre[i], 3, 3)
        layer(f"cnn_post.conv_post{i}", post[i + 1], post[i], 3, 3)
    layer("time_mlp.time_linear1", 2 * pre[-1], n_levels)
    save_file(weights, folder / "w.safetensors")
    params = {"diff_model_dict": {"data_shape": [2, 8, 4], "complex_data": True, "which_schedule": "linear",
                                  "num_timesteps": 100, "beta_start": 1e-4, "beta_end": 0.1, "objective": "pred_noise"},
              "unet_dict": {"ch_layers_pre": pre, "ch_layers_post": post, "n_layers_time": 1, "ch_init_time": n_levels,
                            "kernel_size": [3, 3], "mode": "2D", "batch_norm": False, "downsamp_fac": 1},
              "trainer_dict": {"fft_pre": True}}
    (folder / "sim_params.json").write_text(json.dumps(params))
    chest("import", folder / "w.safetensors", "--out", folder / "imported.h5")
    return folder / "imported.h5"


for name in sys.argv[1:]:
    print(name)
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        compare(work, network_with_variances(work) if name == "learned_range" else pathlib.Path(name).resolve())
