#!/usr/bin/env python3
"""What estimates of grids cost: ms per slot and link on one thread, memory, and the share of time that the network takes.

    scripts/grid_cost.py build/release/cli/chest models/tdl_pusch.h5

Slots of 14 symbols at 30 kHz with DM-RS on symbols 2 and 11, 10 dB. The network's share is that of its calls, each as long as
the difference of dmse:steps=3 and dmse:steps=1 says. Memory is the peak of a sweep of dmse alone.
"""
import argparse
import csv
import os
import subprocess
import sys
import tempfile


def run(words):
    """Peak memory in MiB of a program."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execvp(words[0], words)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        sys.exit(f"failed: {' '.join(words)}")
    return usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("chest")
    parser.add_argument("model", help="of tapped delay lines, for any number of antennas")
    parser.add_argument("--links", type=int, default=8)
    args = parser.parse_args()
    print("| antennas | PRB | ls | lmmse (known profile) | dmse | calls | network's share | MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        channels, table = os.path.join(folder, "c.h5"), os.path.join(folder, "t.csv")
        for antennas in (4, 64):
            for prb in (51, 273):
                subprocess.run([args.chest, "generate", "tdl", "--profile", "TDLB100-100", "--n-rx", str(antennas), "--n-tx", "1",
                                "--grid", f"{12 * prb}x14@30", "--n-samples", str(args.links), "--out", channels, "--force",
                                "--quiet"], check=True, stdout=subprocess.DEVNULL)

                def sweep(estimators):
                    memory = run([args.chest, "sweep", "--channels", channels, "--model", args.model, "--estimators", estimators,
                                  "--pilots", "dmrs:symbols=2-11", "--snr", "10", "--threads", "1", "--quiet", "--csv", table,
                                  "--force"])
                    with open(table) as f:
                        rows = {row["estimator"]: row for row in csv.DictReader(f)}
                    return {name: 1e3 * float(row["seconds_per_channel"]) for name, row in rows.items()}, rows, memory

                _, _, memory = sweep("dmse")
                ms, rows, _ = sweep("ls,lmmse:pdp=TDLB100-100,dmse,dmse:steps=1,dmse:steps=3")
                calls = float(rows["dmse"]["nfe"])
                # Two planes, of the mean of the symbols and of their difference, so twice as many calls each.
                planes = float(rows["dmse:steps=1"]["nfe"])
                per_call = (ms["dmse:steps=3"] - ms["dmse:steps=1"]) / (2.0 * planes)
                share = max(0.0, min(1.0, calls * per_call / ms["dmse"]))
                print(f"| {antennas} | {prb} | {ms['ls']:.1f} | {ms['lmmse:pdp=TDLB100-100']:.1f} | {ms['dmse']:.1f} | "
                      f"{calls:.0f} | {100 * share:.0f} % | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
