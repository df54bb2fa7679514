#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scaling.sh [GPU [IMAGES]]: the tables of jobs/SCALING.md, by `fsfm plan`: what GPUs (h100, or another that plan knows) are
# expected to be worth in numbers, with IMAGES (64) on each of them and with the recipe's 4096 over all. FSFM names the
# program. Every figure is a model, not measured.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fsfm=${FSFM:-$([ -x "$here/../build/fsfm" ] && echo "$here/../build/fsfm" || echo fsfm)}
gpu=${1:-h100} images=${2:-64}
presets=(vit_s16 vit_b16 vit_l16 vit_h14) numbers=(8 16 64 256 1024)

plan() { # PRESET RANKS BATCH: the plan, in $text
    text=$("$fsfm" plan "$here/../configs/pretrain_$1.yaml" --gpu "$gpu" --ranks "$2" --samples 3311286 --json \
        train.precision=bf16 train.global_batch="$3")
}
value() { sed -E "s/.*\"$1\": ([^,}]+).*/\\1/" <<<"$text"; } # KEY
calculate() { awk "BEGIN { printf \"$1\", $2 }"; }           # FORMAT EXPRESSION
head_of_table() {
    printf '| %s |' "$1" && printf ' %s |' "${@:2}" && printf '\n|---|' && printf '%.0s---|' "${@:2}" && echo
}
table() { # TITLE CELL-FUNCTION
    head_of_table "$1" "${numbers[@]}"
    for preset in "${presets[@]}"; do
        printf '| %s |' "$preset"
        for ranks in "${numbers[@]}"; do printf ' %s |' "$($2 "$preset" "$ranks")"; done
        echo
    done
    echo
}
same_images() {
    plan "$1" "$2" $(($2 * images))
    calculate '%.1f %% (%.1f ms of %.0f)' "100 * $(value efficiency), $(value exchange_exposed_ms), $(value step_ms)"
}
same_batch() {
    plan "$1" "$2" 4096
    calculate '%.1f %% (%.0f k images/s)' "100 * $(value efficiency_same_batch), $(value images_per_s) / 1000"
}
table "$images images a GPU: efficiency (not hidden, of a step)" same_images
table "4096 images over all GPUs: efficiency (speed)" same_batch

head_of_table "$images images a GPU, 64 GPUs" "gradients, MB" "their sum, ms" "encoder's backward, ms" "a node reads, GB/s" "checkpoint, GB" \
    "written, s"
for preset in "${presets[@]}"; do
    plan "$preset" 64 $((64 * images))
    calculate '| %s | %.0f | %.1f | %.1f | %.2f | %.2f | %.1f |\n' "\"$preset\", 4e-6 * $(value parameters), $(value exchange_ms), \
        $(value encoder_backward_ms), $(value node_read_gb_s), 1e-9 * $(value checkpoint_bytes), $(value checkpoint_write_s)"
done
