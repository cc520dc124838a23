#!/usr/bin/env python3
"""Information bits per second of the 5G LDPC decoder of sionna-no-rt 2.2 on one core: what bench/coding_bench is compared with.

    pip install sionna-no-rt==2.2.0
    python3 time_sionna_ldpc.py

Ten iterations on noise, float32, a batch of 20 blocks; CPU time of the process.
"""
import time

import torch
from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder

torch.set_num_threads(1)
print(f"{'k':>5} {'n':>6} {'rule':>14} {'schedule':>9}  Mbit/s")
for k, n in ((500, 1000), (8448, 12672)):
    encoder = LDPC5GEncoder(k, n, device="cpu")
    for rule in ("boxplus-phi", "minsum"):
        for schedule in ("flooding", "layered"):
            decoder = LDPC5GDecoder(encoder, cn_update=rule, cn_schedule=schedule, num_iter=10, device="cpu")
            llrs = torch.randn(20, n)
            decoder(llrs)
            start, calls = time.process_time(), 0
            while time.process_time() - start < 3.0:
                decoder(llrs)
                calls += 1
            seconds = (time.process_time() - start) / calls
            print(f"{k:5} {n:6} {rule:>14} {schedule:>9}  {20 * k / seconds / 1e6:.3f}", flush=True)
