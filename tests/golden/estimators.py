#!/usr/bin/env python3
"""Second implementation of the exact estimators, with every matrix formed and every inverse explicit.

Writes estimators.h5 beside this file:  python3 estimators.py
Conventions of docs/model.md: y = A h + n, one channel per column, A = P^T kron I for pilots P.
"""
import os

import h5py
import numpy as np

rng = np.random.default_rng(7)
N_RX, N_TX, N_SAMPLES = 5, 4, 3  # 5: an odd and an even array side
N_H = N_RX * N_TX
SIGMA2 = [4.0, 0.3, 1e-3]


def cn(*shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * np.sqrt(0.5)


def random_covariance(n, rank):
    B = cn(n, rank)
    C = B @ B.conj().T
    return C * n / np.trace(C).real


def toeplitz_column(n):
    """First column of a Hermitian Toeplitz covariance: a few plane waves and some white noise."""
    angles, powers = rng.uniform(-np.pi, np.pi, 3), rng.random(3)
    powers *= 0.9 / powers.sum()
    t = (powers * np.exp(-1j * np.outer(np.arange(n), angles))).sum(1)
    t[0] = t[0].real + 0.1
    return t


def toeplitz(t):
    n = len(t)
    return np.array([[t[i - j] if i >= j else t[j - i].conj() for j in range(n)] for i in range(n)])


def lmmse(A, C, sigma2, y):
    S = A @ C @ A.conj().T + sigma2 * np.eye(len(A))
    W = C @ A.conj().T @ np.linalg.inv(S)
    return W @ y, np.trace(C - W @ A @ C).real


def gmm(A, weights, means, covariances, sigma2, y):
    out, mse = np.zeros((A.shape[1], y.shape[1]), complex), np.zeros(y.shape[1])
    for j in range(y.shape[1]):
        logs, centres, traces = [], [], []
        for w, m, C in zip(weights, means.T, covariances):
            S = A @ C @ A.conj().T + sigma2 * np.eye(len(A))
            d = y[:, j] - A @ m
            logs.append(np.log(w) - np.linalg.slogdet(S)[1] - (d.conj() @ np.linalg.inv(S) @ d).real)
            W = C @ A.conj().T @ np.linalg.inv(S)
            centres.append(m + W @ d)
            traces.append(np.trace(C - W @ A @ C).real)
        r = np.exp(np.array(logs) - max(logs))
        r /= r.sum()
        out[:, j] = sum(a * b for a, b in zip(r, centres))
        mse[j] = sum(a * (t + np.linalg.norm(c - out[:, j]) ** 2) for a, c, t in zip(r, centres, traces))
    return out, mse


def letter_schedule():
    abar = np.cumprod(1 - np.linspace(9.999000099991662e-05, 0.1, 100))
    return abar, abar / (1 - abar)


def letter_loop(denoise, y, snr, include_start):
    """The letter's loop in its own variables: x = sqrt(abar) h + sqrt(1 - abar) eps."""
    abar, snrs = letter_schedule()
    start = int(np.argmin(abs(snrs - snr)))
    x = np.sqrt(snr / (1 + snr)) * y
    for i in range(start if include_start else start - 1, -1, -1):
        before = abar[i - 1] if i else 1.0
        alpha, beta = abar[i] / before, 1 - abar[i] / before
        eps = (x - np.sqrt(abar[i]) * denoise(x / np.sqrt(abar[i]), 1 / snrs[i])) / np.sqrt(1 - abar[i])
        x = x / np.sqrt(alpha) - beta / (np.sqrt(alpha) * np.sqrt(1 - abar[i])) * eps
    return x


with h5py.File(os.path.join(os.path.dirname(os.path.abspath(__file__)), "estimators.h5"), "w",
               libver="latest") as out:
    def put(name, value):
        value = np.asarray(value)
        if np.iscomplexobj(value):
            stored = np.empty(value.shape, dtype=[("r", "f8"), ("i", "f8")])
            stored["r"], stored["i"] = value.real, value.imag
            value = stored
        out[name] = value

    C = random_covariance(N_H, 12)
    weights = np.array([0.5, 0.3, 0.2])
    means = 0.5 * cn(N_H, 3)
    covariances = [random_covariance(N_H, r) for r in (8, 20, 30)]
    t_rx = np.array([toeplitz_column(N_RX) for _ in range(N_SAMPLES)]).T
    t_tx = np.array([toeplitz_column(N_TX) for _ in range(N_SAMPLES)]).T
    P = {"identity": np.eye(N_TX),
         "dft": np.exp(-2j * np.pi * np.outer(np.arange(N_TX), np.arange(6)) / 6) / np.sqrt(N_TX),
         "few": cn(N_TX, 3), "many": cn(N_TX, 7)}
    A = {name: np.kron(p.T, np.eye(N_RX)) for name, p in P.items()}
    A["dense"] = cn(13, N_H)

    put("C", C)
    put("prior/weights", weights[:, None])
    put("prior/means", means)
    put("prior/covariances", np.array(covariances))
    put("t_rx", t_rx)
    put("t_tx", t_tx)
    put("sigma2", np.array(SIGMA2))
    for name, a in A.items():
        put(name + ("/A" if name == "dense" else "/P"), a if name == "dense" else P[name].astype(complex))
        for i, sigma2 in enumerate(SIGMA2):
            group = "%s/%d/" % (name, i)
            y = a @ cn(N_H, N_SAMPLES) + np.sqrt(sigma2) * cn(len(a), N_SAMPLES)
            put(group + "y", y)
            put(group + "ls", np.linalg.pinv(a) @ y)
            h, mse = lmmse(a, C, sigma2, y)
            put(group + "lmmse", h)
            put(group + "lmmse_mse", np.full(N_SAMPLES, mse))
            h, mse = gmm(a, weights, means, covariances, sigma2, y)
            put(group + "gmm", h)
            put(group + "gmm_mse", mse)
            if name == "dense":
                continue
            each = [lmmse(a, np.kron(toeplitz(t_tx[:, k]), toeplitz(t_rx[:, k])), sigma2, y[:, k])
                    for k in range(N_SAMPLES)]
            put(group + "genie", np.array([h for h, _ in each]).T)
            put(group + "genie_mse", np.array([mse for _, mse in each]))

    # DMSE with the mixture as denoiser, A = I.
    eye = np.eye(N_H)
    snr_db = [-10, -5, 0, 5, 10, 15, 20, 30, 40]
    snrs = letter_schedule()[1]
    put("dmse/snr_db", np.array(snr_db, float))
    put("dmse/start", np.array([np.argmin(abs(snrs - 10 ** (s / 10))) for s in snr_db], float))
    y = means[:, :1] + cn(N_H, 2)
    put("dmse/y", y)

    def denoise(z, sigma2):
        return gmm(eye, weights, means, covariances, sigma2, z)[0]

    for i, s in enumerate(snr_db):
        put("dmse/published/%d" % i, letter_loop(denoise, y, 10 ** (s / 10), False))
        put("dmse/published_full/%d" % i, letter_loop(denoise, y, 10 ** (s / 10), True))
        for steps in (1, 3):
            levels = np.geomspace(10 ** (-s / 10), 1e-4, steps) if s < 40 else np.array([1e-4])
            z = y
            for k, level in enumerate(levels):
                d = denoise(z, level)
                z = d + (levels[k + 1] / level * (z - d) if k + 1 < len(levels) else 0)
            put("dmse/steps%d/%d" % (steps, i), z)
