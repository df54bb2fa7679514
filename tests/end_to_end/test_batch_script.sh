#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the batch scripts do with answers of SLURM that a cluster seldom gives: programs stand in for it.
. "$SOURCE/tests/support/runs.sh" || exit 1
cd "$work" && mkdir bin && cp "$SOURCE"/jobs/slurm/*.sbatch . || exit 1
stub() { # NAME LINE...: a program that notes its words
    printf '%s\n' '#!/bin/bash' "echo \"${1##*/} \$*\" >>calls" "${@:2}" >"bin/$1"
    chmod +x "bin/$1"
}
stub squeue 'cat state 2>/dev/null'
stub scontrol 'exit 0'
stub srun 'exit 75'
stub sbatch 'echo "sbatch: lua: come in"' 'echo "18;cluster"'
unset "${!SLURM_@}" "${!FSFM_RE@}" # of a job that the tests run in
export PATH=$work/bin:$PATH SLURM_JOB_ID=7 SLURM_JOB_PARTITION=main SLURM_JOB_NUM_NODES=2 FSFM_PATIENCE=0
job() { # STATE [NAME=VALUE...]: a job that stops with 75 while SLURM says so of it
    echo "$1" >state
    [ -n "$1" ] || rm state
    rm -f calls
    env "${@:2}" timeout 60 bash "${SCRIPT:-pretrain.sbatch}" a.yaml >out 2>&1
    [ $? = "${CODE:-75}" ] || fail "the code of the script, $*: $(cat out)"
}
requeues() { grep -c '^scontrol requeue 7$' calls; }

job RUNNING
[ "$(requeues)" = 1 ] && grep -qx 'job 7 ends with 75: requeued' out || fail "requeued: $(cat out calls)"

# A signal may come before anything else is done: nothing is started then, and nothing is lost.
early='[ ! -e early ] || { kill -TERM "$(cat early)" && rm early; }'
stub squeue "$early" 'cat state 2>/dev/null'
stub scontrol "$early" '[ "$1" != show ] || echo "   Command=$PWD/$SCRIPT a.yaml"' 'exit 0'
for SCRIPT in pretrain.sbatch finetune.sbatch pack.sbatch; do
    export SCRIPT
    echo 'kill -USR1 $$' >setup
    job RUNNING FSFM_SETUP=./setup
    [ "$(requeues)" = 1 ] && ! grep -q '^srun' calls || fail "$SCRIPT, a signal while it is set up: $(cat out calls)"
    rm calls
    (echo $BASHPID >early && exec bash "$SCRIPT" a.yaml >out 2>&1)
    [ "$(requeues)" = 1 ] && [ ! -e early ] && ! grep -q '^srun' calls || fail "$SCRIPT, a signal while it asks SLURM: $(cat out calls)"
done
unset SCRIPT

# A controller that is away for a while ends no run; nor does one that is away for long, as long as anything can be told it.
stub squeue '[ ! -e away ] || { rm away; exit 1; }' 'cat state 2>/dev/null'
stub scontrol '[ ! -s fails ] || { sed -i 1d fails; exit 1; }'
stub srun 'touch away' 'exit 75'
job RUNNING FSFM_PATIENCE=60
stub srun 'exit 75'
[ ! -e away ] && [ "$(requeues)" = 1 ] && ! grep -q '^sbatch' calls || fail "a controller that is away: $(cat out calls)"
job ''
[ "$(requeues)" = 1 ] && ! grep -q '^sbatch' calls || fail "a squeue that says nothing: $(cat out calls)"
echo >fails
job RUNNING FSFM_PATIENCE=60
[ "$(requeues)" = 2 ] && ! grep -q '^sbatch' calls || fail "a requeue that fails once: $(cat out calls)"
printf '\n\n\n\n' >fails
job RUNNING FSFM_PATIENCE=60
[ "$(requeues)" = 2 ] && grep -q '^sbatch.* --dependency=afterany:7 .* --nodes=2 .*a.yaml$' calls || fail "refused: $(cat out calls)"
rm fails
for state in 'COMPLETING None' 'PENDING BeginTime' CANCELLED; do
    job "$state"
    [ "$(requeues)" = 0 ] && grep -q 'it was cancelled' out || fail "$state: $(cat out calls)"
done
job RUNNING SLURM_RESTART_COUNT=3 FSFM_REQUEUES=3
[ "$(requeues)" = 0 ] && grep -q 'no more' out || fail "requeued more often than asked for: $(cat out calls)"
stub srun 'exit 1'
CODE=1 job RUNNING
[ "$(requeues)" = 0 ] || fail "requeued at 1: $(cat out calls)"
stub srun 'exit 75'

# Its time is over, but it is not killed yet; TERM came with that.
job 'COMPLETING TimeLimit'
[ "$(requeues)" = 1 ] || fail "a job whose time is over: $(cat out calls)"

# Each rank sees all GPUs of its node: by NCCL and MPI they reach one another.
stub srun 'echo "${SLURM_GPUS_PER_TASK-none}" >bound' 'exit 75'
job RUNNING SLURM_GPUS_ON_NODE=4 SLURM_GPUS_PER_TASK=1
grep -q '^srun.* --distribution=block:block ' calls && ! grep -q -- --gpu-bind calls && [ "$(cat bound)" = none ] ||
    fail "GPUs: $(cat calls)"
job RUNNING
! grep -q -- --distribution calls || fail "no GPUs: $(cat calls)"

# The job in place of one that is not requeued has its options, and is the run's job for `fsfm submit` if that one was.
stub scontrol '[ "$1" != show ] || echo "   Command=$PWD/run/pretrain.sbatch a.yaml"' '[ "$1" = show ]'
stub squeue '[ "$5" != %l ] || { echo 1-00:00:00; exit; }' 'cat state'
mkdir run && cp pretrain.sbatch run && echo 7 >run/job || exit 1
job RUNNING SLURM_GPUS_ON_NODE=4 SLURM_MEM_PER_CPU=500
[ "$(cat run/job)" = 18 ] && grep -qx 'Submitted batch job 18' out || fail "the new job is not noted: $(cat out calls)"
for option in --gpus-per-node=4 --mem-per-cpu=500 --time=1-00:00:00; do
    grep -q "^sbatch.* $option .*/run/pretrain.sbatch a.yaml\$" calls || fail "$option: $(cat calls)"
done
job RUNNING SLURM_GPUS_ON_NODE=4 SLURM_GPUS_PER_NODE=a100:4 SLURM_MEM_PER_NODE=900
[ "$(cat run/job)" = 18 ] || fail "the job of another one was overwritten"
grep -q '^sbatch.* --gpus-per-node=a100:4 --mem=900 ' calls || fail "a kind of GPU, memory of a node: $(cat calls)"
exit 0
