#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# train.reduction exact: the same text of losses and the same weights on 1, 2, 4 and 8 ranks and with 1 and 2 threads, with
# every id.loss; fast differs by rounding only.
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
$RANKS 3 "$FSFM" pretrain "${exact[@]}" run.dir="$work/three" >"$work/log" 2>&1
[ $? = 2 ] && grep -q 'train.slices' "$work/log" || fail "3 ranks are not refused"
run 2 fast train.reduction=fast
python3 - "$work/one-cosine/metrics.jsonl" "$work/fast/metrics.jsonl" <<'P' || fail "fast is not equal to rounding"
import json, sys
a, b = ([r for r in map(json.loads, open(p)) if r["kind"] == "train"] for p in sys.argv[1:])
worst = max(abs(x[k] - y[k]) / max(abs(x[k]), 0.2) for x, y in zip(a, b) for k in ("loss", "loss_rec_m", "loss_rec_fr", "loss_sim"))
sys.exit(len(a) != len(b) or worst > 1e-4)
P
echo "equal losses and weights on 1, 2, 4, 8 ranks"
