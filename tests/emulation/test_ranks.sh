#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A short run on the emulated GPU on one and two ranks, against the CPU's on one: losses and norms agree to the rounding of
# the precision; and a run on the GPU twice gives the same bits.
. "$SOURCE/tests/support/runs.sh"
precision=${FSFM_TEST_PRECISION:-fp32}
make_small_data 64
exact=("${small[@]}" train.precision="$precision" train.global_batch=8 train.max_steps=4 run.device=cuda) # what start() runs
run alone gpu1
run alone again
health='' # looked at once: its products are made for GPUs
[ "$precision" = fp32 ] && health=run.health=warn
run 2 gpu2 $health
same_records gpu1 again train
same_weights gpu1 again 4
grep -q "cuda:0 (${GPU_NAME-emulated}" "$work/gpu2.log" || fail "two ranks were not on the emulated GPU"
[ -z "$health" ] || grep -q '^health    2 ranks, the median: ' "$work/gpu2.log" || fail "nothing is said of how fast the ranks are"
# The same with streams as late as they may be: what crosses waits for what made it.
FSFM_EMULATION_LAZY=1 FSFM_EMULATION_SEED=5 run 2 late
same_records gpu2 late train
run alone cpu run.device=cpu
close_losses "$precision" 4 cpu gpu1 gpu2
