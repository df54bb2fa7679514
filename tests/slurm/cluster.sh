#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cluster.sh - a real, private SLURM cluster of virtual nodes on this machine, for tests.
#
#   cluster.sh up [options]   write the configuration, start munged, slurmctld and one
#                             slurmd a virtual node, wait until they are idle; 77 where
#                             packages are missing or the user is not root
#   cluster.sh env            print the exports that a test needs:
#                                 eval "$(cluster.sh env)"
#   cluster.sh status         daemons, nodes, jobs; exit 0 up, 3 down, 4 degraded
#   cluster.sh down           cancel jobs, end the daemons, remove files
#
# Options of 'up' (each has an environment variable of the same meaning):
#   --nodes N     virtual nodes node1..nodeN       FSFM_CLUSTER_NODES     2
#   --cpus C      CPUs that each node claims to    FSFM_CLUSTER_CPUS      4
#                 have; may be more than there are
#   --gpus G      fake GPUs a node (0: none)       FSFM_CLUSTER_GPUS      2
#   --port P      slurmctld's port; slurmd use     FSFM_CLUSTER_PORT      the first of a
#                 P+1 .. P+N                                              free range
# For every subcommand:
#   --dir D       all state lies under D           FSFM_CLUSTER_DIR
#                                                  ${TMPDIR:-/tmp}/fsfm-cluster
# Environment only:
#   FSFM_CLUSTER_KILLWAIT   seconds from SIGTERM to SIGKILL             10
#   FSFM_CLUSTER_GRACE      seconds that a preempted job is left        30
#   FSFM_CLUSTER_TIMEOUT    seconds 'up' waits for the nodes            60
#   FSFM_CLUSTER_KEEP=1     'down' leaves the directory (logs)
#
# It needs root, bash and the Debian packages munge slurmctld slurmd slurm-client. It uses
# neither systemd nor cgroups, nothing under /etc/slurm, /etc/munge or /run, and listens on
# loopback only. 'up' twice is the same as once. 'down' ends only processes named by this
# directory's own pid files.
#
# What it gives: partitions 'main' (default) and 'preempt' (lower tier: its jobs are requeued
# when 'main' needs the CPUs), --gres=gpu:N / --gpus-per-node with CUDA_VISIBLE_DEVICES set
# though no GPU exists, srun --mpi=pmix, job arrays, --signal, --requeue, and a job log in
# D/jobcomp.txt. There is no accounting database.

set -euo pipefail

readonly SELF=${0##*/}
readonly MARKER=.fsfm-cluster          # proves that a directory is ours
readonly SLURM_ADDR=127.0.0.1
readonly PACKAGES=(munge slurmctld slurmd slurm-client)

DIR=${FSFM_CLUSTER_DIR:-${TMPDIR:-/tmp}/fsfm-cluster}
NODES=${FSFM_CLUSTER_NODES:-2}
CPUS=${FSFM_CLUSTER_CPUS:-4}
GPUS=${FSFM_CLUSTER_GPUS:-2}
PORT=${FSFM_CLUSTER_PORT:-}
KILLWAIT=${FSFM_CLUSTER_KILLWAIT:-10}
GRACE=${FSFM_CLUSTER_GRACE:-30}
TIMEOUT=${FSFM_CLUSTER_TIMEOUT:-60}
KEEP=${FSFM_CLUSTER_KEEP:-0}

say() { printf '%s: %s\n' "$SELF" "$*" >&2; }
die() { say "$*"; exit 1; }

# The comment at the head of this file.
usage() { awk 'NR > 2 && !/^#/ { exit } NR > 2 { sub(/^# ?/, ""); print }' "$0"; }

# ----------------------------------------------------------------- processes

# alive NAME: true if D/NAME.pid names a live process of that daemon. The command
# name is checked so that a recycled pid is never taken for ours; a zombie that
# its parent has not reaped yet counts as ended.
alive() {
    local file=$DIR/$1.pid pid state
    [[ -s $file ]] || return 1
    read -r pid <"$file" || return 1
    [[ $pid =~ ^[0-9]+$ && -r /proc/$pid/stat ]] || return 1
    [[ $(<"/proc/$pid/comm") == "${1%%.*}"* ]] 2>/dev/null || return 1
    state=$(sed 's/.*) //; s/ .*//' "/proc/$pid/stat" 2>/dev/null) || return 1
    [[ $state != Z && $state != X ]]
}

# end NAME SECONDS: SIGTERM, wait, then SIGKILL the one process of that pid file.
end() {
    local file=$DIR/$1.pid pid i
    if alive "$1"; then
        read -r pid <"$file"
        kill -TERM "$pid" 2>/dev/null || true
        for ((i = 0; i < $2 * 10; i++)); do
            alive "$1" || break
            sleep 0.1
        done
        if alive "$1"; then
            say "$1 (pid $pid) did not stop, killing it"
            kill -KILL "$pid" 2>/dev/null || true
        fi
    fi
    rm -f "$file"
}

# The daemons this directory may have, in the order they are to be stopped.
daemons() {
    local f
    for f in "$DIR"/slurmd.*.pid; do
        [[ -e $f ]] && basename "$f" .pid
    done
    [[ -e $DIR/slurmctld.pid ]] && echo slurmctld
    [[ -e $DIR/munged.pid ]] && echo munged
    return 0
}

# ---------------------------------------------------------------------- needs

# Ends with 77, "skipped", where there cannot be a cluster.
need() {
    local tool
    [[ $(id -u) == 0 ]] || { say "needs root"; exit 77; }
    for tool in munged slurmctld slurmd sbatch srun scontrol; do
        command -v "$tool" >/dev/null ||
            { say "$tool is not here: expected the packages ${PACKAGES[*]}"; exit 77; }
    done
}

# The first of a range of ports that nobody listens on.
find_port() {
    local port n busy
    busy=$(cut -d ' ' -f 2- /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -oE ':[0-9A-F]{4} ' | tr -d ': ')
    for ((port = 16900; port < 30000; port += NODES + 1)); do
        for ((n = 0; n <= NODES; n++)); do
            ! grep -qix "$(printf %04X $((port + n)))" <<<"$busy" || continue 2
        done
        echo "$port"
        return
    done
    die "no free ports"
}

# ------------------------------------------------------------- configuration

write_config() {
    local n memory hosts gres='' comm='CommunicationParameters=NoCtldInAddrAny'
    # Listen on loopback only. All but slurmctld can do so only where the host
    # name resolves (srun binds to what it resolves to); in a virtual node it
    # does, by the private /etc/hosts below.
    getent ahostsv4 "$(hostname -s)" >/dev/null && comm+=,NoInAddrAny
    hosts=$(for ((n = 1; n <= NODES; n++)); do echo "$SLURM_ADDR node$n"; done)
    { cat /etc/hosts; echo "$hosts"; } >"$DIR/hosts"

    memory=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
    ((GPUS > 0)) && gres=" Gres=gpu:$GPUS"

    cat >"$DIR/slurm.conf" <<EOC
ClusterName=fsfm
SlurmctldHost=$(hostname -s)($SLURM_ADDR)
SlurmctldPort=$PORT
SlurmUser=root
SlurmdUser=root
$comm

# munge over a private socket. cred_expire also decides how long a requeued job
# is held back (cred_expire + 1 s); 120 by default, 5 is the least it takes.
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$DIR/munge.sock,cred_expire=5

StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool.%n
# Per node, or the PMIx servers of two virtual nodes collide in one directory.
TmpFS=$DIR/tmp.%n
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmdPidFile=$DIR/slurmd.%n.pid
SlurmctldLogFile=$DIR/slurmctld.log
SlurmdLogFile=$DIR/slurmd.%n.log

# No cgroups, no affinity, no systemd.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$DIR/jobcomp.txt
MpiDefault=pmix

SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
# Nodes may claim more CPUs than the machine has.
SlurmdParameters=config_overrides

# React at once instead of after the default 3 s / 30 s / 60 s.
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1

JobRequeue=1
KillWait=$KILLWAIT
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=30
MinJobAge=3600
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# A preempted job that asked for --signal gets that signal when its grace time
# starts; any other gets SIGTERM, in its steps only, and the batch shell's own
# SIGTERM comes when the grace time is over.
SlurmctldParameters=preempt_send_user_signal

EOC
    for ((n = 1; n <= NODES; n++)); do
        cat >>"$DIR/slurm.conf" <<EOC
NodeName=node$n NodeHostname=$(node_hostname "$n") NodeAddr=$SLURM_ADDR Port=$((PORT + n)) \
Boards=1 SocketsPerBoard=1 CoresPerSocket=$CPUS ThreadsPerCore=1 RealMemory=$memory$gres State=UNKNOWN
EOC
    done
    cat >>"$DIR/slurm.conf" <<EOC
PartitionName=main    Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=preempt Nodes=ALL Default=NO  MaxTime=INFINITE State=UP PriorityTier=1  PreemptMode=REQUEUE GraceTime=$GRACE
EOC

    # slurmd loads a cgroup plugin even when nothing uses it; naming v1 keeps it
    # from probing the machine's cgroup mounts, which may be of any kind or absent.
    echo 'CgroupPlugin=cgroup/v1' >"$DIR/cgroup.conf"

    # A "GPU" must be a character device, or CUDA_VISIBLE_DEVICES stays unset; a
    # link to the null device will do, and its trailing digits give the index.
    : >"$DIR/gres.conf"
    if ((GPUS > 0)); then
        mkdir -p "$DIR/dev"
        for ((n = 0; n < GPUS; n++)); do
            ln -sfn /dev/null "$DIR/dev/nvidia$n"
        done
        cat >"$DIR/gres.conf" <<EOC
AutoDetect=off
Name=gpu File=$DIR/dev/nvidia[0-$((GPUS - 1))]
EOC
    fi

    # What a shell (and through it every job) needs to talk to this cluster and to
    # run as root on few cores, between nodes over loopback only.
    cat >"$DIR/env" <<EOC
export SLURM_CONF='$DIR/slurm.conf'
export OMPI_ALLOW_RUN_AS_ROOT=1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_btl_tcp_if_include=lo
export OMPI_MCA_oob_tcp_if_include=lo
export FSFM_INTERFACE=lo
export OMPI_MCA_mpi_yield_when_idle=1
export OMPI_MCA_hwloc_base_binding_policy=none
EOC
    # Virtual nodes that share one host name share Open MPI's segment names in
    # /dev/shm, and ranks crash: then shared memory has to stay off.
    if ((NODES > 1)) && [[ $NAMESPACES == no ]]; then
        echo 'export OMPI_MCA_btl=tcp,self' >>"$DIR/env"
    fi
    chmod 644 "$DIR"/{slurm,cgroup,gres}.conf "$DIR/env"
}

# Each virtual node gets a host name, an /etc/hosts and a /dev/shm of its own if
# the kernel allows it, so that MPI sees different hosts.
detect_namespaces() {
    if unshare --uts --ipc --mount true 2>/dev/null; then
        NAMESPACES=yes
    else
        NAMESPACES=no
    fi
}

node_hostname() {
    if [[ $NAMESPACES == yes ]]; then echo "node$1"; else hostname -s; fi
}

# ----------------------------------------------------------------- subcommands

cmd_up() {
    need
    local v
    for v in NODES CPUS GPUS KILLWAIT GRACE TIMEOUT; do
        [[ ${!v} =~ ^[0-9]+$ ]] || die "$v: not a number: ${!v}"
    done
    ((NODES >= 1 && CPUS >= 1)) || die "at least one node and one CPU"
    # Paths of UNIX sockets below it have to fit in 108 bytes.
    ((${#DIR} <= 60)) || die "directory name too long for UNIX sockets: $DIR"

    if [[ -e $DIR/$MARKER ]]; then
        # shellcheck disable=SC2053 # a pattern: any port will do if none is asked for
        if [[ $(<"$DIR/$MARKER") == "$NODES $CPUS $GPUS "${PORT:-*} ]] && is_up; then
            say "already up in $DIR"
            return 0
        fi
        say "found a different or broken cluster in $DIR: restarting it"
        cmd_down
    fi
    if [[ -e $DIR/$MARKER.kept ]]; then rm -rf --one-file-system -- "$DIR"; fi
    [[ ! -e $DIR ]] || [[ -d $DIR && -z $(ls -A "$DIR") ]] ||
        die "$DIR exists and is not ours"

    detect_namespaces
    [[ -n $PORT ]] || PORT=$(find_port)
    [[ $PORT =~ ^[0-9]+$ ]] || die "PORT: not a number: $PORT"

    umask 022
    mkdir -p "$DIR" "$DIR/state"
    chmod 755 "$DIR"
    echo "$NODES $CPUS $GPUS $PORT" >"$DIR/$MARKER"
    local n
    for ((n = 1; n <= NODES; n++)); do
        mkdir -p "$DIR/spool.node$n" "$DIR/tmp.node$n"
        chmod 1777 "$DIR/tmp.node$n"
    done
    write_config
    export SLURM_CONF=$DIR/slurm.conf

    (umask 277; head -c 1024 /dev/urandom >"$DIR/munge.key")
    munged --key-file="$DIR/munge.key" --socket="$DIR/munge.sock" \
        --pid-file="$DIR/munged.pid" --log-file="$DIR/munged.log" \
        --seed-file="$DIR/munged.seed" --num-threads=4 ||
        fail "munged does not start"
    slurmctld || fail "slurmctld does not start"
    for ((n = 1; n <= NODES; n++)); do
        start_slurmd "$n" || fail "slurmd of node$n does not start"
    done

    local i
    for ((i = 0; i < TIMEOUT * 10; i++)); do
        if is_up; then
            say "up: $NODES node(s), $CPUS CPU(s) and $GPUS fake GPU(s) each, in $DIR"
            say "use it with: eval \"\$($0 env --dir $DIR)\""
            return 0
        fi
        sleep 0.1
    done
    sinfo -N -l >&2 || true
    sinfo -R >&2 || true
    fail "nodes are not idle after $TIMEOUT s"
}

start_slurmd() {
    if [[ $NAMESPACES == yes ]]; then
        # shellcheck disable=SC2016
        unshare --uts --ipc --mount bash -c \
            'hostname "$1" && mount -t tmpfs tmpfs /dev/shm &&
             mount --bind "$2" /etc/hosts && exec slurmd -N "$1"' \
            bash "node$1" "$DIR/hosts"
    else
        slurmd -N "node$1"
    fi
}

# Log tails, then tear down, then exit 1.
fail() {
    local f
    for f in "$DIR"/*.log; do
        [[ -e $f ]] && { echo "--- $f"; tail -n 15 "$f"; } >&2
    done
    KEEP=1 cmd_down
    die "$*"
}

# True if every daemon lives and every node is in service.
is_up() {
    local n states
    alive munged && alive slurmctld || return 1
    read -r n _ <"$DIR/$MARKER" || return 1
    for ((; n >= 1; n--)); do alive "slurmd.node$n" || return 1; done
    states=$(SLURM_CONF=$DIR/slurm.conf timeout 10 sinfo -h -N -p main -o '%T' 2>/dev/null) ||
        return 1
    [[ -n $states ]] && ! grep -qvE '^(idle|mixed|allocated|completing)$' <<<"$states"
}

cmd_env() {
    [[ -r $DIR/env ]] || die "not up in $DIR"
    cat "$DIR/env"
}

cmd_status() {
    if [[ ! -e $DIR/$MARKER ]]; then
        echo "down ($DIR)"
        return 3
    fi
    local d
    for d in $(daemons); do
        if alive "$d"; then
            echo "$d: pid $(<"$DIR/$d.pid")"
        else
            echo "$d: dead"
        fi
    done
    export SLURM_CONF=$DIR/slurm.conf
    timeout 10 sinfo -N -o '%8N %9P %10T %4c %8G %E' || true
    timeout 10 squeue || true
    is_up || { echo degraded; return 4; }
}

cmd_down() {
    if [[ ! -e $DIR/$MARKER ]]; then
        say "not up in $DIR"
        return 0
    fi
    export SLURM_CONF=$DIR/slurm.conf
    # Jobs outlive their slurmd, so cancel them and wait until they are gone.
    if alive slurmctld && alive munged; then
        local i
        timeout 10 squeue -h -o '%A' 2>/dev/null | sort -u |
            xargs -r timeout 20 scancel --quiet 2>/dev/null || true
        for ((i = 0; i < (KILLWAIT + 15) * 5; i++)); do
            [[ -n $(timeout 10 squeue -h 2>/dev/null) ]] || break
            sleep 0.2
        done
    fi
    local d
    for d in $(daemons); do end "$d" 20; done
    if [[ $KEEP == 1 ]]; then
        mv "$DIR/$MARKER" "$DIR/$MARKER.kept"
        say "down; files kept in $DIR"
    else
        rm -rf --one-file-system -- "$DIR"
        say "down"
    fi
}

# ------------------------------------------------------------------------ main

NAMESPACES=no
[[ $# -ge 1 ]] || { usage >&2; exit 2; }
COMMAND=$1
shift
while (($#)); do
    case $1 in
        --nodes | --cpus | --gpus | --port | --dir)
            (($# >= 2)) || die "$1 needs a value"
            declare "$(tr '[:lower:]' '[:upper:]' <<<"${1#--}")=$2"
            shift 2
            ;;
        *) usage >&2; exit 2 ;;
    esac
done
[[ $DIR == /* ]] || DIR=$PWD/$DIR

case $COMMAND in
    up) cmd_up ;;
    down) cmd_down ;;
    status) cmd_status ;;
    env) cmd_env ;;
    -h | --help | help) usage ;;
    *) usage >&2; exit 2 ;;
esac
