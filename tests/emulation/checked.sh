#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# checked.sh BUILD: what the emulated device and its checker report of the faults of planted.cu; and nothing of the kernel
# without a fault, in every order. BUILD: the file build.sh that CMake writes.
set -uo pipefail
tests='' # which build.sh sets
# shellcheck source=/dev/null
. "$1"
ulimit -c 0
bad=0

# expect PROGRAM CASE MODE CODE TEXT: in all seeds.
expect() {
    local order seed output code
    read -r order seed <<<"$3"
    output=$(FSFM_EMULATION_ORDER=$order FSFM_EMULATION_SEED=${seed:-1} timeout 60 "$tests/emulation/$1" "$2" 2>&1)
    code=$?
    printf '%-28s %-18s %-9s %3d  %s\n' "$1" "$2" "$3" $code "$(tail -n 1 <<<"$output" | cut -c 1-100)"
    # shellcheck disable=SC2053 # a pattern
    [ $code = "$4" ] && [[ $output == $5 ]] || { echo "    expected code $4 and '$5'" && bad=1; }
}
modes=(fifo lifo 'random 1' 'pct 1' 'pct 2')
for mode in "${modes[@]}"; do
    expect emulation.planted none "$mode" 0 '0 wrong'
    expect emulation.planted_checked none "$mode" 0 '0 wrong'
    expect emulation.planted_checked no_barrier "$mode" 86 'emulated device: race: *'
    expect emulation.planted_checked blocks_share "$mode" 86 'emulated device: race: write at * and write at *'
done
expect emulation.planted_checked past_the_end fifo 86 'emulated device: write of 4 bytes at *, out of bounds of device memory*'
expect emulation.planted_checked before_the_start fifo 86 'emulated device: write of 4 bytes at *, out of bounds of device memory*'
expect emulation.planted_checked unwritten fifo 86 'emulated device: read of device memory at * that nobody has written*'
expect emulation.planted_checked unwritten_shared fifo 86 'emulated device: read of shared memory at * that nobody has written*'
expect emulation.planted_checked unaligned fifo 86 'emulated device: write of 4 bytes at *, not aligned*'

# Without the checker: memory is full of NaN and has guards, and an order shows the missing barrier.
expect emulation.planted no_barrier fifo 0 '[1-9]* wrong'
expect emulation.planted past_the_end fifo 86 'emulated device: *'
expect emulation.planted before_the_start fifo 86 'emulated device: *'
expect emulation.planted unwritten fifo 0 '1 wrong'
expect emulation.planted unwritten_shared fifo 0 '2 wrong'
exit $bad
