#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A job whose time is too short stops before it ends, with a checkpoint, and goes on by itself; where requeueing is refused,
# in a new job that it submits. A budget of requeues ends that.
. "$SOURCE/tests/slurm/use.sh" || exit 1
make_whole
# SLURM's shortest limit is a minute: with 57 s of it kept for SLURM, the run has two or three. It gets more the second time.
FSFM_TIME_RESERVE=57 submit limit --time=1
first=$job
# --no-requeue makes SLURM refuse. The new job has the options of the old one.
submit again --no-requeue --export=ALL,FSFM_REQUEUES=2
until_true 60 has_steps again 10
scancel --signal=USR1 --batch "$job" # as SLURM does near the end
until_true 30 grep -qs 'ends with 75: requeued' limit.out
scontrol update JobId="$first" TimeLimit=5
until_true 30 is_over "$job"
next=$(sed -n 's/^Submitted batch job //p' again.out)
[ -n "$next" ] && jobs+=("$next") || fail "no new job: $(tail -n 5 again.out)"
grep -q "^job $job cannot be requeued; in its place: sbatch " again.out || fail "the line is not printed"
same_as_whole "$next" again 1
same_as_whole "$first" limit 1
grep -q '"event": "stop".*the time limit' limit/metrics.jsonl || fail "not stopped by the time limit"
