#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SIGSTOP of a rank on the other node: the watchdog ends the job in time and names the rank, the job is requeued and goes
# on. Without a checkpoint it is a failure, and not requeued.
. "$SOURCE/tests/slurm/use.sh" || exit 1
make_whole
named() { # RUN
    grep -qE '^fsfm: rank 3 \(.*\) does not answer: it is stopped.*step [0-9]+, ' "$work/$1.out"
}
stop_last_rank() { # RUN
    local ranks
    mapfile -t ranks < <(ranks_of "$1")
    [ ${#ranks[@]} = 4 ] || fail "$1: ${#ranks[@]} ranks instead of 4"
    kill -STOP "${ranks[3]}"
}
submit hung
hung=$job
submit lost -- checkpoint.every_steps=0 train.max_steps=100000 train.epochs=100000 # however fast, it is there to be lost
lost=$job
until_true 60 has_steps hung 15
stop_last_rank hung
until_true 60 has_steps lost 3
stop_last_rank lost
until_true $((hang_s + 15)) named hung
until_true $((hang_s + 15)) named lost
until_true 60 is_over "$lost"
[ "$(state_of "$lost")" = FAILED ] || fail "job $lost is $(state_of "$lost")"
grep -q '"status": "failed", "exit_code": 1,' lost/state.json || fail "state.json: $(cat lost/state.json)"
grep -q requeue lost.out && fail "requeued without a checkpoint: $(tail -n 5 lost.out)"
[ -z "$(ranks_of lost)" ] || fail "left behind: $(ranks_of lost)"
same_as_whole "$hung" hung 0
grep -qE 'ends with [0-9]+: requeued' hung.out || fail "not requeued by its script"
