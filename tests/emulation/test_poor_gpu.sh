#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A GPU that the kernels do not run on, as it has too little shared memory (the L40S and GeForce): auto takes the CPU
# and says why in one line, cuda is refused with the reason.
. "$SOURCE/tests/support/runs.sh"
export FSFM_EMULATION_SHARED=101376
why='cuda:0 \(emulated\): 101376 bytes of shared memory a block, expected at least [0-9]+'
make_small_data 16
exact=("${small[@]}" train.precision=fp32 train.global_batch=8 train.max_steps=1 run.device=auto) # what start() runs

"$FSFM" --version >"$work/version" || fail "--version: exit code $?"
grep -qE "^device: cpu \(.*\); no GPU: $why\$" "$work/version" || fail "--version: $(cat "$work/version")"
run 2 auto
[ "$(grep -cE "^no GPU used: $why\$" "$work/auto.log")" = 1 ] || fail "auto: $(cat "$work/auto.log")"
code=0
out=$("$FSFM" pretrain "${exact[@]}" run.dir="$work/cuda" run.device=cuda 2>&1) || code=$?
[ $code = 1 ] || fail "cuda: exit code $code: $out"
grep -qE "^fsfm: device cuda: $why\$" <<<"$out" || fail "cuda: $out"
code=0
out=$("$FSFM" verify "$SOURCE/tests/golden/tiny.h5" --device cuda 2>&1) || code=$?
[ $code = 1 ] && [ "$(wc -l <<<"$out")" = 1 ] && grep -qE "^fsfm: device cuda: $why\$" <<<"$out" || fail "verify: $code, $out"
"$FSFM" verify "$SOURCE/tests/golden/tiny.h5" >"$work/verify" || fail "verify: $(cat "$work/verify")"
