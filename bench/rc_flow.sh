#!/usr/bin/env bash
# The set-up of RC-Flow (arXiv 2601.15767) and of score-based channel estimation (arXiv 2204.07122): CDL-C, 64 antennas of the base
# station send 38 pilots (alpha 0.6) to 16, 30 ns, 40 GHz; beside the figures of RC-Flow's Fig. 2c, read off to +-0.3 dB.
#   bench/rc_flow.sh FOLDER [MINUTES] [N_CHANNELS]                          (chest on PATH)
# Needs h5copy (Debian: hdf5-tools). MINUTES: of the fit, 60 when left out; N_CHANNELS: of the table, 100. THREADS: 0
# (all) when left out; METHODS: tuned within our budget beside dmse, pigdm,score when left out. BFLOAT16= : estimates in
# float32, which is faster on a processor without AMX.
set -euo pipefail
minutes=${2:-60}
n=${3:-100}
threads=${THREADS:-0}
methods=${METHODS-pigdm,score}
flag=${BFLOAT16---bfloat16}
option=${flag:+bfloat16}
mkdir -p "$1"
cd "$1"
# The generator's base station receives; gains with the sides exchanged are the downlink.
draw() {  # name, channels, seed
  [ ! -e "$1.downlink.h5" ] || return 0
  chest generate cdl --profile C --delay-spread 30 --carrier 40 --grid 1x1@15 --rx-panel 64x1x1 --tx-panel 16x1x1 \
    --n-samples "$2" --seed "$3" --out "$1.uplink.h5" --force
  rm -f "$1.part.h5"
  h5copy -i "$1.uplink.h5" -o "$1.part.h5" -s /gains -d /a
  h5copy -i "$1.uplink.h5" -o "$1.part.h5" -s /delays -d /tau
  mv "$1.part.h5" "$1.downlink.h5"
  rm "$1.uplink.h5"
}
draw fit 10000 1234
draw test 1000 4321
as="--axes nsprt --grid 1x1@15 --normalise dataset"
pilots=qpsk:38
snr=-10:5:30
[ -e lmmse.h5 ] || chest fit lmmse --channels fit.downlink.h5 $as --samples 0:9000 --out lmmse.h5
if [ ! -e dmse.h5 ]; then
  [ -e fitted.h5 ] || chest fit dmse --channels fit.downlink.h5 $as --samples 0:9000 --validation 9000:9400 --network chest:axial --batch 16 --bfloat16 \
    --minutes "$minutes" --threads "$threads" --out fitted.h5
  chest calibrate fitted.h5 --channels fit.downlink.h5 $as --samples 9400:10000 --pilots $pilots --snr=-10:10:30 --n-channels 16 $flag \
    --threads "$threads"
  [ -z "$methods" ] || chest calibrate fitted.h5 --channels fit.downlink.h5 $as --samples 9400:10000 --pilots $pilots --snr=-10:10:30 \
    --n-channels 8 $flag --threads "$threads" --method "$methods" --budget ours
  mv fitted.h5 dmse.h5
fi
estimators=ls,lmmse,dmse${option:+:$option},diffpir${option:+:$option},score${option:+:$option}
[ -z "$methods" ] || estimators+=,$(tr ',' '\n' <<< "$methods" | sed "s/\$/:tuned=ours${option:+,$option}/" | paste -sd,)
[ -e rc_flow.csv ] || chest sweep --channels test.downlink.h5 $as --samples "0:$n" --snr=$snr --pilots $pilots --block 4 --threads "$threads" \
  --model lmmse.h5 --model dmse.h5 \
  --estimators "$estimators" \
  --out rc_flow.h5 --csv rc_flow.csv --force
cat <<'TABLE'

| NMSE dB at | -10 | -5 | 0 | 5 | 10 | 15 | 20 | 25 | 30 |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| published: mean of 50 posterior samples | -3.2 | -5.7 | -9.0 | -12.7 | -16.5 | -20.7 | -24.8 | -28.9 | -33.4 |
| published: RC-Flow | -3.2 | -5.7 | -9.0 | -12.3 | -15.8 | -19.8 | -24.1 | -28.5 | -32.8 |
| published: score | 0.3 | -3.6 | -7.3 | -11.5 | -15.5 | -19.8 | -24.1 | -28.5 | -33.0 |
| published: LMMSE | -1.7 | -3.7 | -6.8 | -10.4 | -14.4 | -18.6 | -22.9 | -27.2 | -31.8 |
TABLE
awk -F, 'NR == 1 { for (i = 1; i <= NF; ++i) at[$i] = i; next }
  { gsub(/"/, ""); e = $1; for (i = 2; $i !~ /^qpsk/; ++i) e = e "," $i
    if (!(e in row)) names[++k] = e
    row[e] = row[e] sprintf(" %.1f |", $(at["nmse_db"] + i - 2)) }
  END { for (i = 1; i <= k; ++i) printf "| `%s` |%s\n", names[i], row[names[i]] }' rc_flow.csv
