#!/usr/bin/env bash
# Runs examples/slurm on a Slurm of one machine, made here from Debian's packages (slurm-wlm, munge; as root), and the
# same sweep under mpirun: the merged results have to equal one run bit for bit, also when a task is killed and
# requeued.  scripts/try_slurm.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "${1:-build/dev/cli/chest}")
examples=$(realpath examples/slurm)
model=$(realpath models/scm_16x4.h5)
command -v slurmctld mpirun >/dev/null || apt-get install -y -qq slurm-wlm munge openmpi-bin >/dev/null
work=$(mktemp -d)
chmod 755 "$work"
cleanup() {
  pkill -f "slurmctld -f $work" || true
  pkill -f "slurmd -f $work" || true
}
trap cleanup EXIT

# One node, this machine.
pgrep munged >/dev/null || { mkdir -p /run/munge && chown munge /run/munge && runuser -u munge -- /usr/sbin/munged; }
host=$(hostname -s)
mkdir -p "$work/state" "$work/spool"
cat > "$work/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/ctld.pid
SlurmdPidFile=$work/d.pid
SlurmctldLogFile=$work/ctld.log
SlurmdLogFile=$work/d.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SchedulerParameters=sched_interval=1,bf_interval=1
NodeName=$host CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES State=UP
CONF
export SLURM_CONF=$work/slurm.conf
slurmctld -f "$work/slurm.conf"
slurmd -f "$work/slurm.conf"
for _ in $(seq 30); do sinfo -h -o %T 2>/dev/null | grep -q idle && break; sleep 1; done
sinfo

cd "$work"
ln -s "$program" chest
export PATH=$work:$PATH
chest generate scm --n-rx 16 --n-tx 4 --n-samples 6000 --seed 3 --out channels.h5 --quiet
chest sweep --channels channels.h5 --model "$model" --estimators ls,dmse --snr=-10:5:20 --csv one.csv --quiet >/dev/null

finish() {  # waits for the jobs, and compares all columns but the times
  while [ -n "$(squeue -h)" ]; do sleep 1; done
  python3 - "$1" <<'PY'
import csv, sys
rows = [[{k: v for k, v in row.items() if k != "seconds_per_channel"} for row in csv.DictReader(open(f))]
        for f in ("one.csv", sys.argv[1])]
sys.exit(0 if rows[0] == rows[1] and rows[0] else "try_slurm: %s differs from one run" % sys.argv[1])
PY
}

tasks=$(sbatch --parsable --array=1-4 "$examples/sweep.sbatch" channels.h5 "$model")
sbatch --dependency=afterok:"$tasks" "$examples/merge.sbatch" >/dev/null
finish results.csv
echo "array of 4 and merge: equal to one run"

rm -f part-*.h5 results.*
tasks=$(sbatch --parsable --array=0-6:3 "$examples/sweep.sbatch" channels.h5 "$model")
sbatch --dependency=afterok:"$tasks" "$examples/merge.sbatch" >/dev/null
for _ in $(seq 60); do [ -n "$(squeue -h -t R -o %i | grep "${tasks}_0")" ] && break; sleep 0.2; done
sleep 1
scontrol requeue "${tasks}_0"
finish results.csv
echo "array 0-6:3, a task killed and requeued: equal to one run"

rm -f part-*.h5 results.*
mpirun --allow-run-as-root --oversubscribe -n 4 chest sweep --channels channels.h5 --model "$model" --estimators ls,dmse \
  --snr=-10:5:20 --threads 1 --shard auto --out "part-{shard}.h5" --quiet >/dev/null
chest merge part-*-of-4.h5 --out results.h5 --csv results.csv --quiet >/dev/null
finish results.csv
echo "mpirun -n 4: equal to one run"
rm -rf "$work"
