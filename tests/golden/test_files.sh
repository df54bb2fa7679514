#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The golden files beside this script, fp32, on the CPU.
set -euo pipefail
for file in "$SOURCE"/tests/golden/*.h5; do
    "$FSFM" verify "$file" --device cpu
done
