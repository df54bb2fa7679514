#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A rank that is held up again and again while it computes is named, once, with its host; the others, which wait for it, are not.
. "$SOURCE/tests/support/runs.sh" || exit 1
make_data 16
"$RANKS" 3 "$FSFM" pretrain "${small[@]}" train.global_batch=12 train.epochs=1000000 log.every_steps=20 run.threads=1 \
    run.dir="$work/run" >"$work/log" 2>&1 &
job=$!
wait_for run 2
# The process of rank 1 among mpirun's.
for pid in $(pgrep -P $job); do
    tr '\0' '\n' <"/proc/$pid/environ" | grep -qx OMPI_COMM_WORLD_RANK=1 && slow=$pid
done
[ "${slow:-}" ] || fail "no process of rank 1"
(while kill -STOP "$slow" 2>/dev/null; do sleep 0.3; kill -CONT "$slow" 2>/dev/null; sleep 0.05; done) &
holder=$!
for _ in $(seq 300); do
    grep -q '"event": "slow_rank"' "$work/run/metrics.jsonl" && break
    sleep 0.1
done
kill $holder && wait $holder 2>/dev/null
kill -CONT "$slow"
sleep 1
touch "$work/run/STOP"
wait $job
code=$?
[ $code = 75 ] || { tail -3 "$work/log"; fail "exit code $code"; }
[ "$(grep -c '"event": "slow_rank"' "$work/run/metrics.jsonl")" = 1 ] || fail "$(grep -c slow_rank "$work/run/metrics.jsonl") events"
grep -q "\"event\": \"slow_rank\", \"rank\": 1, \"host\": \"$(hostname)\", \"times_median\": " "$work/run/metrics.jsonl" || fail "not rank 1"
[ "$(grep -c "^slow      rank 1 ($(hostname)): " "$work/log")" = 1 ] || fail "not one line"
echo "$(grep '^slow' "$work/log")"
