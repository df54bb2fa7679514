#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Target features that never change are computed once: records and weights are those of a run that computes them every time,
# and the counts of computed features are what they should be.
. "$SOURCE/tests/support/runs.sh" || exit 1
make_data 48
exact=("${small[@]}" run.threads=1 train.epochs=3 target.update=frozen) # what every run here starts with
targets() { # RUN: computed and recalled, of all starts of the run
    sed -nE 's/.*"event": "targets", "computed": ([0-9]+), "recalled": ([0-9]+).*/\1 \2/p' "$work/$1/metrics.jsonl" | tr '\n' ' '
}
counts() { # RUN "COMPUTED RECALLED "...
    [ "$(targets "$1")" = "$2" ] || fail "$1: computed and recalled are '$(targets "$1")', expected '$2'"
}
both() { # RANKS NAME more...: with and without
    local ranks=$1 name=$2
    shift 2
    run "$ranks" "$name-off" "$@" train.target_cache_mib=0
    run "$ranks" "$name-on" "$@" train.target_cache_mib=1
    [ "$(records "$name-on" train | wc -l)" -ge 9 ] || fail "$name: fewer than 9 train records"
    same_records "$name-off" "$name-on" train
    same_weights "$name-off" "$name-on" "$(records "$name-on" train | wc -l)" 64 # train.target_cache_mib
    counts "$name-off" "144 0 "
}
batch=(train.global_batch=12)
one_exact=("${batch[@]}" train.reduction=exact train.slices=2)
for precision in fp32 bf16; do
    both alone "fast-$precision" "${batch[@]}" train.micro_batch=6 train.precision=$precision
    counts "fast-$precision-on" "48 96 " # nothing in the second and third epoch
    both alone "exact-$precision" "${one_exact[@]}" train.precision=$precision
    counts "exact-$precision-on" "48 96 "
done
both alone infonce "${one_exact[@]}" id.loss=infonce
counts infonce-on "48 96 "
both 2 two "${one_exact[@]}"
same_records exact-fp32-on two-on train
# A rank knows what it computed itself, so less is known on two; but some of it is.
read -r computed recalled <<<"$(targets two-on)"
[ $((computed + recalled)) = 144 ] && [ "$recalled" -gt 0 ] && [ "$computed" -gt 48 ] || fail "two ranks: $(targets two-on)"

# The bits of an image's features do not depend on its place in a micro-batch, with any instruction set.
for isa in AVX2 SSE41; do
    ONEDNN_MAX_CPU_ISA=$isa both alone "places-$isa" train.global_batch=16 train.micro_batch=4
    counts "places-$isa-on" "48 96 "
done

# A resumed run begins without features and ends alike.
run alone resumed "${one_exact[@]}" train.max_steps=5
run alone resumed "${one_exact[@]}"
read -r computed recalled again known <<<"$(targets resumed)"
[ "$computed $recalled" = "48 12" ] && [ $((again + known)) = 84 ] && [ "$again" -ge 48 ] || fail "resumed: $(targets resumed)"
same_records exact-fp32-on resumed train

# Where features may change, or there is no room for them, they are computed.
for change in target.update=ema target.update=shared target.view=masked data.augment.view=flip; do
    run alone "$change" "${one_exact[@]}" "$change"
    counts "$change" "144 0 "
    ! grep -q '^.*targets  ' "$work/$change.log" || fail "$change: the log speaks of kept features"
done
run alone large "${one_exact[@]}" model.projection_size=8192 train.target_cache_mib=1
counts large "144 0 "
grep -q 'all of them take 1.5 MiB, train.target_cache_mib is 1$' "$work/large.log" || fail "the log of a cache that is too small"

# The plan knows of the memory, and where there is none.
target_mib() {
    "$FSFM" plan "${exact[@]}" "${one_exact[@]}" --json "$@" |
        python3 -c 'import json, sys; print(round(1024 * json.load(sys.stdin)["memory"]["target_mib"]))'
}
with=$(target_mib model.projection_size=4096) without=$(target_mib model.projection_size=4096 train.target_cache_mib=0)
[ $((with - without)) = 768 ] || fail "plan: $with and $without KiB, expected 768 more (48 x 4096 x 4)"
echo "the same records and weights, computed once"
