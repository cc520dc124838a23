#!/usr/bin/env bash
# What more operations per estimate buy: networks of three sizes fitted for the same number of steps, NMSE over the
# mean of -15:5:30 dB against the time of an estimate, with one, two and three calls.
#   bench/frontier.sh CHANNELS.mat FOLDER [EPOCHS [PUBLISHED.h5]]              (chest on PATH)
# Fits on samples 0:8000 (12 epochs of 500 steps when left out), compares on 8400:9000. PUBLISHED.h5: a model of
# `chest import` to set beside. Writes FOLDER/frontier.csv and FOLDER/frontier.png.
set -euo pipefail
channels=$(realpath "$1")
epochs=${3:-12}
published=${4:+$(realpath "$4")}
mkdir -p "$2"
cd "$2"
# The sizes of --size, and layers of other shapes that were tried beside them.
{
  echo "tiny|--size tiny"
  echo "base|--size base"
  echo "large|--size large"
  echo "axial base|--network chest:axial"
  echo "axial large|--network chest:hidden=56-100-72-36,axial"
  echo "deep: eight layers of 27|--network chest:hidden=27-27-27-27-27-27-27-27"
  echo "kernels of 5x5|--network chest:hidden=21-32-26-16,kernel=5"
} > networks.txt
echo "network,parameters,calls,us_per_channel,mean_nmse_db,$(seq -s, -15 5 30)" > frontier.csv
sweep() {  # name, parameters, calls, model, estimator
  chest sweep --channels "$channels" --samples 8400:9000 --snr=-15:5:30 --model "$4" --threads 1 \
    --estimators "$5" --out "$1.$3.results.h5" --csv "$1.$3.csv" --quiet > /dev/null
  awk -F, -v name="$1" -v p="$2" -v calls="$3" '
    NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i }
    NR > 1 { all = all sprintf(",%.2f", $column["nmse_db"]); sum += $column["nmse_db"]
             time += $column["seconds_per_channel"]; n++ }
    END { printf "\"%s\",%d,%s,%.0f,%.3f%s\n", name, p, calls, 1e6 * time / n, sum / n, all }' \
    "$1.$3.csv" | tee -a frontier.csv
}
while IFS='|' read -r name flags; do
  model=$name.h5
  # shellcheck disable=SC2086
  [ -e "$model" ] || chest fit dmse --channels "$channels" --samples 0:8000 --validation 8000:8400 \
    --bfloat16 --epochs "$epochs" $flags --out "$model" > "$name.log" 2>&1
  parameters=$(chest info "$model" | awk '/parameters/ { print $2 }')
  for calls in 1 2 3; do sweep "$name" "$parameters" "$calls" "$model" "dmse:steps=$calls"; done
done < networks.txt
if [ -n "$published" ]; then
  for calls in 1 3; do
    sweep published "$(chest info "$published" | awk '/parameters/ { print $2 }')" "$calls" \
      "$published" "dmse:steps=$calls"
  done
  sweep "published chain" "$(chest info "$published" | awk '/parameters/ { print $2 }')" chain \
    "$published" dmse:published
fi
# A block of gnuplot for each network: its name, then time and NMSE.
awk -F, 'NR > 1 { if ($1 != name) printf "%s%s\n", (NR > 2 ? "\n\n" : ""), name = $1; print $4, $5 }' \
  frontier.csv > frontier.dat
gnuplot -e "networks=$(grep -c . networks.txt)${published:+ + 2}" <<'PLOT'
set terminal pngcairo size 900,540 font "sans,11"
set output "frontier.png"
set logscale x
set grid
set key outside right
set title "UMa LOS 64x16, fits of equal length: one, two, three calls"
set xlabel "time of an estimate in microseconds (one thread, float32)"
set ylabel "NMSE in dB, mean over -15:5:30 dB"
plot for [i=0:networks-1] "frontier.dat" index i using 1:2 with linespoints pt (i + 4) lw 2 title columnheader(1)
PLOT
