"""pytest bindings/python/tests, with the package on the path. CHEST_SOURCE_DIR names the repository, CHEST_PROGRAM the
program that the numbers are compared with."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import chest

ROOT = pathlib.Path(os.environ.get("CHEST_SOURCE_DIR", pathlib.Path(__file__).parents[3]))
MODEL = ROOT / "models" / "scm_16x4.h5"
PROGRAM = os.environ.get("CHEST_PROGRAM", "chest")


@pytest.fixture(scope="module")
def h():
    return chest.generate("scm", 60, n_rx=16, n_tx=4, seed=5)


@pytest.fixture(scope="module")
def y(h):
    return h + chest.noise(h.shape, 0.1, seed=2)


def run(*words):
    return subprocess.run([PROGRAM, *map(str, words)], check=True, capture_output=True, text=True).stdout


def test_generates_what_the_program_generates(tmp_path):
    file = tmp_path / "h.h5"
    run("generate", "scm", "--n-rx", 8, "--n-tx", 2, "--n-samples", 30, "--seed", 7, "--out", file, "--quiet")
    stored = chest.read_channels(file)
    assert stored.shape == (30, 8, 2)
    np.testing.assert_array_equal(np.asarray(stored), chest.generate("scm", 30, n_rx=8, n_tx=2, seed=7))
    np.testing.assert_array_equal(stored[10:20], chest.generate("scm", 10, n_rx=8, n_tx=2, seed=7, first=10))


def test_channels_read_like_an_array(tmp_path, h):
    chest.write_channels(tmp_path / "h.h5", h)
    channels = chest.read_channels(tmp_path / "h.h5")
    np.testing.assert_array_equal(np.asarray(channels), h)
    np.testing.assert_array_equal(np.concatenate(list(channels.blocks(7))), h)
    np.testing.assert_array_equal(np.stack(list(channels)), h)
    np.testing.assert_array_equal(channels[-1], h[-1])
    np.testing.assert_array_equal(channels[5:20:4], h[5:20:4])
    np.testing.assert_array_equal(channels[::-1], h[::-1])
    with pytest.raises(IndexError):
        channels[60]
    np.save(tmp_path / "h.npy", 3 * h)
    scaled = chest.read_channels(tmp_path / "h.npy", normalise="dataset", samples=(10, 50))
    assert len(scaled) == 40
    assert np.mean(np.abs(np.asarray(scaled)) ** 2) == pytest.approx(1.0, rel=1e-5)
    with pytest.raises(chest.FileError, match="power"):
        chest.read_channels(tmp_path / "h.npy")


def test_estimates_as_the_program_does(tmp_path, h, y):
    np.save(tmp_path / "y.npy", y)
    # In float32: less, which "auto" takes where the processor has it, rounds rounding differences up.
    estimator = "dmse:precision=float32"
    run("estimate", "--observations", tmp_path / "y.npy", "--snr", 10, "--model", MODEL, "--estimator", estimator,
        "--out", tmp_path / "e.h5", "--quiet")
    expected = np.asarray(chest.read_channels(tmp_path / "e.h5", normalise=1.0))
    h_hat, err_var = chest.Model(MODEL, "float32").estimate(y, 0.1)
    assert h_hat.dtype == np.complex64 and err_var.shape == (60,)
    assert np.abs(h_hat - expected).max() < 1e-5
    assert chest.nmse_db(h_hat, h) < -13
    # The predicted error is of the size of the error.
    assert err_var.mean() == pytest.approx(np.mean(np.abs(h_hat - h) ** 2), rel=0.3)
    again, _ = chest.estimate(estimator, y, 0.1, models=[MODEL])
    assert np.abs(h_hat - again).max() < 1e-5
    fast, _ = chest.Model(MODEL).estimate(y, 0.1)
    assert chest.nmse_db(fast, h_hat) < -35


def test_is_told_what_else_is_known(tmp_path, h, y):
    side = (h + chest.noise(h.shape, 0.2, seed=3)).astype(np.complex64)
    for name, values in (("h", h), ("y", y), ("side", side)):
        np.save(tmp_path / f"{name}.npy", values)
    model = tmp_path / "side.h5"
    fit = ["fit", "dmse", "--channels", tmp_path / "h.npy", "--side", tmp_path / "side.npy", "--network", "chest:hidden=6-6",
           "--epochs", "1", "--quiet", "--out", model]
    found = subprocess.run([PROGRAM, *map(str, fit)], capture_output=True, text=True)
    if "without LibTorch" in found.stderr:
        pytest.skip(found.stderr)
    run("estimate", "--observations", tmp_path / "y.npy", "--snr", 10, "--model", model, "--side", tmp_path / "side.npy",
        "--out", tmp_path / "e.h5", "--quiet")
    expected = np.asarray(chest.read_channels(tmp_path / "e.h5", normalise=1.0))
    told, _ = chest.estimate("dmse", y, 0.1, models=[model], side=side)
    untold, _ = chest.estimate("dmse", y, 0.1, models=[model])
    assert np.abs(told - expected).max() < 1e-5
    assert np.abs(told - untold).max() > 1e-3
    with pytest.raises(chest.ArgumentError, match="side: expected complex matrices"):
        chest.estimate("dmse", y, 0.1, models=[model], side=side[:3])
    with pytest.raises(chest.ArgumentError, match="does not take"):
        chest.Model(model)


def test_sparse_estimators_know_the_panel():
    def side(n, k):
        return np.exp(2j * np.pi * k * np.arange(n) / (2 * n))

    h = np.einsum("c,r,t->crt", side(4, 3), side(4, 6), side(3, 1)).reshape(1, 16, 3)  # off the angles of a line
    noise = np.random.default_rng(1).normal(size=(1, 16, 3, 2)) @ [1, 1j]
    error = [np.sum(abs(chest.estimate("omp", h + 0.3 * noise, 0.18, panel=p)[0] - h) ** 2) for p in ("4x4x1", "")]
    assert error[0] < 0.5 * error[1]
    with pytest.raises(chest.ArgumentError, match="panel is '4x4x2'"):
        chest.estimate("omp", h, 0.1, panel="4x4x2")


def test_takes_views_of_either_precision_without_changing_bits(y):
    model = chest.Model(MODEL)
    expected, errors = model.estimate(y, 0.1)
    np.testing.assert_array_equal(model.estimate(np.asfortranarray(y), 0.1)[0], expected)
    np.testing.assert_array_equal(model.estimate(y[::-2], 0.1, threads=3)[0], expected[::-2])
    wide, wide_errors = model.estimate(y.astype(np.complex128), 0.1)
    assert wide.dtype == np.complex128 and wide_errors.dtype == np.float64
    np.testing.assert_array_equal(wide.astype(np.complex64), expected)
    one, error = model.estimate(y[3], 0.1)
    np.testing.assert_array_equal(one, expected[3])
    assert error == errors[3]


def test_noise_of_each_item_and_unknown(y):
    model = chest.Model(MODEL)
    noise = np.linspace(0.05, 0.5, len(y))
    together, _ = model.estimate(y, noise)
    for k in (0, 30, 59):
        np.testing.assert_array_equal(together[k], model.estimate(y[k : k + 1], noise[k])[0][0])
    found, _ = model.estimate(y)
    told, _ = model.estimate(y, 0.1)
    assert chest.nmse_db(found, told) < -15
    bad = y.copy()
    bad[3] = 0
    marked, _ = model.estimate(bad, 0.1)
    assert np.isnan(marked[3]).all() and not np.isnan(np.delete(marked, 3, axis=0)).any()


def test_pilots(h):
    model = chest.Model(MODEL, precision="float32")
    dft = np.fft.fft(np.eye(4))
    noise = chest.noise(h.shape, 0.4, seed=3)
    orthogonal, _ = model.estimate(h @ dft + noise, 0.4, dft)
    direct, _ = model.estimate(h + noise @ dft.conj().T / 4, 0.1)
    assert np.abs(orthogonal - direct).max() < 1e-5
    assert model.info["engine"] == "onednn float32"
    half = chest.Model(MODEL, precision="bfloat16")
    assert half.info["engine"] == "onednn bfloat16"
    assert 0 < np.abs(half.estimate(h, 0.1)[0] - model.estimate(h, 0.1)[0]).max() < 0.02
    with pytest.raises(chest.ArgumentError, match="float16"):
        chest.Model(MODEL, precision="float16")
    few = dft[:, :2]
    y = h @ few + chest.noise((60, 16, 2), 0.1)
    h_hat, _ = model.estimate(y, 0.1, few)
    ls, _ = chest.Model("ls:16x4").estimate(y, 0.1, few)
    assert chest.nmse_db(h_hat, h) < chest.nmse_db(ls, h)
    with pytest.raises(chest.ArgumentError, match=r"tx = 4"):
        model.estimate(y, 0.1, dft[:3, :2])


def test_threads_share_a_model(y):
    model = chest.Model(MODEL)
    expected, _ = model.estimate(y, 0.1)
    found = [None] * 6

    def work(i):
        for _ in range(3):
            found[i] = model.estimate(y, 0.1)[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in found:
        np.testing.assert_array_equal(each, expected)


def test_sweep_gives_the_numbers_of_the_program(tmp_path, h):
    chest.write_channels(tmp_path / "h.h5", h)
    seen = []
    results = chest.sweep(
        tmp_path / "h.h5", ["ls", "dmse"], models=[MODEL], snr_db=[0, 10],
        pilots=["identity", "dft:2"], seed=3, progress=lambda *state: seen.append(state),
    )
    run("sweep", "--channels", tmp_path / "h.h5", "--estimators", "ls,dmse", "--model", MODEL, "--snr", "0,10",
        "--pilots", "identity,dft:2", "--seed", 3, "--csv", tmp_path / "r.csv", "--out", tmp_path / "r.h5", "--quiet")
    strip = lambda text: [line.split(",")[:8] for line in text.splitlines()]
    assert strip(results.to_csv()) == strip((tmp_path / "r.csv").read_text())
    assert seen and seen[-1][0] == pytest.approx(1.0)
    assert results.estimators == ["ls", "dmse"]
    assert (results.column("nmse", "dmse") < results.column("nmse", "ls")).all()
    results.save(tmp_path / "own.h5")
    assert chest.load_results(tmp_path / "own.h5").to_csv() == results.to_csv()
    assert [r["nmse"] for r in chest.load_results(tmp_path / "r.h5").rows] == [r["nmse"] for r in results.rows]
    of_array = chest.sweep(h, "ls", snr_db=[10], seed=3, pilots="identity")
    assert of_array.column("nmse")[0] == pytest.approx(results.column("nmse", "ls", "identity")[1], rel=1e-12)


def test_results_plot_and_frame(h):
    results = chest.sweep(h, ["ls", "omp"], snr_db=[0, 10])
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = results.plot()
    assert [line.get_label() for line in axes.lines] == ["ls", "omp"]
    pandas = pytest.importorskip("pandas")
    frame = results.to_pandas()
    assert isinstance(frame, pandas.DataFrame) and list(frame["estimator"]) == ["ls", "omp"] * 2


def test_fits_the_estimators_to_compare_with(tmp_path, h, y):
    lmmse = chest.fit_lmmse(h, tmp_path / "lmmse.h5")
    gmm = chest.fit_gmm(h, tmp_path / "gmm.h5", n_components=4)
    assert lmmse.info["kind"] == "lmmse" and gmm.info["kind"] == "gmm"
    for model in (lmmse, gmm):
        assert chest.nmse_db(model.estimate(y, 0.1)[0], h) < chest.nmse_db(y, h) - 0.4


@pytest.mark.parametrize(
    "call, kind, text",
    [
        (lambda: chest.Model("no_such.h5"), chest.FileError, "no such file"),
        (lambda: chest.Model(MODEL).estimate(np.zeros((2, 16, 4))), chest.ArgumentError, "float64"),
        (lambda: chest.Model(MODEL).estimate(np.ones((2, 15, 4), complex), 0.1), chest.ArgumentError, r"rx = 15"),
        (lambda: chest.Model(MODEL).estimate(np.ones((2, 16, 4), complex), -1), chest.ArgumentError, "noise_var is -1"),
        (lambda: chest.Model(MODEL).estimate(np.ones(4, complex), 1), chest.ArgumentError, "1 axes"),
        (lambda: chest.estimate("onp", np.ones((1, 2, 2), complex), 1), chest.ArgumentError, "did you mean omp"),
        (lambda: chest.generate("scm", 2, n_paths=0), chest.ArgumentError, "n_paths"),
        (lambda: chest.generate("scm", 2, paths=1), chest.ArgumentError, "no option paths"),
        (lambda: chest.sweep(np.ones((4, 2, 2), complex), "lmmse"), chest.ArgumentError, "model"),
        (lambda: chest.read_channels(__file__), chest.FileError, ""),
    ],
)
def test_errors_are_those_of_the_program(call, kind, text):
    with pytest.raises(kind, match=text) as raised:
        call()
    assert isinstance(raised.value, chest.Error)
    assert isinstance(raised.value, ValueError if kind is chest.ArgumentError else OSError)


def test_control_c_stops_a_sweep():
    code = (
        "import chest, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
        "h = chest.generate('scm', 4000, n_rx=32, n_tx=8)\n"
        "print('ready', flush=True)\n"
        "try:\n    chest.sweep(h, 'sbl', snr_db=list(range(0, 40)))\n"
        "except KeyboardInterrupt:\n    print('stopped')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert out == "stopped\n"


def test_the_page_runs(tmp_path, monkeypatch):
    """docs/python.md, block after block, as a reader types it."""
    pytest.importorskip("matplotlib").use("Agg")
    page = (ROOT / "docs" / "python.md").read_text()
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    space = {}
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    assert len(blocks) >= 5
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), space)


GRID, PATTERN = "48x14@30", "comb:4,symbols=2-11"


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Channels [n, 2, 2, 48, 14], what is received at 10 dB, and what every port sends."""
    file = tmp_path_factory.mktemp("grid") / "tdl.h5"
    run("generate", "tdl", "--profile", "TDLB100-10", "--n-rx", 2, "--n-tx", 2, "--grid", GRID, "--n-samples", 8, "--seed", 3,
        "--out", file, "--quiet")
    h = np.asarray(chest.read_channels(file, grid=GRID))
    sent = chest.GridEstimator("ls", PATTERN, grid=GRID, n_rx=2, n_tx=2).pilots
    received = np.einsum("nrtfs,tfs->nrfs", h, sent)
    return h, (received + chest.noise(received.shape, 0.1, seed=4)).astype(np.complex64), sent


def test_pilots_of_a_grid_are_those_of_the_text(grid):
    _, _, sent = grid
    assert sent.shape == (2, 48, 14)
    for t in range(2):
        at = np.argwhere(sent[t])
        assert set(at[:, 0]) == set(range(t, 48, 4)) and set(at[:, 1]) == {2, 11}
    np.testing.assert_allclose(np.abs(sent[sent != 0]), 1.0, rtol=1e-6)


@pytest.mark.parametrize("estimator, models", [("ls", []), ("lmmse:pdp=TDLB100,doppler=10", []), ("dmse", ["tdl_pusch.h5"])])
def test_grids_are_estimated_as_by_the_program(tmp_path, grid, estimator, models):
    h, y, sent = grid
    files = [ROOT / "models" / m for m in models]
    h_hat, err_var = chest.GridEstimator(estimator, PATTERN, grid=GRID, n_rx=2, n_tx=2, models=files).estimate(y, 0.1)
    assert h_hat.shape == h.shape and h_hat.dtype == np.complex64 and err_var.shape == (8, 2, 48, 14)
    # Pilots in the order of symbols, then subcarriers.
    used = np.abs(sent).sum(0) > 0
    np.save(tmp_path / "y.npy", np.ascontiguousarray(y.swapaxes(2, 3)[:, :, used.T]))
    run("estimate", "--observations", tmp_path / "y.npy", "--snr", 10, "--grid", GRID, "--n-tx", 2, "--pilots", PATTERN,
        "--estimator", estimator, *[w for f in files for w in ("--model", f)], "--per-element", "--out", tmp_path / "e.h5",
        "--normalise", 1, "--quiet")
    expected = np.asarray(chest.read_channels(tmp_path / "e.h5", normalise=1.0))
    np.testing.assert_allclose(h_hat, expected, atol=2e-6)
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "e.h5") as file:
        np.testing.assert_allclose(err_var, file["err_var_element"][()], rtol=1e-5)
    assert chest.nmse_db(h_hat, h) < (-9 if estimator == "ls" else -13)


def test_grids_are_taken_as_they_lie(grid):
    _, y, sent = grid
    by_text = chest.GridEstimator("ls", PATTERN, grid=GRID, n_rx=2, n_tx=2)
    h_hat, err_var = by_text.estimate(y, 0.1)
    np.testing.assert_array_equal(by_text.estimate(np.asfortranarray(y), 0.1)[0], h_hat)
    np.testing.assert_array_equal(by_text.estimate(y[::-1, :, ::-1][:, :, ::-1], 0.1)[0], h_hat[::-1])
    np.testing.assert_array_equal(by_text.estimate(y.astype(complex), 0.1, threads=2)[0], h_hat)
    # The same pilots as an array; energies are read from it.
    np.testing.assert_allclose(chest.GridEstimator("ls", sent, grid=GRID, n_rx=2).estimate(y, 0.1)[0], h_hat, atol=1e-6)
    louder = chest.GridEstimator("ls", 2 * sent, grid=GRID, n_rx=2).estimate(2 * y, 0.1)
    np.testing.assert_allclose(louder[0], h_hat, atol=1e-6)
    np.testing.assert_allclose(louder[1], err_var / 4, rtol=1e-5)
    # Each item's own noise variance; the elements without pilots are not read.
    each = by_text.estimate(y, np.linspace(0.1, 0.8, 8))[1]
    np.testing.assert_allclose(each / err_var, np.linspace(1, 8, 8).reshape(8, 1, 1, 1) * np.ones_like(each), rtol=1e-5)
    silent = np.where(np.abs(sent).sum(0) > 0, y, np.nan + 0j).astype(np.complex64)
    np.testing.assert_array_equal(by_text.estimate(silent, 0.1)[0], h_hat)


def test_finds_the_noise_of_grids(grid):
    h, y, _ = grid
    dmse = chest.GridEstimator("dmse", PATTERN, grid=GRID, n_rx=2, n_tx=2, models=[ROOT / "models" / "tdl_pusch.h5"])
    assert chest.nmse_db(dmse.estimate(y)[0], h) < chest.nmse_db(dmse.estimate(y, 0.1)[0], h) + 1.0


def test_refuses_what_does_not_fit_a_grid(grid):
    _, y, sent = grid
    ls = chest.GridEstimator("ls", PATTERN, grid=GRID, n_rx=2, n_tx=2)
    with pytest.raises(chest.ArgumentError, match=r"y is \(8, 2, 48, 13\); expected \[n, n_rx = 2, n_subcarriers = 48"):
        ls.estimate(y[..., 1:], 0.1)
    with pytest.raises(chest.ArgumentError, match="noise_var has 3 values, y has 8 items"):
        ls.estimate(y, [0.1, 0.1, 0.1])
    with pytest.raises(chest.ArgumentError, match="no grid of several elements"):
        chest.GridEstimator("ls", PATTERN, grid="1x1", n_rx=2)
    with pytest.raises(chest.ArgumentError, match="n_subcarriers = 48, n_symbols = 14"):
        chest.GridEstimator("ls", sent[:, 1:], grid=GRID, n_rx=2)
    with pytest.raises(chest.ArgumentError, match="pilots: those of 2 ports; n_tx is 3"):
        chest.GridEstimator("ls", sent, grid=GRID, n_rx=2, n_tx=3)
    with pytest.raises(chest.ArgumentError, match="panel is '2x4x2'"):
        chest.GridEstimator("ls", PATTERN, grid=GRID, n_rx=2, panel="2x4x2")
    with pytest.raises(chest.ArgumentError, match="pilots"):
        chest.GridEstimator("ls", 0 * sent, grid=GRID, n_rx=2)
    with pytest.raises(chest.ArgumentError):
        chest.GridEstimator("ls", "comb:4,symbols=2-14", grid=GRID, n_rx=2)
