#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A short run on the emulated GPU on one and two ranks, against the CPU's on one: losses and norms agree to the rounding of
# the precision; and a run on the GPU twice gives the same bits.
. "$SOURCE/tests/support/runs.sh"
precision=${FSFM_TEST_PRECISION:-fp32}
make_small_data 64
exact=("${small[@]}" train.precision="$precision" train.global_batch=8 train.max_steps=4 run.device=cuda) # what start() runs
run alone gpu1
run alone again
health='' # looked at once: its products are made for GPUs
[ "$precision" = fp32 ] && health=run.health=warn
run 2 gpu2 $health
same_records gpu1 again train
same_weights gpu1 again 4
grep -q "cuda:0 (${GPU_NAME-emulated}" "$work/gpu2.log" || fail "two ranks were not on the emulated GPU"
[ -z "$health" ] || grep -q '^health    2 ranks, the median: ' "$work/gpu2.log" || fail "nothing is said of how fast the ranks are"
# The same with streams as late as they may be: what crosses waits for what made it.
FSFM_EMULATION_LAZY=1 FSFM_EMULATION_SEED=5 run 2 late
same_records gpu2 late train
run alone cpu run.device=cpu
python3 - "$work" "$precision" <<'P' || fail "losses differ"
import json, sys
work, precision = sys.argv[1:]
def train(name):
    records = [json.loads(line) for line in open(f"{work}/{name}/metrics.jsonl")]
    return [r for r in records if r["kind"] == "train"]
want, bad = train("cpu"), 0
for name in "gpu1", "gpu2":
    got = train(name)
    if len(got) != len(want) or not want:
        sys.exit(f"{name}: {len(got)} steps, expected {len(want)}")
    for g, w in zip(got, want):
        for key in "loss", "loss_rec_m", "loss_rec_fr", "loss_sim", "grad_norm":
            error = abs(g[key] - w[key]) / max(abs(w[key]), 0.2)
            limit = {"fp32": 3e-5, "bf16": 5e-2 if key == "grad_norm" else 2e-2}[precision]
            if not error <= limit:
                print(f"{name}, step {g['step']}: {key} {g[key]}, on the CPU {w[key]}")
                bad += 1
sys.exit(bad > 0)
P
