#!/usr/bin/env bash
# Slurm: `scontrol requeue` of a job that was cancelled, from its own batch script.
# Guess: scancel is final. A script that stays after its TERM, to put the job back into the queue as it must after a
# preemption, is refused: the job is cancelled.
# Seen (Slurm 22.05.8 of Debian 12): while such a script is in its trap the job is COMPLETING, the requeue is accepted, and
# the job runs again. So a script asks for the job's state before it puts it back.
# Needs Debian 12 with its security updates, root, and the libraries that Slurm links to.
set -euo pipefail
work=$(mktemp -d)
finish() {
  for name in slurmd slurmctld munge/munged; do
    if [[ -s $work/$name.pid ]]; then kill "$(cat "$work/$name.pid")" || true; fi
  done
  sleep 1
  rm -rf "$work"
}
trap finish EXIT
cd "$work"
slurm=22.05.8-4+deb12u3
apt-get download slurmctld=$slurm slurmd=$slurm slurm-client=$slurm slurm-wlm-basic-plugins=$slurm munge=0.5.15-2+deb12u1 libmunge2=0.5.15-2+deb12u1 >/dev/null 2>&1
for package in *.deb; do dpkg-deb -x "$package" debian; done
mkdir munge state spool
libraries=debian/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH="$work/$libraries:$work/$libraries/slurm-wlm" PATH="$work/debian/usr/bin:$work/debian/usr/sbin:$PATH"
(umask 077; head -c 1024 /dev/urandom > munge/key)
munged --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munge/munged.pid" \
  --log-file="$work/munge/log" --seed-file="$work/munge/seed"
port=$((20000 + $$ % 10000))
cat > slurm.conf <<CONF
ClusterName=one
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket,cred_expire=5
CredType=cred/munge
PluginDir=$work/$libraries/slurm-wlm
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=20
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName=n1 NodeHostName=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=1 RealMemory=1000
PartitionName=all Nodes=n1 Default=YES State=UP
CONF
echo CgroupPlugin=cgroup/v1 > cgroup.conf
export SLURM_CONF="$work/slurm.conf"
slurmctld -f "$SLURM_CONF"
slurmd -N n1 -f "$SLURM_CONF" -d "$work/debian/usr/sbin/slurmstepd-wlm" || { cat slurmd.log >&2; exit 1; }
for _ in $(seq 40); do [[ $(sinfo -h -o %t 2>/dev/null) == idle ]] && break; sleep 0.5; done
cat > job.sh <<JOB
#!/bin/bash
echo begun >> $work/begun
again() {
  scontrol show job \$SLURM_JOB_ID --oneliner | grep -o 'JobState=[A-Z,]*' > $work/in-the-trap
  scontrol requeue \$SLURM_JOB_ID && echo accepted > $work/answer
  exit 143
}
trap again TERM
sleep 60 &
wait
JOB
job=$(sbatch --parsable --requeue --output=/dev/null job.sh)
until [[ -s begun ]]; do sleep 0.5; done
scancel "$job"
for _ in $(seq 80); do [[ $(wc -l < begun) -ge 2 ]] && break; sleep 0.5; done
echo "state in the trap: $(cat in-the-trap 2>/dev/null), requeue: $(cat answer 2>/dev/null), begun $(wc -l < begun) times"
again=$(wc -l < begun)
# Twice: what the first one ends goes back into the queue once more.
for _ in 1 2; do scancel --signal=KILL --full "$job" && scancel "$job"; sleep 1; done 2>/dev/null || true
for _ in $(seq 40); do [[ -z $(squeue -h) ]] && break; sleep 0.5; done
[[ $again -ge 2 ]] || { echo 'changed: expected the cancelled job to begin again' >&2; exit 1; }
