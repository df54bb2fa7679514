#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# train.reduction exact: the same text of losses and the same weights on 1, 2, 4 and 8 ranks and with 1 and 2 threads, with
# every id.loss, in bf16 too; fast, and bf16, differ by rounding only.
. "$SOURCE/tests/support/runs.sh" || exit 1
make_data 40
exact=("${small[@]}" train.global_batch=16 train.reduction=exact train.slices=8 train.max_steps=5 eval.share=0.2
    eval.every_epochs=1)
for loss in cosine infonce; do
    run alone "one-$loss" run.threads=2 id.loss=$loss
    [ "$(records "one-$loss" train | wc -l)" = 5 ] || fail "not 5 train records"
    for n in 1 2 4 8; do
        run $n "$loss-$n" run.threads=1 id.loss=$loss
        same_records "one-$loss" "$loss-$n" train
        same_records "one-$loss" "$loss-$n" eval
        same_weights "one-$loss" "$loss-$n" 5 32 # run.threads
    done
done
run alone one-bf16 run.threads=2 train.precision=bf16 # where there is no bf16, fp32 once more
for n in 1 4; do
    run $n "bf16-$n" run.threads=1 train.precision=bf16
    same_records one-bf16 "bf16-$n" train
    same_weights one-bf16 "bf16-$n" 5 32
done
$RANKS 3 "$FSFM" pretrain "${exact[@]}" run.dir="$work/three" >"$work/log" 2>&1
[ $? = 2 ] && grep -q 'train.slices' "$work/log" || fail "3 ranks are not refused"
run 2 fast train.reduction=fast
python3 - "$work" <<'P' || fail "fast or bf16 are not equal to rounding"
import json, sys
def train(name):
    return [r for r in map(json.loads, open(f"{sys.argv[1]}/{name}/metrics.jsonl")) if r["kind"] == "train"]
exact = train("one-cosine")
for name, tolerance in (("fast", 1e-4), ("one-bf16", 1e-2)):
    other = train(name)
    worst = max(abs(x[k] - y[k]) / max(abs(x[k]), 0.2) for x, y in zip(exact, other)
                for k in ("loss", "loss_rec_m", "loss_rec_fr", "loss_sim"))
    if len(exact) != len(other) or worst > tolerance:
        sys.exit(f"{name}: {len(other)} records, off by {worst}")
P
echo "equal losses and weights on 1, 2, 4, 8 ranks"
