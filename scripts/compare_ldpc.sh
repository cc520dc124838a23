#!/bin/sh
# Block error rates of chest code beside published ones: a table as Markdown on stdout.
#
#   scripts/compare_ldpc.sh build/release/cli/chest [ERRORS [LONGEST [SHORTEST]]]
#
# ERRORS block errors per point (default 500), codes of SHORTEST (default 0) to LONGEST sent bits (default 2000). Needs python3.
# References: Sionna v1.2.1, notebook "5G Channel Coding", BP with 20 iterations, 500 errors (64, 128: 1000); AFF3CT 8fa65a3,
# error_rate_references of Wi-Fi (layered, 40 iterations; min-sum: 10) and WiMAX (flooding, 100 iterations).
set -eu
if [ $# -lt 1 ]; then
  sed -n '2,8p' "$0" | cut -c3-
  exit 2
fi
chest=$1 errors=${2:-500} longest=${3:-2000} shortest=${4:-0}
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "| code | Eb/N0 dB | reference | ours | 95 % | ours / reference | errors of the difference | iterations |"
echo "| --- | --- | --- | --- | --- | --- | --- | --- |"
# rows NAME "ebn0:reference ..." ERRORS_OF_THE_REFERENCE FLAGS ...
rows() {
  name=$1 points=$2 reference_errors=$3
  shift 3
  list=$(for p in $points; do printf '%s,' "${p%%:*}"; done)
  "$chest" code "$@" --ebn0="${list%,}" --errors "$errors" --csv "$work/rows.csv" --force --quiet > "$work/table"
  python3 - "$name" "$points" "$reference_errors" "$work/rows.csv" <<'PY'
import csv, math, sys
name, points, reference_errors, file = sys.argv[1:]
reference = {float(p.split(":")[0]): float(p.split(":")[1]) for p in points.split()}
for row in csv.DictReader(open(file)):
    ours, ref = float(row["bler"]), reference[float(row["ebn0_db"])]
    errors = ours * float(row["n_blocks"])
    # Standard errors of the ratio of two measured rates, each of so many block errors.
    # Small reference rates are multiples of 1e-5: of 100 000 blocks, whatever the errors.
    seen = min(float(reference_errors), ref * 1e5)
    relative = math.sqrt((1 - ours) / max(errors, 1) + (1 - ref) / seen)
    print(f"| {name} | {row['ebn0_db']} | {ref:.3g} | {ours:.3g} | {float(row['bler_ci95_low']):.3g} .. {float(row['bler_ci95_high']):.3g}"
          f" | {ours / ref:.2f} | {(ours / ref - 1) / relative:+.1f} | {float(row['mean_iterations']):.1f} |")
PY
}
nr() {
  k=$1 n=$2 points=$3 reference_errors=$4
  [ "$n" -gt "$longest" ] || [ "$n" -lt "$shortest" ] || rows "NR ($k, $n)" "$points" "$reference_errors" --k "$k" --n "$n" --modulation qpsk --iterations 20
}
nr 64 128 "0.5:.712 1.0:.503 1.5:.303 2.0:.155 2.5:.0687 3.0:.0225 3.5:5.84e-3" 1000
nr 128 256 "0.5:.749 1.0:.488 1.25:.363 1.5:.234 1.75:.137 2.0:.0858 2.5:.0181 3.0:.0030" 500
nr 256 512 "0.5:.820 1.0:.444 1.25:.286 1.5:.149 1.75:.0602 2.0:.0234 2.5:2.15e-3" 500
nr 500 1000 "0.5:.908 1.0:.462 1.25:.220 1.5:.0744 1.75:.0189 2.0:2.81e-3" 500
nr 1000 2000 "0.5:.970 1.0:.469 1.25:.147 1.5:.0245 1.75:2.18e-3" 500
nr 2000 4000 "1.0:.537 1.25:.104 1.5:4.91e-3" 500
nr 4000 8000 "1.0:.415 1.25:.0191" 500
nr 8000 16000 "1.0:.454 1.25:3.92e-3" 500
[ "$shortest" -le 648 ] || exit 0
python3 "$here/standard_alist.py" wifi-648-540 > "$work/wifi.alist"
python3 "$here/standard_alist.py" wimax-576-288 > "$work/wimax.alist"
rows "Wi-Fi (648, 540), layered, 40 it." "3.0:.421 3.25:.195 3.5:.0653 3.75:.0196 4.0:4.39e-3" 100 \
  --alist "$work/wifi.alist" --modulation bpsk --schedule layered --iterations 40
rows "Wi-Fi (648, 540), layered min-sum, 10 it." "3.5:.228 3.8:.0768 4.0:.0363 4.3:6.1e-3" 100 \
  --alist "$work/wifi.alist" --modulation bpsk --decoder min-sum --scale 1 --schedule layered --iterations 10
rows "WiMAX (576, 288), 100 it." "1.0:.477 1.5:.116 2.0:.0172 2.5:7.6e-4" 100 \
  --alist "$work/wimax.alist" --modulation bpsk --iterations 100
