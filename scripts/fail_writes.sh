#!/usr/bin/env bash
# Every command that writes, with files limited to k bytes for k = 0, STEP, 2 STEP ... up to the size
# of what it writes: each run ends with status 1 and a sentence, what was there stays, and no file
# under construction is left. scripts/fail_writes.sh CHEST [STEP] (default 512; 1: hours)
set -uo pipefail
chest=$(realpath "$1")
step=${2:-512}
models=$(realpath "$(dirname "$0")/../models")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
n_wrong=0

wrong() {
  echo "WRONG at $k bytes: $*" >&2
  n_wrong=$((n_wrong + 1))
}

# fails OUT WORD ...: the command writes OUT.
fails() {
  local out=$1
  shift
  "$chest" "$@" --quiet > log 2>&1 || { k=all; wrong "$(cat log): chest $*"; return; }
  local size kept status
  size=$(stat -c %s "$out")
  kept=$(sha256sum < "$out")
  echo "$size bytes: chest $*"
  for ((k = 0; k < size; k += step)); do
    prlimit --fsize=$k "$chest" "$@" --quiet --force 2>&1 > /dev/null | cat > log
    status=${PIPESTATUS[0]}
    [[ $status == 1 ]] || wrong "status $status: chest $*: $(cat log)"
    grep -q "$out: .*\(writing\|drawn\)" log || wrong "no sentence: chest $*: $(cat log)"
    [[ $(sha256sum < "$out") == "$kept" ]] || wrong "$out changed: chest $*"
    compgen -G '*.part-*' > /dev/null && wrong "left behind: $(echo ./*.part-*)"
  done
}

"$chest" generate scm --n-rx 16 --n-tx 4 --n-samples 60 --out H.h5 --quiet > log
fails g.h5 generate scm --n-rx 4 --n-tx 4 --n-samples 200 --out g.h5
fails gc.h5 generate gmm --n-rx 4 --n-tx 4 --n-samples 200 --compress --out gc.h5
fails lmmse.h5 fit lmmse --channels H.h5 --out lmmse.h5
fails gmm.h5 fit gmm --channels H.h5 --components 2 --out gmm.h5
fails drawn.h5 sample lmmse.h5 --n-samples 60 --calls 4 --out drawn.h5
fails c.csv compare H.h5 drawn.h5 --permutations 9 --csv c.csv
fails d.csv analyze dimension lmmse.h5 --channels H.h5 --csv d.csv
fails d.svg analyze dimension lmmse.h5 --channels H.h5 --plot d.svg
fails P.h5 pilots --channels H.h5 --n-pilots 2 --out P.h5
fails e.h5 estimate --observations H.h5 --snr 0 --estimator ls --out e.h5
fails s.h5 sweep --channels H.h5 --snr 0,10 --out s.h5
fails s.csv sweep --channels H.h5 --snr 0,10 --csv s.csv
fails l.h5 link --channels H.h5 --snr 0,10 --out l.h5
fails m.h5 merge s.h5 --out m.h5
fails f.gp plot s.h5 --out f.gp
fails f.svg plot s.h5 --out f.svg
fails c.h5 calibrate "$models/scm_16x4.h5" --channels H.h5 --pilots none --out c.h5
echo "$n_wrong wrong"
[[ $n_wrong == 0 ]]
