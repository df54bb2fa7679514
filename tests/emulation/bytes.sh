#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bytes.sh BUILD: holds the bytes that the checker counts for each case of operations.c against bytes.txt. BUILD: the file
# build.sh that CMake writes. A line a case; exit code 1 if one touches or asks for more than it may, or touches less than half
# of its arrays.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tests='' checked_plugin='' # which build.sh sets
# shellcheck source=/dev/null
. "$1"
work=$(mktemp -d "${TMPDIR:-/tmp}/fsfm-test.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT

# count CASE PRECISION: formula's bytes, bytes touched once a kernel, bytes asked for.
count() {
    rm -f "$work/counts"
    env FSFM_TEST_DEVICE=cuda FSFM_CUDA_PLUGIN="$checked_plugin" FSFM_TEST_PRECISION="$2" FSFM_TEST_ONLY="$1" \
        FSFM_EMULATION_COUNT="$work/counts" "$tests/emulation/emulation.operations" >"$work/out" 2>&1 || return
    # Weights go to the device and back by kernels too.
    grep -vE '(split|join)_body' "$work/counts" | awk -v formula="$(awk '/^bytes / {print $3}' "$work/out")" '
        function field(name) { match($0, "\"" name "\": [0-9]+"); return substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 4) + 0 }
        { once += field("read_unique_bytes") + field("written_unique_bytes"); asked += field("read_bytes") + field("written_bytes") }
        END { print formula + 0, once + 0, asked + 0 }'
}

bad=0
printf '%-28s %-4s %10s %8s %8s %8s %8s\n' case "" bytes touched allowed asked allowed
# shellcheck disable=SC2034 # read as !precision, !asked
while read -r name fp32 bf16 asked_fp32 asked_bf16 why; do
    for precision in fp32 bf16; do
        most=${!precision} most_asked=asked_$precision
        [ "$most" != - ] || continue
        counted=$(count "$name" $precision) || { echo "$name, $precision: does not run" && tail -n 5 "$work/out" && exit 1; }
        awk -v name="$name" -v precision=$precision -v most="$most" -v most_asked="${!most_asked}" -v why="$why" '{
            if ($1 <= 0) { print name ": no case of operations.c"; exit 1 }
            bad = !($2 <= most * $1 && $2 >= 0.5 * $1 && $3 <= most_asked * $1) || ((most > 1.1 || most_asked > 1.1) && why == "")
            printf "%-28s %-4s %10d %8.3f %8.2f %8.3f %8.2f %s%s\n", name, precision, $1, $2 / $1, most, $3 / $1, most_asked,
                bad ? "FAIL " : "", why
            exit bad }' <<<"$counted" || bad=1
    done
done < <(grep -v '^#' "$here/bytes.txt")
exit $bad
