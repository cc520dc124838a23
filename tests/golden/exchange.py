#!/usr/bin/env python3
"""Writes tests/golden/exchange/: what torch.save, safetensors, diffusers and diffusers-dmse write and compute.

    pip install torch safetensors diffusers diffusers-dmse && python tests/golden/exchange.py

A checkpoint as the code of [Fesl2024a] saves it (dictionary in a dictionary, buffers, optimiser), of a small network with
weights of a formula; and schedulers with their betas, steps and start indices, and a loop of DMSEScheduler on a Gaussian prior.
"""
import collections
import json
import pathlib

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers_dmse import DMSEScheduler
from safetensors.torch import save_file

folder = pathlib.Path(__file__).parent / "exchange"
folder.mkdir(exist_ok=True)

# --- weights -------------------------------------------------------------------------------------------------------------
pre, post, n_time, n_levels = [2, 3, 4], [4, 3, 2], 4, 10
params = {
    "diff_model_dict": {"data_shape": [2, 4, 3], "complex_data": True, "which_schedule": "linear", "num_timesteps": n_levels,
                        "beta_start": 0.001, "beta_end": 0.5, "objective": "pred_noise"},
    "unet_dict": {"ch_layers_pre": pre, "ch_layers_post": post, "n_layers_time": 1, "ch_init_time": n_time,
                  "kernel_size": [3, 3], "mode": "2D", "batch_norm": False, "downsamp_fac": 1},
    "trainer_dict": {"fft_pre": True},
}
(folder / "sim_params.json").write_text(json.dumps(params, indent=1) + "\n")

state = collections.OrderedDict()
state["betas"] = torch.linspace(0.001, 0.5, n_levels, dtype=torch.float64).float()
state["alphas"] = 1 - state["betas"]


def layer(name, dims):
    n = int(np.prod(dims))
    weight = (torch.arange(n, dtype=torch.float64) * 0.37 + len(state)).sin().float() * 0.3
    # Not contiguous, as weights in channels-last are.
    state[name + ".weight"] = (weight.reshape(dims[0], *dims[2:], dims[1]).movedim(-1, 1) if len(dims) == 4
                               else weight.reshape(dims))
    state[name + ".bias"] = torch.arange(dims[0], dtype=torch.float32) * 0.01 - 0.02


for i in range(2):
    layer(f"model.cnn_pre.conv_pre{i}", [pre[i + 1], pre[i], 3, 3])
    layer(f"model.cnn_post.conv_post{i}", [post[i + 1], post[i], 3, 3])
layer("model.time_mlp.time_linear1", [2 * pre[-1], n_time])
state._metadata = {"": {"version": 1}}  # as state_dict() leaves it
module = torch.nn.Linear(2, 2)
optimizer = torch.optim.Adam(module.parameters())
module(torch.ones(1, 2)).sum().backward()
optimizer.step()
torch.save({"epoch": 7, "model": state, "optimizer": optimizer.state_dict(), "val_loss": 0.125}, folder / "checkpoint.pt")
torch.save(state, folder / "state_protocol5.pt", pickle_protocol=5)
torch.save(state, folder / "before_1_6.pt", _use_new_zipfile_serialization=False)
save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "weights.safetensors")

# --- schedulers ----------------------------------------------------------------------------------------------------------
configs = [
    (DDPMScheduler, {}),
    (DDPMScheduler, {"beta_schedule": "scaled_linear", "timestep_spacing": "trailing", "clip_sample": False}),
    (DDPMScheduler, {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction", "timestep_spacing": "linspace"}),
    (DDPMScheduler, {"beta_schedule": "sigmoid", "prediction_type": "sample", "steps_offset": 1}),
    (DDPMScheduler, {"beta_schedule": "laplace", "num_train_timesteps": 200}),
    (DDIMScheduler, {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "num_train_timesteps": 100}),
    (DMSEScheduler, {"num_train_timesteps": 100, "beta_start": 9.999000099991662e-5, "beta_end": 0.1, "clip_sample": False}),
    (DMSEScheduler, {"trained_betas": [0.01, 0.05, 0.1, 0.2, 0.4], "num_train_timesteps": 5, "clip_sample": False}),
]
cases = []
for kind, options in configs:
    scheduler = kind(**options)
    n_levels = len(scheduler.betas)
    case = {"config": json.loads(scheduler.to_json_string()), "n_levels": n_levels,
            "betas": {i: scheduler.betas[i].double().item() for i in range(0, n_levels, 1 + n_levels // 20)}, "timesteps": {}}
    for n in (1, 5, 7, 10, 50):
        if n > n_levels or kind is DDIMScheduler:  # its steps back are not those of its list
            continue
        scheduler.set_timesteps(n)
        case["timesteps"][str(n)] = scheduler.timesteps.tolist()
    if kind is DMSEScheduler:
        # Prior CN(0, v I), v = 0.7: eps = x sqrt(1 - abar) / (abar v + 1 - abar). What the loop makes of y = 1.
        case["loops"] = []
        for n in (1, 5, n_levels):
            for snr_db in (-10, 0, 3, 10, 20):
                scheduler.set_timesteps(n)
                _, first = scheduler.init_step(float(snr_db))
                snr = 10 ** (snr_db / 10)
                x = torch.full((1, 1, 1, 1), (snr / (1 + snr)) ** 0.5, dtype=torch.float64)
                for t in scheduler.timesteps[first:]:
                    abar = scheduler.alphas_cumprod[t].double()
                    eps = x * (1 - abar).sqrt() / (abar * 0.7 + 1 - abar)
                    x = scheduler.step(eps, t, x).prev_sample
                case["loops"].append({"n": n, "snr_db": snr_db, "h": x.item()})
    cases.append(case)
(folder / "schedulers.json").write_text("[" + ",\n".join(json.dumps(case) for case in cases) + "]\n")
