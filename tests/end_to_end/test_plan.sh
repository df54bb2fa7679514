#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `fsfm plan` against real runs: the resident memory of rank 0 at its peak within 5 %, the same micro-batch, the same steps, as
# many checkpoints in the end. Times and GPUs: test_plan_time.sh.
# Not with sanitizers, which have memory of their own.
. "$SOURCE/tests/support/runs.sh" || exit 1
! grep -aq __asan_init "$FSFM" || exit 77
make_data 40
base=("$SOURCE/configs/pretrain_vit_t16.yaml" data.path="$work/data" train.epochs=100 optim.warmup_epochs=10)

same() { # RANKS PRECISION MORE...: a plan and a run of 2 steps or more
    local ranks=$1 launcher=()
    shift
    rm -rf "$work/run"
    [ "$ranks" = 1 ] || launcher=("$RANKS" "$ranks")
    "$FSFM" plan "${base[@]}" run.threads=1 "$@" --ranks "$ranks" --json >"$work/plan" || fail "plan $*"
    python3 - "$work/plan" "$work/run" "${launcher[@]}" "$FSFM" pretrain "${base[@]}" run.threads=1 run.dir="$work/run" "$@" <<'P' ||
import json, os, sys
plan, run, command = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3:]
pid = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
_, status, usage = os.wait4(pid, 0) # of the largest process: rank 0, also behind mpirun
assert status == 0, status
seen, planned = usage.ru_maxrss / 1024, plan["memory"]["total_mib"]
parts = {k: round(v) for k, v in plan["memory"].items()}
assert abs(planned / seen - 1) < 0.05, f"planned {planned:.0f} MiB, seen {seen:.0f}: {parts}"
assert abs(sum(v for k, v in plan["memory"].items() if k != "total_mib") - planned) < 1e-6, parts
records = [json.loads(line) for line in open(run + "/metrics.jsonl")]
start = [r for r in records if r.get("event") == "start"][0]
assert start["recompute"] == plan["recompute"] and start["micro_batch"] == plan["micro_batch"] and start["ranks"] == plan["ranks"], (start, plan)
assert max(r["step"] for r in records if r["kind"] == "train") + 1 == plan["steps"], plan
size = os.path.getsize(run + "/checkpoints/step-%08d.h5" % plan["steps"])
assert abs(size / plan["checkpoint_bytes"] - 1) < 0.05, (size, plan["checkpoint_bytes"])
files = len([f for f in os.listdir(run + "/checkpoints") if f.endswith(".h5")])
assert plan["checkpoints_kept"] - 2 <= files <= plan["checkpoints_kept"], (files, plan["checkpoints_kept"])
assert plan["disk_bytes"] == plan["checkpoints_kept"] * plan["checkpoint_bytes"], plan
P
        fail "$ranks ranks, $*"
}
same 1 train.global_batch=8 train.max_steps=2
same 1 train.global_batch=4 train.max_steps=2 train.precision=bf16 train.micro_batch=4 train.recompute=none target.update=shared
same 1 train.global_batch=4 train.max_steps=9 eval.share=0.2 checkpoint.every_steps=4
same 2 train.global_batch=8 train.max_steps=6 checkpoint.every_steps=1 checkpoint.keep_last=2 checkpoint.keep_every=2
same 2 train.global_batch=8 train.max_steps=2 train.reduction=exact

# Without data, and what cannot be.
"$FSFM" plan "$SOURCE/configs/pretrain_vit_b16.yaml" --samples 3300000 --ranks 4 --json train.global_batch=512 >"$work/plan" ||
    fail "plan without data"
python3 - "$work/plan" <<'P' || fail "plan without data: $(cat "$work/plan")"
import json, sys
d = json.load(open(sys.argv[1]))
assert d["parameters"] == 133330944 and 102 < d["gflop_per_image"] < 103, d
assert d["samples"] == 3300000 and d["steps_per_epoch"] == 3300000 // 512 and d["dropped_samples"] == 3300000 % 512, d
assert d["local_batch"] * 4 == 512 and d["micro_batch"] * d["accumulation"] == 128 and d["ranks"] == 4, d
assert d["steps"] == 400 * d["steps_per_epoch"] and abs(d["lr"] - 3e-4) < 1e-12, d
first, other = d["memory"], d["memory_other_ranks"]
assert first["total_mib"] > other["total_mib"] and other["checkpoint_mib"] == 0, d
assert abs(d["all_ranks_mib"] - first["total_mib"] - 3 * other["total_mib"]) < 1e-6, d
P
"$FSFM" plan "${base[@]}" --ranks 2 train.global_batch=8 >"$work/out" || fail "plan as text"
grep -q '^activations ' "$work/out" && grep -q '^all ranks ' "$work/out" || fail "the table of plan"
refuse() { # REGEX ARGUMENTS...
    local regex=$1 got
    shift
    "$FSFM" plan "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ $got = 2 ] && grep -Eq -- "$regex" "$work/err" && [ "$(wc -l <"$work/err")" = 1 ] && [ ! -s "$work/out" ] || {
        head -3 "$work/err"
        fail "expected exit 2 and the line /$regex/, got exit $got: plan $*"
    }
}
refuse '^fsfm: plan: expected a configuration: fsfm plan CONFIG'
refuse '^fsfm: argument 1: mask.ratoi: unknown key; nearest known key: mask.ratio$' "$SOURCE/configs/pretrain_vit_t16.yaml" mask.ratoi=1
refuse 'data.path: expected a packed dataset, found nothing$' "$SOURCE/configs/pretrain_vit_b16.yaml" data.path=
refuse 'train.global_batch: expected a multiple of the 3 ranks, found 8$' "${base[@]}" --ranks 3 train.global_batch=8
refuse 'train.reduction exact: expected a power of two of ranks' "${base[@]}" --ranks 3 train.global_batch=24 train.reduction=exact
refuse "^fsfm: --ranks: expected a whole number from 1 to" "${base[@]}" --ranks 0
