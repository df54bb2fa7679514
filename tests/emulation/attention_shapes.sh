#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# attention_shapes.sh PROGRAM: attention at all shapes of test_attention_shapes.cu, with the same bits in several orders.
set -uo pipefail
want=''
for mode in fifo lifo:1 pct:1; do
    got=$(FSFM_EMULATION_ORDER=${mode%:*} FSFM_EMULATION_SEED=${mode#*:} "$1") || { echo "$mode: $got" && exit 1; }
    echo "$mode: $got"
    [ "${want:=$got}" = "$got" ] || { echo "$mode: other bits" && exit 1; }
done
