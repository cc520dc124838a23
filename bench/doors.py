"""Least processor time of a call of Model.estimate, for bench/doors.sh: doors.py MODEL BATCH"""

import sys
import time

import numpy as np

import chest

model = chest.Model(sys.argv[1])
batch = int(sys.argv[2])
rng = np.random.default_rng(1)
y = rng.uniform(-1, 1, (batch, model.info["n_rx"], model.info["n_tx"], 2)).astype(np.float32).view(np.complex64)[..., 0]
least, seconds, calls = 1e9, 0.0, 0
while calls < 5 or seconds < 0.6:
    start = time.process_time()
    model.estimate(y, 0.1)
    taken = time.process_time() - start
    least, seconds, calls = min(least, taken), seconds + taken, calls + 1
print(f"{least:.9f}")
