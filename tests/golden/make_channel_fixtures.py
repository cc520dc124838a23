#!/usr/bin/env python3
"""Writes the small channel files in tests/golden/channels: one per layout that chest reads or refuses.

All hold H[k, r, t] = exp(j (0.7 k + 1.3 r + 2.1 t)) unless said otherwise, so that a test knows every
value. Needs numpy and h5py; Octave for its own format and for the v7 .mat.
"""
import pathlib
import subprocess

import h5py
import numpy as np

FOLDER = pathlib.Path(__file__).parent / "channels"
N, N_RX, N_TX = 5, 4, 3
MATLAB_HEADER = (b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Mar  7 12:00:00 2024 "
                 b"HDF5 schema 1.00 .")


def channels(n=N, n_rx=N_RX, n_tx=N_TX):
    k, r, t = np.ogrid[:n, :n_rx, :n_tx]
    return np.exp(1j * (0.7 * k + 1.3 * r + 2.1 * t))


def matlab(name, variables, **layout):
    """Arrays as MATLAB shows them; trailing axes of length 1 are dropped, as MATLAB does."""
    path = FOLDER / name
    with h5py.File(path, "w", userblock_size=512, track_order=False) as out:
        for key, value in variables.items():
            value = np.asarray(value)
            while value.ndim > 2 and value.shape[-1] == 1:
                value = value[..., 0]
            kind = {"f": "single", "d": "double", "F": "single", "D": "double"}[value.dtype.char]
            if np.iscomplexobj(value):
                real = value.real.dtype
                packed = np.empty(value.shape, [("real", real), ("imag", real)])
                packed["real"], packed["imag"] = value.real, value.imag
                value = packed
            stored = out.create_dataset(key, data=value.T, track_times=False,
                                        **(layout if value.ndim == 3 else {}))
            stored.attrs["MATLAB_class"] = np.bytes_(kind)
    with open(path, "r+b") as out:
        out.write(MATLAB_HEADER.ljust(124) + b"\x00\x02IM")


def h5(name, variables, **layout):
    with h5py.File(FOLDER / name, "w") as out:
        for key, value in variables.items():
            out.create_dataset(key, data=value, track_times=False, **layout)


def npy(name, value, version=None):
    with open(FOLDER / name, "wb") as out:
        np.lib.format.write_array(out, value, version=version)


def quadriga_lib(name):
    H = channels().astype(np.complex64)
    with h5py.File(FOLDER / name, "w") as out:
        out["ChannelDims"] = np.array([4, 2, 1, 1], np.uint32)
        out["Order"] = np.array([0, 3, 0, 1, 4, 6, 5, 0], np.uint32)
        out["Version"] = np.uint32(2)

        def snapshot(group, h):
            # Two paths that add up to h; dims (n_path, n_tx, n_rx).
            coefficients = np.stack([0.25 * h.T, 0.75 * h.T])
            group.attrs["NumPath"] = np.uint32(2)
            group["coeff_re"] = coefficients.real.astype(np.float32)
            group["coeff_im"] = coefficients.imag.astype(np.float32)
            group["delay"] = np.array([1e-7, 2e-7], np.float32).reshape(2, 1, 1)

        def channel(i, n_snap):
            group = out.create_group(f"channel_{i}")
            group.attrs["NumSnap"] = np.uint32(n_snap)
            group.attrs["NumTx"] = np.uint32(N_TX)
            group.attrs["NumRx"] = np.uint32(N_RX)
            group.attrs["CenterFrequency"] = np.float32(3.7e9)
            return group

        group = channel(3, 2)
        snapshot(group.create_group("Snap_0"), H[0])
        snapshot(group.create_group("Snap_1"), H[1])
        snapshot(channel(1, 1), H[2])
        group = channel(4, 12)  # Snap_1 .. Snap_9 and Snap_11 are missing, Snap_2 has no paths
        snapshot(group.create_group("Snap_10"), H[4])
        snapshot(group.create_group("Snap_0"), H[3])
        group.create_group("Snap_2").attrs["NumPath"] = np.uint32(0)
        snapshot(channel(2, 1), 100 * H[0])  # overwritten: no longer in Order
        channel(6, 0).create_group("Data")["par_note"] = np.float32(1)
        channel(5, 1).attrs["NumPath"] = np.uint32(0)


def octave(script):
    subprocess.run(["octave-cli", "--quiet", "--eval",
                    f"[k, r, t] = ndgrid(0:{N - 1}, 0:{N_RX - 1}, 0:{N_TX - 1});"
                    "H = exp(1i * (0.7 * k + 1.3 * r + 2.1 * t));" + script], check=True, cwd=FOLDER, stderr=subprocess.DEVNULL)


FOLDER.mkdir(exist_ok=True)
H = channels()
single = H.astype(np.complex64)

matlab("matlab_chunked.mat", {"H_all": single}, chunks=(N_TX, N_RX, 2), compression="gzip",
       shuffle=True)
matlab("matlab_contiguous.mat", {"H": H, "fs": np.array([[1e9]])})
matlab("matlab_simo.mat", {"H_all": H[:, :, 0]})
matlab("matlab_trailing_one.mat", {"H_all": H[:, :, :1]})
matlab("matlab_one_sample.mat", {"H": H[0]})
matlab("matlab_several.mat", {"H_uplink": single, "H_downlink": single})
matlab("matlab_real.mat", {"power": np.ones((N, N_RX, N_TX))})
# A period of 7 samples compresses to little; several slabs of whole chunks.
matlab("matlab_long.mat", {"H": np.tile(channels(7), (14300, 1, 1))[:100000].astype(np.complex64)},
       chunks=(N_TX, N_RX, 4001), compression="gzip", compression_opts=9, shuffle=True)

h5("h5py.h5", {"channels": single})
h5("h5py_gzip_double.h5", {"set/h": H}, compression="gzip", chunks=(2, N_RX, N_TX))
h5("h5py_long_axes.h5", {"h": single.reshape(N, 1, N_RX, 1, N_TX, 1, 1)})
h5("h5py_bands.h5", {"h": np.stack([single, 2 * single], axis=1)})
h5("h5py_pair.h5", {"coeff_re": H.real, "coeff_im": H.imag, "delay": np.zeros((N, 3))})
h5("h5py_group_pair.h5", {"h/r": H.real, "h/i": H.imag})
h5("h5py_trailing_two.h5", {"h": np.stack([single.real, single.imag], axis=-1)})
h5("h5py_planes.h5", {"h": np.stack([single.real, single.imag], axis=1)})
h5("h5py_rank_one.h5", {"h": single[0, :, 0]})
h5("h5py_text.h5", {"note": "no channels here"})
h5("h5py_empty.h5", {"h": single[:0]})

octave("save -hdf5 octave_double.h5 H")
# Octave 7 reports an error when it saves complex single, and leaves zeros.
octave("H = single(H); try, save -hdf5 octave_single.h5 H, catch, end")
octave("save -v7 matlab_v7.mat H")
# Octave writes the formats of MATLAB v4, v6 and v7.
octave("H = H(:, :, 1); save -v4 matlab_v4.mat H")
octave("H = single(H); save -v6 matlab_v6.mat H")
octave("s.H = H; s.fc = 3.5e9; s.name = 'UMa'; save -v7 matlab_v7_struct.mat s")
octave(f"for k = {N}:-1:1, u(k).H = squeeze(H(k, :, :)); u(k).id = k; end; save -v7 matlab_v7_array.mat u")
octave(f"for k = 1:{N}, c{{k + (k > 3)}} = squeeze(H(k, :, :)); end; save -v7 matlab_v7_cell.mat c; "
       "save -hdf5 octave_cell.tmp c; c{1} = 1i; save -v7 matlab_v7_uneven.mat c")
octave("H_re = real(H); H_im = imag(H); save -v7 matlab_v7_pair.mat H_re H_im")
octave("I = int16(round(1000 * cat(4, real(H), imag(H)))); save -v7 matlab_v7_int16.mat I")
octave("S = sparse(H(:, :)); x = 1; save -v7 matlab_v7_sparse.mat S x")
octave("a = H; b = H; e = []; u = uint8(ones(3, 3, 2)); save -v7 matlab_v7_several.mat a b e u")
for name in ("octave_double.h5", "octave_single.h5"):  # copied: Octave notes who wrote the file
    (FOLDER / name).rename(FOLDER / "octave.tmp")
    with h5py.File(FOLDER / "octave.tmp") as written, h5py.File(FOLDER / name, "w") as out:
        written.copy("H", out)
    (FOLDER / "octave.tmp").unlink()


def matlab_references(name, uneven=False):
    """A cell array and an array of structs: datasets of references into /#refs#."""
    path = FOLDER / name
    with h5py.File(path, "w", userblock_size=512) as out:
        refs = out.create_group("#refs#")
        cell = np.empty((N + 1, 1), h5py.ref_dtype)
        for k in range(N + 1):
            if k == N:  # an empty cell: its dims in place of its values
                stored = refs.create_dataset(f"x{k}", data=np.zeros(2, np.uint64), track_times=False)
                stored.attrs["MATLAB_empty"] = np.uint8(1)
            else:
                h = H[k, :2] if uneven and k == 1 else H[k]
                packed = np.empty(h.T.shape, [("real", "<f8"), ("imag", "<f8")])
                packed["real"], packed["imag"] = h.T.real, h.T.imag
                stored = refs.create_dataset(f"x{k}", data=packed, track_times=False)
            stored.attrs["MATLAB_class"] = np.bytes_("double")
            cell[k, 0] = stored.ref
        for where, key in ((out, "C"), (out.create_group("u"), "H")):
            stored = where.create_dataset(key, data=cell, dtype=h5py.ref_dtype, track_times=False)
            if key == "C":
                stored.attrs["MATLAB_class"] = np.bytes_("cell")
    with open(path, "r+b") as out:
        out.write(MATLAB_HEADER.ljust(124) + b"\x00\x02IM")


quadriga_lib("quadriga_lib.h5")
matlab_references("matlab_cells.mat")
matlab_references("matlab_cells_uneven.mat", uneven=True)
with h5py.File(FOLDER / "octave_cell.tmp") as written, h5py.File(FOLDER / "octave_cell.h5", "w") as out:
    written.copy("c", out)
(FOLDER / "octave_cell.tmp").unlink()

npy("c64_v1.npy", single, (1, 0))
npy("c128_v2.npy", H, (2, 0))
npy("c64_v3.npy", single, (3, 0))
npy("fortran.npy", np.asfortranarray(H))
vectorised = np.stack([h.flatten(order="F") for h in single])
npy("vectorised.npy", vectorised)
npy("vectorised_fortran.npy", np.asfortranarray(vectorised))
npy("stacked.npy", np.stack([single[:, :, 0], 9 * single[:, :, 0]]))
npy("trailing_two.npy", np.stack([single.real, single.imag], axis=-1))
np.savez(FOLDER / "stored.npz", H=H, positions=np.ones((N, 3)))
np.savez_compressed(FOLDER / "deflated.npz", H=np.asfortranarray(single), names=np.array(["a", "b"]))
np.savez(FOLDER / "pair.npz", H_re=H.real, H_im=H.imag, gain=np.ones(N))
np.savez(FOLDER / "several.npz", up=H, down=H)
np.savez(FOLDER / "no_channels.npz", positions=np.ones((N, 3)))
npy("real.npy", np.ones((N, N_RX), np.float32))
npy("integer.npy", np.ones((N, N_RX), np.int32))
npy("big_endian.npy", single.astype(">c8"))
npy("pickled.npy", np.array([single, None], object))
npy("structured.npy", np.zeros(N, [("r", "<f4"), ("i", "<f4")]))
broken = single.copy()
broken[3, 2, 1] = np.nan
npy("nan.npy", broken)
broken[3, 2, 1] = np.inf
npy("inf.npy", broken)
broken = single.copy()
broken[2] = 0
npy("zero.npy", broken)
npy("path_loss.npy", 1e-5 * single)

# What HDF5 2.0 writes for its native complex type is a datatype of class 11, version 5, which no earlier
# library can decode: the class and version byte of a float64 (1 | 1 << 4) becomes 11 | 5 << 4.
h5("native_complex.h5", {"h": H.real})
data = (FOLDER / "native_complex.h5").read_bytes()
float64 = bytes([0x11, 0x20, 0x3f, 0x00, 8, 0, 0, 0])
assert data.count(float64) == 1
(FOLDER / "native_complex.h5").write_bytes(data.replace(float64, bytes([0x5b]) + float64[1:]))

# Found by fuzzing: groups that contain each other, in so many ways that no walk over all paths ends; and a
# dataset that is stored in its own header with no bytes at all.
with h5py.File(FOLDER / "cycles.h5", "w") as out:
    out.create_dataset("h", data=single, track_times=False)
    for a in "abcdef":
        group = out.create_group(a)
        for b in "uvwxyz":
            group[b] = out["/"]
with h5py.File(FOLDER / "hollow_compact.h5", "w") as out:
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    compact.set_obj_track_times(False)
    h = h5py.h5d.create(out.id, b"h", h5py.h5t.py_create(single.dtype),
                        h5py.h5s.create_simple(single.shape), compact)
    h.write(h5py.h5s.ALL, h5py.h5s.ALL, single)
data = (FOLDER / "hollow_compact.h5").read_bytes()
layout = bytes([3, 0]) + single.nbytes.to_bytes(2, "little")
assert data.count(layout) == 1
(FOLDER / "hollow_compact.h5").write_bytes(data.replace(layout, bytes([3, 0, 0, 0])))

print(sum(f.stat().st_size for f in FOLDER.iterdir()) // 1000, "kB in all")
