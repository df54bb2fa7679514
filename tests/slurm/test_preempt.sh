#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A job with a higher priority takes the nodes: the run saves, stops, gives way, and goes on by itself afterwards.
. "$SOURCE/tests/slurm/use.sh" || exit 1
make_whole
submit low --partition=preempt
low=$job
until_true 60 has_steps low 10
high=$(sbatch --parsable --partition=main --nodes=2 --exclusive --time=1 --output=high.out --wrap='sleep 1; echo done') || fail "sbatch"
jobs+=("$high")
until_true 40 is_over "$high"
grep -q 'done' high.out || fail "the job with the higher priority did not run"
grep -q '"status": *"stopped"' low/state.json || grep -q '"event": "stop"' low/metrics.jsonl || fail "it did not save"
same_as_whole "$low" low 1
