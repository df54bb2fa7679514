#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A second signal ends a run between two micro-batches: the step is given up, what is saved is the step before, and the run
# that goes on is the one that was never stopped, bit for bit. One signal alone gives up an evaluation, which is done again.
. "$SOURCE/tests/support/runs.sh" || exit 1
make_data 200
# Steps of some seconds, in eight parts on two ranks; evaluations as long.
exact=("${small[@]}" model.embed_dim=192 model.depth=6 model.num_heads=3 model.rep_decoder_embed_dim=192
    model.rep_decoder_num_heads=3 train.global_batch=64 train.reduction=exact train.slices=8 train.epochs=6 train.max_steps=3
    run.threads=1 checkpoint.every_steps=0 eval.share=0.5 eval.every_epochs=3)
stopped() { # RUN STEP
    local code=0
    wait $job || code=$?
    [ $code = 75 ] || fail "$1: exit code $code instead of 75: $(tail -n 5 "$work/$1.log")"
    grep -q "\"status\": \"stopped\", \"exit_code\": 75, \"step\": $2" "$work/$1/state.json" || fail "$1: $(cat "$work/$1/state.json")"
    [ -e "$work/$1/checkpoints/step-$(printf %08d "$2").h5" ] || fail "$1: no checkpoint of step $2"
}
same() { # RUN
    same_records whole "$1" train
    same_records whole "$1" eval
    same_weights whole "$1" 3
}
run 2 whole
[ "$(records whole eval | wc -l)" = 1 ] || fail "no evaluation"

# Two kinds of signal, as two of a kind may count as one; mpirun hands both on.
for ranks in 2 alone; do
    start $ranks given$ranks
    wait_for given$ranks 1
    kill -USR1 $job && kill -USR2 $job
    stopped given$ranks 1
    grep -q 'step 1 given up at a second signal' "$work/given$ranks.log" || fail "given$ranks: $(tail -n 3 "$work/given$ranks.log")"
    run $ranks given$ranks
    same given$ranks
done
# One signal: the step comes to its end.
start 2 ended
wait_for ended 1
kill -USR1 $job
stopped ended 2
run 2 ended
same ended

# In the evaluation behind the last step; the run that goes on has nothing else to do, and once it is done, nothing at all.
start 2 evaluating
wait_for evaluating 2 # in the last step, behind which it evaluates
kill -USR1 $job
stopped evaluating 3
grep -q '"kind": "eval"' "$work/evaluating/metrics.jsonl" && fail "the evaluation was not given up"
run 2 evaluating
same evaluating
[ "$(grep -c '"kind": "train"' "$work/evaluating/metrics.jsonl")" = 3 ] || fail "a step was done again"
run 2 evaluating
grep -q 'nothing is left to do' "$work/evaluating.log" || fail "done again: $(tail -n 3 "$work/evaluating.log")"
exit 0
