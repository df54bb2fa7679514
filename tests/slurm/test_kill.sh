#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of one rank: the job ends, is requeued, and goes on from the last checkpoint. Failures that would come again (1, 2)
# and a spent budget are not requeued.
. "$SOURCE/tests/slurm/use.sh" || exit 1
make_whole
submit rank
until_true 60 has_steps rank 15
mapfile -t ranks < <(ranks_of rank)
[ ${#ranks[@]} = 4 ] || fail "${#ranks[@]} ranks instead of 4"
kill -KILL "${ranks[3]}"
killed=$job

submit usage -- mask.ratoi=0.5
usage=$job
submit failed -- data.path=/nowhere
failed=$job
submit budget --export=ALL,FSFM_REQUEUES=0
until_true 60 has_steps budget 5
scancel --signal=TERM "$job"
until_true 60 is_over "$usage" "$failed" "$job"
[ "$(state_of "$usage") $(state_of "$failed") $(state_of "$job")" = "FAILED FAILED FAILED" ] || fail "states of jobs that failed"
grep -q 'ends with 75, started again 0 times: no more' budget.out || fail "the budget: $(tail -n 3 budget.out)"
grep -q requeue usage.out failed.out budget.out && fail "requeued, although it would fail again"
same_as_whole "$killed" rank 0
grep -qE 'ends with [0-9]+: requeued' rank.out || fail "not requeued by its script"
