#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Steps on the emulated GPU give the same records whether a micro-batch's kernels are replayed as CUDA graphs or not, and
# however late streams run: with accumulation, on two ranks, with exact sums, with the keys of all ranks, and with
# evaluations, which take the place of what was brought to the device ahead.
. "$SOURCE/tests/support/runs.sh"
precision=${FSFM_TEST_PRECISION:-fp32}
make_small_data 40
exact=("${small[@]}" train.precision="$precision" train.global_batch=8 train.micro_batch=2 train.max_steps=4
    run.device=cuda) # what start() runs
late() { # SEED COMMAND...: streams as late as they may be, and memory that the host cannot touch
    FSFM_EMULATION_LAZY=1 FSFM_EMULATION_PROTECT=1 FSFM_EMULATION_ORDER=random FSFM_EMULATION_SEED=$1 "${@:2}"
}
check() { # NAME RANKS more...
    local name=$1 ranks=$2
    shift 2
    run "$ranks" "$name-off" "$@" train.cuda_graph=off
    late 7 run "$ranks" "$name-on" "$@" train.cuda_graph=on
    same_records "$name-off" "$name-on" train
    grep -q "cuda:0 (emulated" "$work/$name-on.log" || fail "$name-on was not on the emulated GPU"
}
check parts alone
check ranks 2
[ "$precision" = fp32 ] || exit 0 # the rest is the host's, which knows no precision
check exact alone train.reduction=exact train.slices=4
late 5 run 2 exact-2 train.reduction=exact train.slices=4
same_records exact-off exact-2 train
check keys 2 id.loss=infonce
check eval alone eval.share=0.2 eval.every_epochs=0.25
same_records eval-off eval-on eval

# The host waits once a step: two steps more are two waits more.
waits() { # NAME STEPS more...
    local name=$1 steps=$2
    shift 2
    FSFM_EMULATION_WAITS=$work/$name-waits run alone "$name" train.max_steps="$steps" "$@"
    wc -l <"$work/$name-waits"
}
[ $(($(waits six 6) - $(waits four 4))) = 2 ] || fail "a step waits $(sort "$work/six-waits" | uniq -c)"
[ $(($(waits exact-six 6 train.reduction=exact train.slices=4) - $(waits exact-four 4 train.reduction=exact train.slices=4))) = 2 ] ||
    fail "a step with exact sums waits $(sort "$work/exact-six-waits" | uniq -c)"

# Where there can be no graph one line says so, and the run goes on; or not, if it was told to have them.
FSFM_EMULATION_NO_GRAPHS=1 run alone none train.cuda_graph=auto
same_records parts-off none train
[ "$(grep -c 'graph     none, .*cudaErrorStreamCaptureInvalidated' "$work/none.log")" = 1 ] || fail "nothing is said of the graph"
! grep -q 'graph  ' "$work/parts-on.log" || fail "a graph that there is is called none"
FSFM_EMULATION_NO_GRAPHS=1 start alone demanded train.cuda_graph=on
wait $job
[ $? = 1 ] || fail "a graph that is demanded and not there does not end the run"
grep -q cudaErrorStreamCaptureInvalidated "$work/demanded.log" || fail "why there is no graph is not said"
start alone cpu run.device=cpu train.cuda_graph=on
wait $job
[ $? = 2 ] || fail "a graph on a CPU is no wrong configuration"
grep -q 'train.cuda_graph: expected auto or off on cpu' "$work/cpu.log" || fail "a graph on a CPU is not refused"
