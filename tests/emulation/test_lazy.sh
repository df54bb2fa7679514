#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Whole steps with streams that run late and interleaved, device memory that the host cannot touch, and warps in several
# orders: the same lines as without. And in fp32 without any algorithm of cublasLt's: the kernel for products holds too.
set -uo pipefail
work=$(mktemp -d "${TMPDIR:-/tmp}/fsfm-test.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
precision=${FSFM_TEST_PRECISION:-fp32}
verify() { # FILE: to hold against another
    "$FSFM" verify "$SOURCE/tests/golden/tiny.h5" --device cuda --precision "$precision" >"$1" 2>"$work/err" && return
    cat "$1" "$work/err"
    exit 1
}
verify "$work/want"
export FSFM_EMULATION_LAZY=1 FSFM_EMULATION_PROTECT=1
for mode in lifo:1 pct:2 random:3; do
    FSFM_EMULATION_ORDER=${mode%:*} FSFM_EMULATION_SEED=${mode#*:} verify "$work/got"
    diff "$work/want" "$work/got" || { echo "$mode: other numbers" && exit 1; }
done
unset FSFM_EMULATION_LAZY FSFM_EMULATION_PROTECT
[ "$precision" = bf16 ] || FSFM_EMULATION_NO_ALGORITHM=1 verify "$work/got"
