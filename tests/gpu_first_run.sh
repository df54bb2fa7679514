#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# gpu_first_run.sh [BUILD]: what to run first on a machine with a GPU, in ten minutes: is the CUDA backend right there, and how
# fast. BUILD: where to build, by default build-gpu.
# gpu_first_run.sh --emulated BUILD: what can be run of it without a GPU, on the emulated device of a build that is there, with
# sizes cut.
#
# A table: a row a check with its figure, "ok", "FAIL" or "skipped". After a failure of a check of correctness no speeds are
# looked at. A speed below what tests/support/first_run.sh asks for is a failure, one of which nothing is asked is skipped.
# Exit code 1: something failed. Skipped is not passed: the last line counts both.
# shellcheck disable=SC2317 # row calls the functions
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
SOURCE=$PWD
. tests/support/first_run.sh
sanitizers_s=150 # all runs of them
emulated=''
if [ "${1:-}" = --emulated ]; then
    emulated=1
    shift
    [ -n "${1:-}" ] || { echo "usage: tests/gpu_first_run.sh [BUILD] | --emulated BUILD" >&2 && exit 2; }
fi
build=$(realpath -m "${1:-build-gpu}")
work=$(mktemp -d "${TMPDIR:-/tmp}/fsfm-test.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
FSFM=$build/fsfm RANKS=$SOURCE/tests/support/ranks.sh
FSFM_CUDA_PLUGIN=$build/libfsfm_cuda.so
FSFM_NCCL_LIBRARY=${FSFM_NCCL_LIBRARY:-}
GPU_NAME='' # behind "cuda:0 (" in what the program prints
[ -z "$emulated" ] || FSFM_CUDA_PLUGIN=$build/libfsfm_cuda_emulated.so \
    FSFM_NCCL_LIBRARY=$build/libfsfm_nccl_emulated.so GPU_NAME=emulated
export SOURCE FSFM RANKS FSFM_CUDA_PLUGIN FSFM_NCCL_LIBRARY GPU_NAME OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
passed=0 failed=0 skipped=0 gpus=0
nvcc=$(command -v nvcc || command -v "${CUDACXX:-/usr/local/cuda/bin/nvcc}")

# row NAME FUNCTION...: what the function prints last is the figure. Its exit code: 0 ok, 77 skipped, else FAIL.
row() {
    local name=$1 start=$SECONDS verdict=ok status
    shift
    "$@" >"$work/row" 2>&1
    status=$?
    case $status in
    0) passed=$((passed + 1)) ;;
    77) verdict=skipped skipped=$((skipped + 1)) ;;
    *) verdict=FAIL failed=$((failed + 1)) ;;
    esac
    printf '%-28s %-7s %4d s  %s\n' "$name" $verdict $((SECONDS - start)) "$(tail -n 1 "$work/row" | cut -c 1-120)"
    [ $verdict != FAIL ] || tail -n 12 "$work/row" | sed 's/^/    /'
}
skip() { # WHY
    echo "$1"
    return 77
}
gpu() {
    [ -z "$emulated" ] || { skip 'the emulated device'; return; }
    command -v nvidia-smi >/dev/null || { echo 'no nvidia-smi: no GPU, or no driver' && return 1; }
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader >"$work/gpus" || return
    echo "$(wc -l <"$work/gpus") GPUs, the first: $(head -n 1 "$work/gpus")"
}
build_all() {
    [ -z "$emulated" ] || { skip 'a build that is there'; return; }
    cmake -S . -B "$build" -DFSFM_CUDA=ON ${nvcc:+-DCMAKE_CUDA_COMPILER="$nvcc"} && cmake --build "$build" -j "$(nproc)" ||
        return
    du -k "$FSFM_CUDA_PLUGIN" | awk '{print "a plugin of " $1 " KiB"}'
}
# Programs of kernels alone, by nvcc.
kernels_alone() { # NAME SOURCE...
    local name=$1
    shift
    [ -z "$emulated" ] || { skip 'compiled by nvcc'; return; }
    gcc -std=c11 -D_GNU_SOURCE -O2 -I. -c tests/support/reference_ops.c -o "$work/reference.o" &&
        "$nvcc" -O3 -std=c++17 -arch=native -I. -o "$work/$name" "$@" "$work/reference.o" && "$work/$name"
}
wrappers() {
    kernels_alone wrappers tests/emulation/test_wrappers.cu
}
attention_alone() {
    kernels_alone attention tests/emulation/test_attention_shapes.cu core/device/cuda/attention.cu \
        core/device/cuda/attention_backward.cu
}
device_tests() { # PRECISION
    local program programs=("$build"/tests/device.* "$build"/tests/gradient.* "$build/tests/emulation/emulation.operations")
    [ -z "$emulated" ] || programs=("$build/tests/device.tokens" "$build/tests/emulation/emulation.operations")
    for program in "${programs[@]}"; do
        [ -x "$program" ] || continue
        (cd "$build/tests" && FSFM_TEST_DEVICE=cuda FSFM_TEST_PRECISION=$1 "$program") >"$work/program" 2>&1 ||
            { grep -vE '^seed|OK|RUN' "$work/program"; echo "$program" && return 1; }
        grep -oE '[0-9]+ test\(s\) run' "$work/program" | tail -n 1
    done | awk '/test/ { programs++; cases += $1 } !/^[0-9]+ test/ { print; bad = 1 }
        END { print programs " programs, " cases " cases"; exit bad || programs == 0 }'
}
golden() { # PRECISION
    local file files=0 all=(tests/golden/*.h5)
    [ -z "$emulated" ] || all=(tests/golden/tiny.h5)
    for file in "${all[@]}"; do
        "$FSFM" verify "$file" --device cuda --precision "$1" >"$work/verify" 2>"$work/verify.err" || {
            cat "$work/verify" "$work/verify.err"
            return 1
        }
        grep -q " on cuda:0 ($GPU_NAME" "$work/verify" || { echo 'not on the GPU' && return 1; }
        files=$((files + 1))
    done
    echo "$files files"
}
# Steps that are replayed as CUDA graphs, against others.
graphs() {
    local mode
    for mode in on off; do
        "$FSFM" verify tests/golden/tiny.h5 --device cuda --cuda-graph "$mode" >"$work/graph-$mode" 2>&1 ||
            { cat "$work/graph-$mode" && return 1; }
    done
    diff "$work/graph-on" "$work/graph-off" && echo 'the same lines with and without'
}
# Twice with the same bits, and against the CPU; two ranks too.
runs() { # PRECISION
    [ -z "$emulated" ] || [ "$1" = bf16 ] || { skip 'takes long: emulation.ranks has it'; return; }
    FSFM_TEST_PRECISION=$1 bash tests/emulation/test_ranks.sh && echo 'twice the same bits; the CPU agrees'
}
sanitizer() { # TOOL
    local tool precision
    [ -z "$emulated" ] || { skip 'needs a GPU'; return; }
    tool=$(command -v compute-sanitizer || command -v "$(dirname "$nvcc")/compute-sanitizer") ||
        { skip 'no compute-sanitizer here'; return; }
    for precision in fp32 bf16; do
        within 60 "$sanitizers_until" env FSFM_TEST_DEVICE=cuda FSFM_TEST_PRECISION=$precision "$tool" --tool "$1" \
            --error-exitcode 9 "$build/tests/emulation/emulation.operations" || return
    done
    echo 'each operation at shapes of ViT-B/16, fp32 and bf16'
}
# bench PRESET BATCH OUTPUT COMMAND...: profile=--profile in its environment: operation by operation, which takes longer.
bench() {
    local preset=$1 batch=$2 output=$3 steps=10
    shift 3
    [ -z "$emulated" ] || steps=1
    "$@" "$FSFM" bench step --preset "$preset" --batch "$batch" --precision bf16 --steps "$steps" ${profile:+"$profile"} \
        --json >"$output" 2>"$work/bench.err" || { tail -n 3 "$work/bench.err" && return 1; }
    grep -q '"device": "cuda:0 ' "$output" || { echo 'not on the GPU' && return 1; }
}
# Of a step: images a second; before them all operations, and their part of what memory and products allow.
speed() { # PRESET BATCH
    profile=--profile bench "$1" "$2" "$work/$1.profile.json" env || return
    if [ -n "$emulated" ]; then cp "$work/$1.profile.json" "$work/$1.json"; else bench "$1" "$2" "$work/$1.json" env || return; fi
    operations "$work/$1.profile.json"
    judge_images "$work/$1.json"
}
operations() { # PROFILE
    python3 - "$1" <<'P'
import json, sys
for o in json.load(open(sys.argv[1]))["profile"]:
    print(f'    {o["operation"]:20} {o["calls"]:5.0f} calls {o["ms"]:9.2f} ms {o["gb_s"]:8.1f} GB/s {100 * o["roof_share"]:5.0f} % of the roof')
P
}
kernel_times() {
    [ -e "$work/$kernels_of.profile.json" ] || { skip 'no speed was measured'; return; }
    operations "$work/$kernels_of.profile.json" >"$work/roof"
    judge_kernels "$work/$kernels_of.profile.json"
}
scaling() {
    [ -z "$emulated" ] || { skip 'speed is not judged: no GPU'; return; }
    [ "$gpus" -gt 1 ] || { skip 'one GPU'; return; }
    [ -e "$work/vit_b16.json" ] || { skip 'no speed was measured of one'; return; }
    bench vit_b16 $((256 * gpus)) "$work/all.json" "$RANKS" "$gpus" || return
    judge_scaling "$work/vit_b16.json" "$work/all.json"
}
all_reduce() {
    local ranks=$gpus mib=1,256
    [ -z "$emulated" ] || ranks=2 mib=0.25
    [ "$ranks" -gt 1 ] || { skip 'one GPU'; return; }
    "$RANKS" "$ranks" "$FSFM" bench allreduce --mib "$mib" >"$work/sums" || return
    awk -v ranks="$ranks" '/^ *[0-9.]+ [KM]iB / { text = text sep $7 " GB/s at " $1 " " $2; sep = ", " }
        END { print ranks " ranks: " (text == "" ? "no size was measured" : text); exit text == "" }' "$work/sums"
}
# The same images in both precisions: the mean loss of the last steps.
bf16_against_fp32() {
    local steps=200 batch=16 precision
    [ -z "$emulated" ] || steps=2 batch=4
    ( # which makes a folder of its own, and removes it
        scratch=$work small=()
        # shellcheck source=/dev/null
        . tests/support/runs.sh
        make_data 64
        for precision in fp32 bf16; do
            "$FSFM" pretrain "${small[@]}" run.dir="$work/$precision" run.device=cuda train.precision="$precision" \
                train.global_batch="$batch" train.max_steps="$steps" train.epochs=100 >"$work/log" 2>&1 || { tail -n 5 "$work/log" && exit 1; }
            grep '"kind": "train"' "$work/$precision/metrics.jsonl" >"$scratch/$precision.jsonl"
        done
    ) || return
    python3 - "$work/fp32.jsonl" "$work/bf16.jsonl" "$steps" <<'P'
import json, sys
def end(path):
    losses = [json.loads(line)["loss"] for line in open(path)]
    assert len(losses) == int(sys.argv[3]), len(losses)
    return sum(losses[-20:]) / len(losses[-20:])
a, b = end(sys.argv[1]), end(sys.argv[2])
print(f"{sys.argv[3]} steps: loss {a:.4f} in fp32, {b:.4f} in bf16, {100 * abs(b / a - 1):.2f} % apart, 3 % allowed")
sys.exit(not abs(b / a - 1) <= 0.03)
P
}
end() {
    echo "$passed ok, $failed failed, $skipped skipped, $SECONDS s"
    [ $failed = 0 ]
    exit
}

row 'GPU' gpu
[ -n "$emulated" ] || gpus=$(wc -l 2>/dev/null <"$work/gpus") || gpus=0
[ $failed = 0 ] || end
row 'build' build_all
[ $failed = 0 ] || end
row 'wrappers' wrappers
row 'attention alone' attention_alone
for precision in fp32 bf16; do row "device tests, $precision" device_tests $precision; done
for precision in fp32 bf16; do row "golden files, $precision" golden $precision; done
row 'CUDA graphs' graphs
for precision in fp32 bf16; do row "against the CPU, $precision" runs $precision; done
sanitizers_until=$((SECONDS + sanitizers_s))
for tool in memcheck racecheck initcheck synccheck; do row "$tool" sanitizer $tool; done
[ $failed = 0 ] || end
if [ -n "$emulated" ]; then
    kernels_of=vit_t16
    row 'bench step, vit_t16' speed vit_t16 1
else
    kernels_of=vit_b16
    row 'bench step, vit_s16' speed vit_s16 256
    row 'bench step, vit_b16' speed vit_b16 256
    row 'bench step, vit_l16' speed vit_l16 128
fi
row 'kernels by their roofline' kernel_times
[ -n "$emulated" ] || [ ! -s "$work/roof" ] || grep '^ ' "$work/roof"
row 'scaling' scaling
row 'all-reduce' all_reduce
row 'bf16 against fp32' bf16_against_fp32
end
