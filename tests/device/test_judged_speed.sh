#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What tests/gpu_first_run.sh says of figures: too slow is a failure, and what nothing is asked of is not passed.
set -u
. "$SOURCE/tests/support/first_run.sh"
work=$(mktemp -d "${TMPDIR:-/tmp}/fsfm-test.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
fail() {
    echo "FAIL: $*"
    exit 1
}
h100='NVIDIA H100 80GB HBM3' h200='NVIDIA H200' a100=NVIDIA\ A100-SXM4-80GB
step() { # NAME PRESET IMAGES GPU [RANKS]
    echo "{\"preset\": \"$2\", \"batch\": 256, \"ranks\": ${5:-1}, \"device\": \"cuda:0 ($4)\", \"images_per_s_median\": $3,
        \"step_ms_median\": 70, \"gemm_share\": 0.4}" >"$work/$1.json"
}
says() { # CODE PATTERN JUDGE NAME...
    local code=0 want=$1 pattern=$2 text
    shift 2
    text=$("$1" "${@:2}") || code=$?
    [ $code = "$want" ] && grep -qE "$pattern" <<<"$text" || fail "$*: code $code, '$text', expected $want, '$pattern'"
}
images() { # CODE PATTERN PRESET IMAGES GPU
    step one "$3" "$4" "$5"
    says "$1" "$2" judge_images "$work/one.json"
}
images 1 '^300 images/s.*at least 3000' vit_b16 300 "$h100"
images 1 'at least 3000' vit_b16 2999 "$h100"
images 0 'at least 3000' vit_b16 3000 "$h100"
images 1 'at least 1200' vit_l16 1199 "$h100"
images 0 'at least 1200' vit_l16 1650 "$h100"
images 1 'at least 3000' vit_b16 2999 "$h200"
images 1 'at least 945 ' vit_b16 900 "$a100"
images 0 'at least 945 ' vit_b16 950 "$a100"
images 77 'no threshold for vit_s16' vit_s16 1 "$h100"
images 77 'no threshold for this GPU: cuda:0 \(NVIDIA H100 PCIe\)' vit_b16 1 'NVIDIA H100 PCIe'
images 77 'speed is not judged: no GPU' vit_b16 1 emulated

profile() { # GPU OPERATION SHARE GB_S GFLOPS: and one that is fast
    echo "{\"device\": \"cuda:0 ($1)\", \"profile\": [{\"operation\": \"adamw\", \"share\": 0.1, \"gb_s\": 2600, \"gflops\": 0},
        {\"operation\": \"$2\", \"share\": $3, \"gb_s\": $4, \"gflops\": $5}]}" >"$work/profile.json"
}
kernels() { # CODE PATTERN and profile's
    profile "${@:3}"
    says "$1" "$2" judge_kernels "$work/profile.json"
}
kernels 1 'roofline: layernorm 1.6$' "$h100" layernorm 0.05 1700 0
kernels 0 'roofline: none' "$h100" layernorm 0.05 1850 0
kernels 1 'roofline: linear 1.6$' "$h100" linear 0.5 500 320000
kernels 0 'roofline: none' "$h100" linear 0.5 500 340000
kernels 1 'roofline: linear inf$' "$h100" linear 0.5 0 0
kernels 0 'roofline: none' "$h100" pick 0.005 10 0
kernels 1 'roofline: layernorm 1.6$' "$h200" layernorm 0.05 2500 0
kernels 1 'roofline: linear 1.6$' "$a100" linear 0.5 10 100000
echo "{\"device\": \"cuda:0 ($h100)\", \"slow_products\": \"8x8x8 bias gradient\", \"profile\": []}" >"$work/profile.json"
says 0 'none; cublasLt does not take 8x8x8 bias gradient$' judge_kernels "$work/profile.json"
kernels 77 'no threshold for this GPU' 'NVIDIA L4' linear 0.5 1 1
kernels 77 'speed is not judged: no GPU' emulated linear 0.5 1 1

scaling() { # CODE PATTERN IMAGES-OF-ALL RANKS GPU
    step one vit_b16 3800 "$5"
    step all vit_b16 "$3" "$5" "$4"
    says "$1" "$2" judge_scaling "$work/one.json" "$work/all.json"
}
scaling 1 ' 30.0 % of as many alone; at least 95 %' 9120 8 "$h100"
scaling 1 ' 94.9 % of as many' 28850 8 "$h100"
scaling 0 ' 95.4 % of as many' 29000 8 "$h100"
scaling 1 ' 80.0 % of as many' 6080 2 'NVIDIA L4'
scaling 77 'speed is not judged: no GPU' 100 2 emulated

# All runs of a tool share their time.
last=$((SECONDS + 4))
within 60 $last true || fail "what is done in time is not taken"
within 60 $last false && fail "a failure is not a failure"
within 1 $last sleep 30 >"$work/late" && fail "what is not at its end is taken for done"
[ $SECONDS -lt $last ] && grep -q 'not at its end after 1 s' "$work/late" || fail "one may take the time of all"
within 60 $last sleep 30 >"$work/late"
[ $? = 77 ] && [ $SECONDS -le $((last + 1)) ] || fail "the last one takes longer than all may"
within 60 $last true >"$work/late"
[ $? = 77 ] && grep -q 'no time left' "$work/late" || fail "there is time when there is none"
