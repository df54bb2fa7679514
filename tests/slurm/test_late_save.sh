#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A run that is still saving when its time is over, and ends before SLURM kills it, is requeued. Its ranks see all GPUs that
# the job has on their node.
. "$SOURCE/tests/slurm/use.sh" || exit 1
cd "$work" || exit 1
cat >saver <<'S'
#!/bin/bash
if [ "${SLURM_RESTART_COUNT:-0}" = 0 ]; then
    trap 'sleep 1; exit 75' TERM USR1
    while :; do sleep 0.1; done
fi
echo "rank $SLURM_PROCID sees ${CUDA_VISIBLE_DEVICES:-none}"
S
chmod +x saver
exact=()
# No word before the end: SLURM's shortest limit is a minute, which it looks at every half a minute.
FSFM=$work/saver FSFM_TIME_RESERVE=-600 submit late --time=1 --signal=B:CONT@1 --gpus-per-task=1
until_true 150 grep -qs 'ends with 75' late.out
grep -q 'ends with 75: requeued' late.out && grep -q 'DUE TO TIME LIMIT' late.out || fail "not requeued: $(cat late.out)"
until_true 60 is_over "$job"
[ "$(state_of "$job")" = COMPLETED ] || fail "job $job is $(state_of "$job"): $(tail -n 5 late.out)"
for rank in 0 1 2 3; do grep -qx "rank $rank sees 0,1" late.out || fail "GPUs of rank $rank: $(cat late.out)"; done
