#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# static.sh format|cppcheck|includes|headers|scripts: one check of the sources that git tracks, without running them. The
# build in build/ gives the places of foreign headers.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
mapfile -t sources < <(git ls-files '*.c' '*.h')
mapfile -t kernels < <(git ls-files '*.cu' '*.cuh')
mapfile -t headers < <(git ls-files '*.h')
foreign=$(grep -oE -- '-isystem [^ "]+' build/compile_commands.json 2>/dev/null | sort -u | tr '\n' ' ')

format() {
    local tool=clang-format-14
    command -v $tool >/dev/null || tool=clang-format
    $tool --dry-run -Werror "${sources[@]}" "${kernels[@]}"
}

check_cpp() {
    mkdir -p build/cppcheck
    cppcheck --quiet -j "$(nproc)" --std=c11 --enable=warning,performance,portability --error-exitcode=1 \
        --inline-suppr --suppressions-list=tests/support/cppcheck.txt --cppcheck-build-dir=build/cppcheck \
        --project=build/compile_commands.json
}

# Includes name files from the top, and point one way: jobs -> mpi -> core, io. The libraries' views enforce the same when
# they are built; this also says it of what is not built here.
includes() {
    awk '
        function may(from, to) {
            if (from == "core/device/cuda/port.h" && to == "emulated.h") return 1 # by the include path of tests
            if (to ~ /^core\/base\//) return 1
            if (from ~ /^tests\//) return 1
            if (from ~ /^jobs\//) return to !~ /^tests\//
            if (from ~ /^mpi\//) return to ~ /^(mpi|core|io)\//
            if (from ~ /^io\//) return to ~ /^io\//
            if (from ~ /^core\/base\//) return 0
            if (from ~ /^core\/model\//) return to ~ /^core\/(model|device)\//
            if (from ~ /^core\/device\//) return to ~ /^core\/device\//
            if (from ~ /^core\/mask\//) return to ~ /^core\/mask\//
            if (from ~ /^core\/metrics\//) return to ~ /^core\/metrics\//
            return 0
        }
        /^[ \t]*#[ \t]*include[ \t]*"/ {
            split($0, part, "\"")
            if (part[2] ~ /\.\./ || !may(FILENAME, part[2])) {
                print FILENAME ":" FNR ": include of " part[2]
                bad = 1
            }
        }
        END { exit bad }' "${sources[@]}" "${kernels[@]}"
}

# Every header compiles alone as C; those of the program also as C++, for CUDA. Those of CUDA want its headers, and the
# emulated GPU's are for the kernels alone: the build compiles them.
check_header() { # HEADER
    local problems=0 set=
    case $1 in
    core/device/cuda/port.h | tests/support/cuda/*) return 0 ;;
    core/device/cuda/*) [[ $foreign == *cuda* ]] || return 0 ;;
    core/device/cpu/kernels/amx/*) set='-march=x86-64-v4 -mprefer-vector-width=512 -mavx512bf16 -mamx-tile -mamx-bf16 -DFSFM_BF16' ;;
    esac
    # shellcheck disable=SC2086 # a list of options
    gcc -std=c11 -D_GNU_SOURCE -I. $foreign $set -Wall -Wextra -Werror -fsyntax-only -x c - <<<"#include \"$1\"" || problems=1
    case $1 in tests/*) return $problems ;; esac
    # shellcheck disable=SC2086
    g++ -D_GNU_SOURCE -I. $foreign $set -fsyntax-only -x c++ - <<<"#include \"$1\"" || problems=1
    return $problems
}
check_headers() {
    export -f check_header
    export foreign
    printf '%s\n' "${headers[@]}" | xargs -P "$(nproc)" -I {} bash -c 'check_header {}'
}

scripts() {
    local script problems=0
    while read -r script; do
        bash -n "$script" || problems=1
        case $script in
        *.sh | .ci/*) grep -q 'SPDX-License-Identifier: Apache-2.0' "$script" || { echo "$script: no SPDX line" && problems=1; } ;;
        esac
    done < <(git ls-files '*.sh' .ci)
    while read -r script; do
        head -n 2 "$script" | grep -q 'SPDX-License-Identifier: Apache-2.0' || { echo "$script: no SPDX line" && problems=1; }
    done < <(printf '%s\n' "${sources[@]}" "${kernels[@]}")
    return $problems
}

case ${1:-} in
format) format ;;
cppcheck) check_cpp ;;
includes) includes ;;
headers) check_headers ;;
scripts) scripts ;;
*)
    echo "usage: static.sh format|cppcheck|includes|headers|scripts" >&2
    exit 2
    ;;
esac
