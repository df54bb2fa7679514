#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A run stopped and resumed ends as one never stopped: by TERM, USR1 under mpirun, a file STOP, the time limit, kill -9 and
# a damaged checkpoint; on another number of ranks.
. "$SOURCE/tests/support/runs.sh" || exit 1
make_data 24
steps=40
exact=("${small[@]}" train.global_batch=8 train.reduction=exact train.slices=4 train.epochs=20 train.max_steps=$steps
    checkpoint.every_steps=4 eval.share=0.1 eval.every_epochs=1)
whole() { # RUN
    records "$1" train | grep -o '"step": [0-9]*' | diff - <(seq -f '"step": %g' 0 $((steps - 1))) >/dev/null ||
        fail "$1: not each step once"
    same_records whole "$1" train
    same_records whole "$1" eval
    same_weights whole "$1" $steps
}
stopped() { # RUN EXIT_CODE
    [ "$2" = 75 ] || {
        tail -5 "$work/$1.log"
        fail "$1: exit code $2, not 75"
    }
    grep -q '"status": *"stopped"' "$work/$1/state.json" && grep -q '"exit_code": *75' "$work/$1/state.json" ||
        fail "$1: state.json does not say stopped, 75"
    [ "$(records "$1" train | wc -l)" -lt $steps ] || fail "$1: stopped, yet whole"
}
run alone whole
[ "$(records whole eval | wc -l)" -ge 5 ] || fail "too few evaluations"

start alone term
wait_for term 6
kill -TERM $job
wait $job
stopped term $?
run 2 term
whole term
grep -q '"event": "stop"' "$work/term/metrics.jsonl" && grep -q '"event": "resume"' "$work/term/metrics.jsonl" ||
    fail "no stop and resume in metrics.jsonl"

start 2 usr1
wait_for usr1 3
kill -USR1 $job
wait $job
stopped usr1 $?
run 4 usr1
whole usr1

mkdir -p "$work/file" && touch "$work/file/STOP"
start alone file
wait $job
stopped file $?
[ -e "$work/file/STOP" ] && fail "STOP is still there"
FSFM_END_TIME=$(date +%s) start alone file
wait $job
stopped file $?
run alone file
whole file

start alone kill
wait_for kill 18
kill -KILL $job
wait $job 2>/dev/null
last=$work/kill/checkpoints/$(cat "$work/kill/checkpoints/latest")
truncate -s 4000 "$last" # and the newest file is damaged, too
run 2 kill
grep -q "$(basename "$last")" "$work/kill.log" || fail "the damaged checkpoint is not named"
whole kill
ls "$work/kill/checkpoints" | grep -vqE '^(step-[0-9]{8}\.h5|latest|best)$' && fail "files left over in checkpoints/"

start alone kill
wait $job && grep -q finished "$work/kill.log" || fail "a finished run does not say so"
start alone kill mask.ratio=0.6
wait $job
[ $? = 2 ] && grep -q 'mask.ratio' "$work/kill.log" || fail "another mask.ratio is not refused"
echo "stops by signals, file and time, a kill and a damaged checkpoint: all end bit-equal"
