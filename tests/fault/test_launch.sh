#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# jobs/launch.sh: TERM, INT and HUP save and stop a run under mpirun, which gives 75; other exit codes are passed on.
. "$SOURCE/tests/support/runs.sh" || exit 1
make_data 16
launch=(bash "$SOURCE/jobs/launch.sh" --oversubscribe --bind-to none -n 2)

expect() { # CODE COMMAND...
    local want=$1 code=0
    shift
    "$@" >"$work/log" 2>&1 || code=$?
    [ $code = "$want" ] || {
        tail -5 "$work/log"
        fail "exit code $code instead of $want: $*"
    }
}
expect 2 bash "$SOURCE/jobs/launch.sh"
expect 0 "${launch[@]}" true
expect 7 "${launch[@]}" bash -c 'exit 7'
expect 2 "${launch[@]}" "$FSFM" pretrain "${small[@]}" run.dir="$work/none" mask.ratoi=0.5

# Not INT: a shell lets what it starts in the background ignore it.
for signal in TERM HUP; do
    "${launch[@]}" "$FSFM" pretrain "${small[@]}" train.global_batch=8 train.epochs=100000 run.dir="$work/$signal" \
        >"$work/$signal.log" 2>&1 &
    job=$!
    wait_for $signal 3
    kill -$signal $job
    code=0
    wait $job || code=$?
    [ $code = 75 ] || {
        tail -5 "$work/$signal.log"
        fail "$signal: exit code $code instead of 75"
    }
    grep -q '"event": "stop"' "$work/$signal/metrics.jsonl" || fail "$signal: no stop in metrics.jsonl"
    ls "$work/$signal"/checkpoints/step-*.h5 >/dev/null || fail "$signal: no checkpoint"
done
