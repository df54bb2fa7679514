#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# budgets.sh [--write]: compiles the kernels for sm_80 and sm_90 and holds registers, shared memory and blocks on a
# multiprocessor against budgets.txt; no kernel may spill or have a stack. --write: the table anew, but for its launches.
#
# Registers are compared where nvcc is of the table's release. Exit code 1: something is worse, or a kernel is not in the
# table; 77: no nvcc.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
nvcc=$(command -v nvcc || command -v "${CUDACXX:-/usr/local/cuda/bin/nvcc}") || { echo 'skipped: no nvcc' && exit 77; }
table=$here/budgets.txt
work=$(mktemp -d "${TMPDIR:-/tmp}/fsfm-test.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cd "$here/../.." || exit 1

release=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
include=$(dirname "$(dirname "$(readlink -f "$nvcc")")")/include
g++ -std=c++17 -isystem "$include" tests/emulation/occupancy.cpp -o "$work/occupancy" || exit 1

# compile ARCHITECTURE FILE: what ptxas says, in a file of $work.
compile() {
    local log
    log=$work/$1.$(basename "$2").log
    "$nvcc" -O3 -std=c++17 -arch="sm_$1" -Xptxas -v -I. --cubin -o "$log.cubin" "$2" >"$log" 2>&1 ||
        { grep -m5 error "$log" && return 1; }
}
export -f compile
export nvcc work
for architecture in 80 90; do
    printf "$architecture %s\n" core/device/cuda/*.cu | xargs -P 2 -n 2 bash -c 'compile "$@"' compile || exit 1
done

# "ARCHITECTURE REGISTERS STATIC-BYTES STACK-AND-SPILLS KERNEL"; of a kernel in several files, the most.
for log in "$work"/*.log; do
    architecture=$(basename "$log")
    c++filt <"$log" | awk -v architecture="${architecture%%.*}" '
        /Compiling entry function/ { split($0, part, "\047"); kernel = part[2]; sub(/^void /, "", kernel); sub(/\(.*/, "", kernel) }
        /bytes stack frame/ { local_bytes = $1 + $5 + $9 }
        /Used [0-9]+ registers/ {
            registers = static_bytes = 0
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^registers/) registers = $(i - 1)
                if ($i ~ /^smem/) static_bytes = $(i - 2)
            }
            print architecture, registers, static_bytes, local_bytes, kernel
        }'
done | sort -k5 -k1,1n -k2,2nr | awk '{ key = $1; for (i = 5; i <= NF; i++) key = key " " $i } !(key in seen) { seen[key] = 1; print }' >"$work/kernels"

# launch_of KERNEL: threads and dynamic bytes of its blocks.
mapfile -t launches < <(grep '^launch ' "$table")
launch_of() {
    local launch threads bytes pattern
    for launch in "${launches[@]}"; do
        read -r threads bytes pattern <<<"${launch#launch }"
        # shellcheck disable=SC2053 # a pattern
        [[ $1 == $pattern ]] && echo "$threads $bytes" && return
    done
    echo "no launch in budgets.txt fits $1" >&2
    return 1
}
while read -r architecture registers static local_bytes kernel; do
    [ "$local_bytes" = 0 ] || { echo "sm_$architecture $kernel: $local_bytes bytes of stack and spills" >&2 && touch "$work/bad"; }
    launch=$(launch_of "$kernel") || exit 1
    echo "$architecture $registers $static $launch $kernel"
done <"$work/kernels" >"$work/launched" || exit 1
"$work/occupancy" < <(cut -d ' ' -f 1-5 "$work/launched") >"$work/blocks"
paste -d ' ' "$work/blocks" "$work/launched" | awk '{
    kernel = $7; for (i = 8; i <= NF; i++) kernel = kernel " " $i
    printf "sm_%s %3d %5d %2d %s\n", $2, $3, $4, $1, kernel }' >"$work/budgets"

if [ "${1:-}" = --write ]; then
    grep -vE '^(sm_|nvcc )' "$table" >"$work/table"
    { cat "$work/table" && echo "nvcc $release" && cat "$work/budgets"; } >"$table"
    [ ! -e "$work/bad" ]
    exit
fi
awk -v release="$release" '
    function name(first, i, text) { text = $first; for (i = first + 1; i <= NF; i++) text = text " " $i; return text }
    FNR == NR && /^nvcc / { same = $2 == release }
    FNR == NR && /^sm_/ { key = $1 " " name(5); registers[key] = $2; bytes[key] = $3; blocks[key] = $4 }
    FNR == NR { next }
    {
        key = $1 " " name(5); all++
        if (!(key in registers)) problem = "is not in budgets.txt"
        else if (same && $2 > registers[key]) problem = $2 " registers, were " registers[key]
        else if ($3 > bytes[key]) problem = $3 " bytes of shared memory, were " bytes[key]
        else if ($4 < blocks[key]) problem = $4 " blocks on a multiprocessor, were " blocks[key]
        else problem = ""
        if ($4 == 0) problem = "does not fit a multiprocessor"
        if (problem != "") { print key ": " problem; bad++ }
    }
    END { printf "%d kernels%s, %d worse than budgets.txt\n", all, same ? "" : ", registers not compared: nvcc " release, bad; exit bad > 0 }
' "$table" "$work/budgets" && [ ! -e "$work/bad" ]
