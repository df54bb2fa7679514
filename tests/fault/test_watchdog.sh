#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A rank that hangs ends the run within run.hang_timeout_s and some seconds: it is named, with its phase and stack or why
# there is none, state.json and the exit code say whether the run can go on, and no process stays.
. "$SOURCE/tests/support/runs.sh" || exit 1
make_data 16
exact=("${small[@]}" train.global_batch=8 train.reduction=exact train.slices=8 train.epochs=100000 run.threads=1)
timeout=4

# Processes of a run that compute, "RANK PID" a line.
ranks_of() { # RUN
    local process
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/exe" 2>/dev/null)" = "$(readlink -f "$FSFM")" ] || continue
        [ "$(readlink "$process/cwd" 2>/dev/null)" = "$work/$1" ] || continue
        echo "$(tr '\0' '\n' <"$process/environ" 2>/dev/null | sed -n 's/^OMPI_COMM_WORLD_RANK=//p') ${process#/proc/}"
    done | sort -n
}
# The run ends with the code, in time, and says so.
hangs() { # RUN CODE STATUS LINE
    local code=0 began=$SECONDS
    wait $job || code=$?
    [ $((SECONDS - began)) -le $((timeout + 12)) ] || fail "$1: took $((SECONDS - began)) s to end"
    [ $code = "$2" ] || fail "$1: exit code $code instead of $2: $(tail -n 20 "$work/$1.log")"
    [ "$(grep -c '^fsfm: ' "$work/$1.log")" = 1 ] || fail "$1: not one line: $(grep '^fsfm: ' "$work/$1.log")"
    grep -qE "^fsfm: $4.*Nothing has gone on for $timeout s" "$work/$1.log" || fail "$1: $(grep '^fsfm: ' "$work/$1.log")"
    grep -q "\"status\": \"$3\", \"exit_code\": $2," "$work/$1/state.json" || fail "$1: $(cat "$work/$1/state.json")"
    for _ in $(seq 50); do
        [ -n "$(ranks_of "$1")" ] || return 0
        sleep 0.1
    done
    fail "$1: left behind: $(ranks_of "$1")"
}
stop_rank() { # RUN RANK
    local process
    process=$(ranks_of "$1" | sed -n "s/^$2 //p")
    [ -n "$process" ] || fail "$1 has no rank $2"
    kill -STOP "$process"
}

# Stopped: a rank that the others wait for, and the one that keeps watch. With a checkpoint it can go on, without it cannot.
start 4 one run.hang_timeout_s=$timeout checkpoint.every_steps=2
wait_for one 6
stop_rank one 2
hangs one 75 stopped 'rank 2 \(.*, process [0-9]+\) does not answer: it is stopped.* step [0-9]+,.*in state T \(stopped\)'
start 2 first run.hang_timeout_s=$timeout checkpoint.every_steps=0
wait_for first 3
stop_rank first 0
hangs first 1 failed 'rank 0 \(.*\) does not answer'
# What it left goes on.
run 2 one train.max_steps=60 train.epochs=100000 run.hang_timeout_s=$timeout
grep -q '"event": "resume"' "$work/one/metrics.jsonl" || fail "the run that was ended did not go on"

# A disk that is gone: the rank waits for its reader, in a function that has a name.
preload() { # RUN RANK
    export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0
    export LD_PRELOAD=$FSFM_TEST_HANG_LIBRARY FSFM_TEST_HANG=$work/$1/HANG FSFM_TEST_HANG_RANK=$2
}
for rank in 0 1; do
    name=disk$rank
    (
        preload $name $rank
        start 2 $name run.hang_timeout_s=$timeout checkpoint.every_steps=2
        wait_for $name 6
        touch "$work/$name/HANG"
        hangs $name 75 stopped "rank $rank \(.*\) hangs at step [0-9]+, \"reading\""
    ) || exit 1
    grep -qE '^#[0-9]+ fsfm_reader_next\+0x[0-9a-f]+ \(fsfm\)' "$work/$name.log" || fail "$name: no stack: $(tail -n 20 "$work/$name.log")"
done
# Alone, without MPI.
(
    preload alone 0
    start alone alone run.hang_timeout_s=$timeout checkpoint.every_steps=2
    wait_for alone 6
    touch "$work/alone/HANG"
    hangs alone 75 stopped 'rank 0 \(.*\) hangs at step [0-9]+, "reading"'
) || exit 1

# Lost after the last step, when there is no watchdog any more.
(
    preload late 1
    unset FSFM_TEST_HANG
    export FSFM_TEST_HANG_END=1
    start 2 late run.hang_timeout_s=$timeout train.max_steps=3
    for _ in $(seq $((10 * (timeout + 12)))); do
        kill -0 $job 2>/dev/null || break
        sleep 0.1
    done
    ! kill -0 $job 2>/dev/null || fail "late: does not end: $(tail -n 20 "$work/late.log")"
    wait $job
    grep -qE "^fsfm: rank 0 \(.*\) is done, but another one has not come to the end for $timeout s" "$work/late.log" || fail "late: $(tail -n 20 "$work/late.log")"
    grep -q '"status": "done", "exit_code": 0,' "$work/late/state.json" || fail "late: $(cat "$work/late/state.json")"
    [ -z "$(ranks_of late)" ] || fail "late: left behind: $(ranks_of late)"
) || exit 1

# 0: never.
start 2 off run.hang_timeout_s=0
wait_for off 3
stop_rank off 1
sleep $((timeout + 3))
kill -0 $job || fail "ended, although it is off: $(tail -n 5 "$work/off.log")"
ranks_of off | while read -r _ process; do kill -KILL "$process"; done
wait $job
exit 0
