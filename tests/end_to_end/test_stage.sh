#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# data.stage: a run reads the copy on the node's disk, and gets the same losses from it.
. "$SOURCE/tests/support/runs.sh" || exit 1
make_data 16
small+=(train.global_batch=8 train.max_steps=3)
"$FSFM" pretrain "${small[@]}" run.dir="$work/direct" >/dev/null || fail "a run on the dataset itself"
"$RANKS" 2 "$FSFM" pretrain "${small[@]}" run.dir="$work/staged" data.stage="$work/stage" >/dev/null || fail "a staged run"
[ "$(find "$work/stage" -name 'shard-*.h5' | wc -l)" = 1 ] || fail "not one copy of the shard"
losses() { grep '"kind": "train"' "$work/$1/metrics.jsonl" | grep -oE '"loss": [0-9.]{8}'; }
diff <(losses direct) <(losses staged) || fail "the losses differ"
# what is wrong in the original from here on is not seen
printf 'damage' | dd of="$work/data/shard-00000.h5" bs=1 seek=1000000 conv=notrunc status=none
"$FSFM" pretrain "${small[@]}" run.dir="$work/original" >/dev/null || fail "one damaged sample"
"$FSFM" pretrain "${small[@]}" run.dir="$work/again" data.stage="$work/stage" >/dev/null || fail "a run on the copy"
grep -q bad_sample "$work/original/metrics.jsonl" || fail "the damage is not seen in the original"
! grep -q bad_sample "$work/again/metrics.jsonl" || fail "the copy is not used"
