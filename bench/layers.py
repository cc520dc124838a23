"""Which layers a denoiser of channels wants: networks of different layers and as many multiplications, fitted alike and briefly.

    python3 bench/layers.py CHANNELS.h5 [STEPS [SEED [THREADS]]]      (torch, numpy and h5py)

CHANNELS.h5 is of `chest generate scm` (32x8, some 20 000 channels); the last 1000 are kept for the figures. All work on angular planes,
the real and imaginary part and |x|^2, with edges that wrap, every layer scaled and shifted by what the noise level says, and make
the error in dB small, as `chest fit dmse` does. 2000 steps of 16 channels when left out. Prints parameters, multiplications per entry of a
channel, CPU time of an estimate on one thread and NMSE in dB of one call.
"""

import math
import sys
import time

import h5py
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
with h5py.File(sys.argv[1]) as f:
    channels = torch.tensor(f["channels"][:].astype(np.complex64))
channels = torch.fft.fft2(channels, norm="ortho")
kept = channels[-1000:]
channels = channels[:-1000]
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
rows, columns = channels.shape[1:]


def wrapped(x, kernel):
    """Edges of the other side, for a kernel (rows, columns)."""
    return F.pad(x, (kernel[1] // 2, kernel[1] // 2, kernel[0] // 2, kernel[0] // 2), mode="circular")


class Convolution(nn.Module):
    def __init__(self, n_in, n_out, kernel=(3, 3), groups=1, stride=1):
        super().__init__()
        self.kernel = kernel
        self.inner = nn.Conv2d(n_in, n_out, kernel, groups=groups, stride=stride)
        self.macs = n_in * n_out // groups * kernel[0] * kernel[1] / stride**2

    def forward(self, x):
        return self.inner(wrapped(x, self.kernel))


class Separable(nn.Module):
    """A filter of each plane, then a mix of the planes."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.each, self.mix = Convolution(n_in, n_in, groups=n_in), Convolution(n_in, n_out, (1, 1))
        self.macs = self.each.macs + self.mix.macs

    def forward(self, x):
        return self.mix(self.each(x))


class Spectral(nn.Module):
    """A filter of each plane as wide as the plane, a product after a transform, then a mix of the planes."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.gain = nn.Parameter(torch.randn(n_in, rows, columns // 2 + 1, 2) * 0.3 + torch.tensor([1.0, 0.0]))
        self.mix = Convolution(n_in, n_out, (1, 1))
        # Of two transforms by fast algorithms, about.
        self.macs = n_in * 2 * math.log2(rows * columns) + self.mix.macs

    def forward(self, x):
        with torch.autocast("cpu", enabled=False):
            x = torch.fft.irfft2(torch.fft.rfft2(x.float()) * torch.view_as_complex(self.gain), s=(rows, columns))
        return self.mix(x)


class StateSpace(nn.Module):
    """A diagonal linear state space along the rows of each plane, round and in both directions (as the circular filter that it is), then a
    mix of the planes; columns by a filter of three."""

    def __init__(self, n_in, n_out, n_states=8):
        super().__init__()
        shape = (2, n_in, n_states)
        self.decay = nn.Parameter(torch.rand(shape) * 3 - 2)
        self.turn = nn.Parameter(torch.rand(shape) * 2 * math.pi)
        self.out = nn.Parameter(torch.randn(shape + (2,)) / math.sqrt(n_states))
        self.through = nn.Parameter(torch.ones(n_in))
        self.across = Convolution(n_in, n_in, (1, 3), groups=n_in)
        self.mix = Convolution(n_in, n_out, (1, 1))
        self.macs = n_in * 2 * n_states * 4 + self.across.macs + self.mix.macs

    def forward(self, x):
        with torch.autocast("cpu", enabled=False):
            k = torch.arange(rows)
            pole = -F.softplus(self.decay)[..., None] * (k + 1) + 1j * self.turn[..., None] * (k + 1)
            filters = (torch.view_as_complex(self.out)[..., None] * pole.exp()).sum(2).real  # [2, n_in, rows]
            both = filters[0].roll(1, -1) + filters[1].flip(-1)
            both = both + F.pad(self.through[:, None], (0, rows - 1))
            x = torch.fft.irfft(torch.fft.rfft(x.float(), dim=2) * torch.fft.rfft(both)[None, :, :, None], n=rows, dim=2)
        return self.mix(self.across(x))


class Network(nn.Module):
    def __init__(self, layers, widths):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.widths = widths
        self.level = nn.Linear(16, 2 * sum(widths))
        self.macs = sum(layer.macs for layer in layers)

    def told(self, sigma2):
        phase = math.pi / 160 * (-10 * torch.log10(sigma2))[:, None] * torch.arange(1, 9)
        return self.level(torch.cat([phase.sin(), phase.cos()], 1))[:, :, None, None].split(self.widths * 2, 1)

    def body(self, x, told):
        n = len(self.widths)
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i < n:
                x = F.relu(x * (1 + told[i]) + told[n + i])
        return x

    def forward(self, z, sigma2):
        s = sigma2[:, None, None, None]
        x = z / torch.sqrt(1 + s)
        x = torch.cat([x, x.square().sum(1, keepdim=True) * (1 + s) / s * 0.1 / (1 + 0.1 * x.square().sum(1, keepdim=True) * (1 + s) / s)], 1)
        return z / (1 + s) + torch.sqrt(s / (1 + s)) * self.body(x, self.told(sigma2)).float()


class Strided(Network):
    """Two layers at full size, the others at half of it, and back."""

    def __init__(self, wide, deep):
        first, down = Convolution(3, wide), Convolution(wide, deep, stride=2)
        inner = [Convolution(deep, deep), Convolution(deep, deep)]
        up, last = Convolution(deep, 4 * wide, (1, 1)), Convolution(2 * wide, 2)
        super().__init__([first, down, *inner, up, last], [wide, deep, deep, deep])
        self.macs = first.macs + down.macs + sum(layer.macs for layer in inner) / 4 + up.macs / 4 + last.macs

    def body(self, x, told):
        n = len(self.widths)
        kept = None
        for i, layer in enumerate(self.layers[:4]):
            x = F.relu(layer(x) * (1 + told[i]) + told[n + i])
            kept = x if i == 0 else kept
        up = F.relu(F.pixel_shuffle(self.layers[4](x), 2))
        return self.layers[5](torch.cat([kept, up], 1))


def chain(layer, widths, last=Convolution):
    sizes = [3, *widths]
    return Network([layer(a, b, i) for i, (a, b) in enumerate(zip(sizes, widths))] + [last(widths[-1], 2)], widths)


def mixed(other):
    """Convolutions at both ends, `other` in between."""
    return lambda a, b, i: Convolution(a, b) if i == 0 else other(a, b)


variants = {
    "3x3 convolutions": lambda: chain(lambda a, b, i: Convolution(a, b), [32, 60, 41, 22]),
    "separable": lambda: chain(mixed(Separable), [64, 118, 118, 118, 64]),
    "axial, 9x1 and 1x9 in turn": lambda: chain(
        lambda a, b, i: Convolution(a, b, (9, 1) if i % 2 == 0 else (1, 9)), [32, 60, 41, 22], lambda a, b: Convolution(a, b, (9, 1))
    ),
    "strided": lambda: Strided(32, 72),
    "one spectral": lambda: chain(
        lambda a, b, i: Spectral(a, b) if i == 2 else Convolution(a, b), [32, 64, 64, 40]
    ),
    "spectral": lambda: chain(mixed(Spectral), [64, 100, 100, 100, 48]),
    "state space": lambda: chain(mixed(StateSpace), [64, 96, 96, 96, 48]),
}


def planes(h):
    return torch.view_as_real(h).permute(0, 3, 1, 2).contiguous()


def evaluate(network):
    out = []
    network.eval()
    with torch.no_grad():
        for snr_db in range(-10, 35, 10):
            generator = torch.Generator().manual_seed(1000 + snr_db)
            sigma2 = torch.full((len(kept),), 10 ** (-snr_db / 10))
            h = planes(kept)
            z = h + torch.randn(h.shape, generator=generator) * torch.sqrt(sigma2 / 2)[:, None, None, None]
            found = torch.cat([network(z[i : i + 50], sigma2[i : i + 50]) for i in range(0, len(z), 50)])
            out.append(10 * math.log10(float((found - h).square().sum() / h.square().sum())))
        start = time.process_time()
        for i in range(20):
            network(z[i : i + 1], sigma2[:1])
        ms = 1e3 * (time.process_time() - start) / 20
    network.train()
    return out, ms


def fit(network):
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    half = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: min(1.0, (i + 1) / 100) * 0.5 * (1 + math.cos(math.pi * i / steps)))
    averaged = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995))
    for _ in range(steps):
        h = planes(channels[torch.randint(len(channels), (16,), generator=generator)])
        sigma2 = 10 ** (-(torch.rand(16, generator=generator) * 60 - 20) / 10)
        z = h + torch.randn(h.shape, generator=generator) * torch.sqrt(sigma2 / 2)[:, None, None, None]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = network(z, sigma2)
        loss = (found - h).square().mean((1, 2, 3)).log().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        half.step()
        averaged.update_parameters(network)
    return averaged.module


print(f"{len(channels)} channels {rows}x{columns}, {steps} steps of 16, seed {seed}; NMSE in dB at -10:10:30 dB")
for name, make in variants.items():
    torch.manual_seed(seed)
    network = make()
    start = time.time()
    nmse, ms = evaluate(fit(network))
    n_parameters = sum(p.numel() for p in network.parameters())
    print(
        f"| {name} | {n_parameters} | {network.macs:.0f} | {ms:.1f} | {np.mean(nmse):.2f} | "
        + " | ".join(f"{x:.2f}" for x in nmse)
        + f" |  ({time.time() - start:.0f} s)",
        flush=True,
    )
