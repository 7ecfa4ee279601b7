#!/usr/bin/env bash
# Runs a command beside a SLURM cluster on this machine, for tests.
#
#   cluster.sh FOLDER COMMAND...       (root, Debian or Ubuntu; exit code 77 elsewhere)
#
# Installs Debian's packages where they are missing, brings up a cluster in FOLDER, which it makes, runs COMMAND with
# FOLDER/bin first in PATH, so that sbatch, squeue and the others talk to this cluster, and takes it down again. CLUSTER
# is FOLDER in the environment of COMMAND. `cluster.sh FOLDER bash` gives a shell to look around.
#
#   partition    nodes, of 8 CPUs                priority
#   cpu          cpu1
#   gpu          gpu1, gpu2, with two GPUs each
#   preemptible  cpu2                            low: its jobs give way to those of urgent
#   urgent       cpu2                            high
#   fragile      cpu3                            (a node to be set down)
#
# Nodes are daemons on the loopback interface. GPUs are links to /dev/null: SLURM counts them and sets
# CUDA_VISIBLE_DEVICES, and nothing computes on them. CPUs and memory are made up, but the limit on a job's memory holds.
set -euo pipefail

PACKAGES=(slurmctld slurmd slurmdbd slurm-client slurm-wlm-mysql-plugin munge mariadb-server-core mariadb-client-core)
COMMANDS=(sacct sacctmgr sbatch scancel scontrol sinfo squeue srun)
NODES=(cpu1 cpu2 cpu3 gpu1 gpu2)
UNSUPPORTED=77

main() {
  if [ "$(id -u)" != 0 ] || [ ! -e /etc/debian_version ]; then
    echo "a SLURM cluster for the tests is brought up by root on Debian or Ubuntu only" >&2
    exit $UNSUPPORTED
  fi
  mkdir "$1" # a folder of its own: state that another cluster left would be taken for this one's
  FOLDER=$(realpath "$1")
  shift
  install_packages
  trap 'exit 1' TERM INT HUP
  trap 'explain; down' EXIT
  up </dev/null >"$FOLDER/up.log" 2>&1
  trap down EXIT
  export -n SLURM_CONF
  CLUSTER=$FOLDER PATH=$FOLDER/bin:$PATH "$@"
}

install_packages() {
  local missing=() package policy=/usr/sbin/policy-rc.d
  for package in "${PACKAGES[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  # Debian starts the services that it installs; here they are to run from FOLDER alone.
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap "rm -f $policy" EXIT
  fi
  {
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
  } </dev/null >"$FOLDER/apt.log" 2>&1 || { cat "$FOLDER/apt.log" >&2; exit 1; }
  [ -z "$(trap -p EXIT)" ] || { rm -f $policy; trap - EXIT; }
}

up() {
  export SLURM_CONF=$FOLDER/etc/slurm.conf
  mkdir -p "$FOLDER"/{bin,dev,etc,log,pid,database,state,spool}
  write_commands
  write_configuration
  start_munge
  start_accounting
  slurmctld
  wait_until 30 scontrol ping
  local node
  for node in "${NODES[@]}"; do
    mkdir -p "$FOLDER/spool/$node"
    slurmd -N "$node"
  done
  wait_until 60 all_idle
  timeout 60 srun --partition cpu true
}

all_idle() { ! sinfo --noheader --Node --format %T | grep -qvx idle; }

# Snakemake's SLURM executor removes SLURM_CONF from the environment of a job, so it goes into the commands.
write_commands() {
  local command
  printf '#!/bin/sh\nSLURM_CONF=%s exec /usr/bin/"${0##*/}" "$@"\n' "$SLURM_CONF" >"$FOLDER/bin/slurm"
  chmod +x "$FOLDER/bin/slurm"
  for command in "${COMMANDS[@]}"; do ln -sfn slurm "$FOLDER/bin/$command"; done
}

write_configuration() {
  local host ports node
  host=$(hostname -s)
  read -ra ports < <(free_ports $((3 + ${#NODES[@]})))
  DATABASE_PORT=${ports[2]}
  cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A job that is requeued waits for as long as its credential is valid: 120 s by default.
AuthInfo=socket=$FOLDER/munge.socket,cred_expire=20
StateSaveLocation=$FOLDER/state
SlurmdSpoolDir=$FOLDER/spool/%n
SlurmctldPidFile=$FOLDER/pid/slurmctld.pid
SlurmdPidFile=$FOLDER/pid/slurmd-%n.pid
SlurmctldLogFile=$FOLDER/log/slurmctld.log
SlurmdLogFile=$FOLDER/log/slurmd-%n.log
# Without cgroups, which a container may not have.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
ReturnToService=2
KillWait=5
SchedulerParameters=batch_sched_delay=1,sched_interval=2,sched_min_interval=100000,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=${ports[1]}
AccountingStoragePass=$FOLDER/munge.socket
AccountingStoreFlags=job_comment
AccountingStorageTRES=gres/gpu
NodeName=DEFAULT CPUs=8 CoresPerSocket=8 RealMemory=200000
PartitionName=DEFAULT MaxTime=24:00:00 PreemptMode=OFF
PartitionName=cpu Nodes=cpu1 Default=YES
PartitionName=gpu Nodes=gpu[1-2]
PartitionName=preemptible Nodes=cpu2 PriorityTier=1 PreemptMode=REQUEUE GraceTime=10
PartitionName=urgent Nodes=cpu2 PriorityTier=10
PartitionName=fragile Nodes=cpu3
CONF
  for node in "${!NODES[@]}"; do
    echo "NodeName=${NODES[node]} NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[node + 3]} $([[ ${NODES[node]} != gpu* ]] || echo Gres=gpu:h200:2)"
  done >>"$SLURM_CONF"
  for node in 0 1; do ln -sfn /dev/null "$FOLDER/dev/nvidia$node"; done
  cat >"$FOLDER/etc/gres.conf" <<CONF
AutoDetect=off
NodeName=gpu[1-2] Name=gpu Type=h200 File=$FOLDER/dev/nvidia[0-1]
CONF
  cat >"$FOLDER/etc/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$FOLDER/munge.socket
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=${ports[1]}
SlurmUser=root
PidFile=$FOLDER/pid/slurmdbd.pid
LogFile=$FOLDER/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$DATABASE_PORT
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
CONF
  chmod 600 "$FOLDER/etc/slurmdbd.conf"
}

# As many consecutive ports as are asked for, below those that the kernel hands out to connections.
free_ports() {
  python3 - "$1" <<'PYTHON'
import socket
import sys

count = int(sys.argv[1])
for base in range(20000, 32000, count):
    try:
        for port in range(base, base + count):
            with socket.socket() as candidate:
                candidate.bind(("127.0.0.1", port))
    except OSError:
        continue
    print(*range(base, base + count))
    break
PYTHON
}

start_munge() {
  head -c 128 /dev/urandom >"$FOLDER/etc/munge.key"
  chmod 600 "$FOLDER/etc/munge.key"
  # Forced, because the folder may lie in one that all may write to.
  munged --force --socket "$FOLDER/munge.socket" --key-file "$FOLDER/etc/munge.key" --seed-file "$FOLDER/etc/munge.seed" \
    --pid-file "$FOLDER/pid/munged.pid" --log-file "$FOLDER/log/munged.log"
  wait_until 10 munge --no-input --socket "$FOLDER/munge.socket"
}

start_accounting() {
  local options=(--no-defaults --user=root --datadir="$FOLDER/database")
  mariadb-install-db "${options[@]}" --auth-root-authentication-method=socket --skip-test-db
  mariadbd "${options[@]}" --socket="$FOLDER/database.socket" --bind-address=127.0.0.1 --port="$DATABASE_PORT" \
    --pid-file="$FOLDER/pid/mariadbd.pid" --innodb-lock-wait-timeout=900 --log-error="$FOLDER/log/mariadb.log" &
  wait_until 60 sql "select 1"
  sql "create database slurm; grant all on slurm.* to slurm@127.0.0.1 identified by 'slurm'"
  slurmdbd
  wait_until 60 sacctmgr --noheader show cluster
  sacctmgr --immediate add cluster test
  sacctmgr --immediate add account test cluster=test
  sacctmgr --immediate add user root account=test cluster=test
}

sql() { mariadb --no-defaults --socket="$FOLDER/database.socket" --user=root --execute "$1"; }

wait_until() { # seconds command...
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "waited in vain for: $*" >&2; return 1; }
    sleep 0.2
  done
}

explain() { tail -n 20 "$FOLDER/up.log" "$FOLDER"/log/*.log >&2; }

down() {
  set +e
  export SLURM_CONF
  trap '' TERM INT HUP
  {
    timeout 10 scancel --user root
    wait_until 15 no_jobs
    for daemon in "${NODES[@]/#/slurmd-}" slurmctld slurmdbd mariadbd munged; do stop $daemon; done
    # What outlived its daemons: anything that was started with this folder in its environment, but for ourselves.
    for process in $(grep -lsFZ "$FOLDER/" /proc/[0-9]*/environ | tr '\0' '\n' | cut -d/ -f3); do
      [ "$process" = $$ ] || [ "$process" = $PPID ] || kill -9 "$process"
    done
  } </dev/null >"$FOLDER/down.log" 2>&1
}

no_jobs() { [ -z "$(timeout 10 squeue --noheader)" ]; }

stop() {
  local process
  process=$(cat "$FOLDER/pid/$1.pid") || return
  kill "$process"
  wait_until 20 gone "$process" || kill -9 "$process"
}

gone() { ! kill -0 "$1" 2>/dev/null; }

main "$@"
