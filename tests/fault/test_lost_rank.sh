#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A rank that is killed ends the job: mpirun does not give 0, no process is left, and the run goes on from its checkpoint.
. "$SOURCE/tests/support/runs.sh" || exit 1
make_data 16
"$RANKS" 3 "$FSFM" pretrain "${small[@]}" train.global_batch=6 train.epochs=1000000 checkpoint.every_steps=2 run.threads=1 \
    run.dir="$work/run" >"$work/log" 2>&1 &
job=$!
wait_for run 6
processes=$(pgrep -P $job)
[ "$(echo "$processes" | wc -l)" = 3 ] || fail "not three processes: $processes"
for pid in $processes; do
    tr '\0' '\n' <"/proc/$pid/environ" | grep -qx OMPI_COMM_WORLD_RANK=2 && kill -9 "$pid"
done
for _ in $(seq 200); do
    kill -0 $job 2>/dev/null || break
    sleep 0.1
done
kill -0 $job 2>/dev/null && fail "mpirun waits for ever"
wait $job
code=$?
[ $code != 0 ] || fail "exit code 0 of a job that lost a rank"
# Gone, or dead and only waiting for somebody to ask how it ended.
is_alive() { grep '^State:' "/proc/$1/status" 2>/dev/null | grep -qv 'Z (zombie)'; }
for pid in $processes; do
    for _ in $(seq 50); do is_alive "$pid" || break; sleep 0.1; done
    is_alive "$pid" && fail "process $pid is left: $(grep State "/proc/$pid/status")"
done
"$RANKS" 2 "$FSFM" pretrain "${small[@]}" train.global_batch=6 train.epochs=1000000 checkpoint.every_steps=2 run.threads=1 \
    train.max_steps=20 run.dir="$work/run" >"$work/log" 2>&1 || { tail -3 "$work/log"; fail "does not go on"; }
grep -q '"event": "resume"' "$work/run/metrics.jsonl" && grep -q '"done"' "$work/run/state.json" || fail "did not go on"
echo "a lost rank ended the job with $code, and the run went on"
