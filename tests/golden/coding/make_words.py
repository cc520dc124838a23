#!/usr/bin/env python3
"""Writes words.txt, transport.txt, sizes.txt and symbols.txt beside this file: what encoder and rate matching, transport blocks with
scrambling, MCS and TBS tables, and mapping and demapping of sionna-no-rt 2.2 give.

    pip install sionna-no-rt==2.2.0
    python3 make_words.py

Bits to encode are those of a 64-bit linear congruential generator, so that no words need to be stored:
    x <- x * 6364136223846793005 + 1442695040888963407 (mod 2^64), bit = x >> 63, begun at x = k
Words are stored as their 64-bit FNV-1a hash over bytes 0 and 1.
"""
import pathlib

import numpy as np
import torch
from sionna.phy.fec.ldpc import LDPC5GEncoder
from sionna.phy.mapping import Constellation, Demapper, Mapper
from sionna.phy.nr import TBEncoder
from sionna.phy.nr.utils import calculate_tb_size, decode_mcs_index

here = pathlib.Path(__file__).parent


def bits_of(seed, n):
    x, out = seed, []
    for _ in range(n):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(x >> 63)
    return out


def fnv(bits):
    h = 0xCBF29CE484222325
    for b in bits:
        h = ((h ^ int(b)) * 0x100000001B3) % 2**64
    return f"{h:016x}"


def words():
    # Both graphs, all eight sets of shifts, the shortest and the longest, filler and none, repetition of none.
    cases = [(64, 128), (100, 200), (140, 600), (300, 600), (500, 1000), (592, 1184), (700, 1400), (1000, 2000),
             (1280, 2560), (1408, 2112), (1900, 5700), (2000, 4000), (2304, 11520), (3000, 6000), (3824, 12000),
             (3825, 5000), (4000, 8000), (4400, 5000), (5000, 6000), (5632, 8448), (6600, 8000), (7000, 16000),
             (8000, 16000), (8448, 25344), (8448, 9216), (293, 360), (2816, 3200), (3168, 3600), (12, 30), (20, 60)]
    lines = []
    for k, n in cases:
        for qm in (1, 2, 4, 6, 8):
            if n % qm or (qm > 2 and n > 6000):
                continue
            encoder = LDPC5GEncoder(k, n, num_bits_per_symbol=None if qm == 1 else qm, device="cpu")
            u = torch.tensor([bits_of(k, k)], dtype=torch.float32)
            cw = encoder(u, rv=[0, 1, 2, 3])[0].numpy().astype(int)
            bg = 1 if encoder._bg == "bg1" else 2
            for rv in range(4):
                # With rv the package's interleaver is applied as without; rv is in the order 0 1 2 3.
                lines.append(f"{bg} {k} {n} {qm} {rv} {encoder.z} {fnv(cw[rv])}")
            plain = encoder(u)[0].numpy().astype(int)
            assert fnv(plain) == fnv(cw[0]), (k, n, qm)
    (here / "words.txt").write_text("\n".join(lines) + "\n")


def transport():
    # The package chooses the base graph by the bits of a code block, the standard by those of the transport block: cases where
    # both agree.
    # One block and many, both graphs, equal and unequal shares, layers. tb_size, G, R, qm, layers, n_rnti, n_id.
    cases = [(1352, 6000, 193 / 1024, 2, 1, 1, 0), (2856, 14000, 193 / 1024, 2, 1, 7, 500), (9224, 14400, 658 / 1024, 4, 1, 1, 1),
             (12040, 21600, 567 / 1024, 6, 1, 65535, 1023), (18432, 28800, 658 / 1024, 4, 2, 1, 1),
             (14856, 72000, 193 / 1024, 2, 1, 3, 9), (38936, 61056, 658 / 1024, 4, 1, 100, 40),
             (31752, 38400, 822.5 / 1024, 8, 2, 12, 13), (24, 144, 0.2, 2, 1, 1, 1), (3752, 5736, 0.64, 4, 3, 1, 1)]
    lines = []
    for size, g, r, qm, layers, n_rnti, n_id in cases:
        for scrambled in (0, 1):
            encoder = TBEncoder(size, g, r, qm, layers, n_rnti, n_id, use_scrambler=bool(scrambled), device="cpu")
            assert encoder.k == size, (encoder.k, size)
            cw = encoder(torch.tensor([bits_of(size, size)], dtype=torch.float32))[0].numpy().astype(int).ravel()
            lines.append(f"{size} {g} {r!r} {qm} {layers} {n_rnti} {n_id} {scrambled} {encoder.num_cbs} {fnv(cw)}")
    (here / "transport.txt").write_text("\n".join(lines) + "\n")


def sizes():
    lines = []
    for table, n in ((1, 29), (2, 28), (3, 29)):
        for index in range(n):
            qm, rate = decode_mcs_index(index, table_index=table, is_pusch=False)
            qm, rate = int(qm), float(rate)
            for prbs, symbols, dmrs, layers in ((1, 14, 12, 1), (3, 12, 24, 1), (25, 14, 24, 2), (106, 13, 12, 4), (273, 14, 0, 4)):
                size = calculate_tb_size(qm, rate, num_prbs=prbs, num_ofdm_symbols=symbols, num_dmrs_per_prb=dmrs,
                                         num_layers=layers, verbose=False)[0]
                lines.append(f"{table} {index} {qm} {rate * 1024:.6g} {prbs} {12 * symbols - dmrs} {layers} {int(size)}")
    (here / "sizes.txt").write_text("\n".join(lines) + "\n")


def symbols():
    rng = np.random.default_rng(1)
    lines = []
    for qm in (2, 4, 6, 8):
        mapper = Mapper("qam", qm, device="cpu", precision="double")
        for _ in range(6):
            bits = rng.integers(0, 2, qm)
            x = complex(mapper(torch.tensor(bits[None, :], dtype=torch.float64)).numpy().ravel()[0])
            y = x + 0.3 * (rng.standard_normal() + 1j * rng.standard_normal())
            no = float(10 ** rng.uniform(-2, 0.5))
            llrs = []
            for method in ("app", "maxlog"):
                demapper = Demapper(method, "qam", qm, device="cpu", precision="double")
                # The package's LLRs are log P(1) - log P(0).
                llr = demapper(torch.tensor([y], dtype=torch.complex128), torch.tensor([no], dtype=torch.float64)).numpy().ravel()
                llrs += [f"{-v:.9g}" for v in llr]
            lines.append(" ".join([str(qm), *map(str, bits), f"{x.real:.12g} {x.imag:.12g} {y.real:.12g} {y.imag:.12g} {no:.12g}", *llrs]))
    (here / "symbols.txt").write_text("\n".join(lines) + "\n")


words()
transport()
sizes()
symbols()
