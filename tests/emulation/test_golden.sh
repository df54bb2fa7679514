#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The small golden files on the emulated GPU, the trajectory's steps replayed as CUDA graphs; and by two processes at once,
# without graphs, with the same lines.
set -uo pipefail
work=$(mktemp -d "${TMPDIR:-/tmp}/fsfm-test.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
precision=${FSFM_TEST_PRECISION:-fp32}

verify() { # COMMAND...; ends the test with its output where something is wrong
    "$@" --device cuda --precision "$precision" >"$work/out" 2>"$work/err" && return
    cat "$work/out" "$work/err"
    exit 1
}
for name in tiny tiny_r60_pixel; do
    verify "$FSFM" verify "$SOURCE/tests/golden/$name.h5" --cuda-graph on
    grep -q ' on cuda:0 (emulated)' "$work/out" || { echo "not on the emulated GPU:" && cat "$work/out" && exit 1; }
    sort -u "$work/out" >"$work/alone"
    verify "$RANKS" 2 "$FSFM" verify "$SOURCE/tests/golden/$name.h5" --cuda-graph off
    sort -u "$work/out" | diff "$work/alone" - || { echo "$name: two ranks' lines differ from one's" && exit 1; }
done
