#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Without a GPU: --device cuda is refused with one line that says why, auto takes the CPU, --version says so.
set -uo pipefail
fail() {
    echo "FAIL: $*"
    exit 1
}
refused() { # PATTERN; in the environment that is set
    local out code=0
    out=$("$FSFM" verify "$SOURCE/tests/golden/tiny.h5" --device cuda 2>&1) || code=$?
    [ $code = 1 ] || fail "exit code $code, expected 1: $out"
    [ "$(wc -l <<<"$out")" = 1 ] && grep -qE "^fsfm: device cuda: .*$1" <<<"$out" || fail "expected '$1', found: $out"
    "$FSFM" --version | grep -qE "^device: cpu \(.*; no GPU: .*$1" || fail "--version does not say '$1'"
}
unset FSFM_CUDA_PLUGIN
if [ -e /dev/nvidia0 ] || [ -e /dev/nvidiactl ]; then
    echo "skipped: there is a GPU"
    exit 77
fi
refused 'libcuda.so.1|libfsfm_cuda.so'
out=$("$FSFM" verify "$SOURCE/tests/golden/tiny.h5" --device auto) && grep -q ' on cpu (' <<<"$out" || fail "auto: $out"
export FSFM_CUDA_PLUGIN=/not/there.so
refused '/not/there.so: cannot open'
# The real plugin, where it is built, loads without a driver and says what CUDA says.
export FSFM_CUDA_PLUGIN=${FSFM%/*}/libfsfm_cuda.so
[ -e "$FSFM_CUDA_PLUGIN" ] || exit 0
refused 'no GPU to be had: .*\(cudaError'
[ "$(nm -D --defined-only "$FSFM_CUDA_PLUGIN" | awk '$2 == "T" { print $3 }')" = fsfm_device_plugin_cuda ] ||
    fail "the plugin has other visible symbols"
if ldd "$FSFM" | grep -qiE 'cuda|cublas'; then fail "the program itself needs CUDA"; fi
