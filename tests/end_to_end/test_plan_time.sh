#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `fsfm plan` says of GPUs, and of time on this machine: that it goes together and follows from what a bench wrote. How
# near its times are is for an idle machine: tests/support/plan_accuracy.sh.
. "$SOURCE/tests/support/runs.sh" || exit 1
plan() { # NAME ARGUMENTS...
    local name=$1
    shift
    "$FSFM" plan "$@" >"$work/$name" || fail "plan $*"
}
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

# ViT-B/16 at batch 256 as a separate program counted a step's kernels (tests/unit/test_roofline.c), the sum over ranks, warnings.
b16=("$SOURCE/configs/pretrain_vit_b16.yaml" --samples 3311286)
cluster=("${b16[@]}" --ranks 64 train.precision=bf16)
for g in h100 a100 h200; do
    plan $g.json "${b16[@]}" --ranks 64 --gpu $g --json
    for r in none gelu; do
        plan $g.$r "${b16[@]}" --gpu $g --json train.global_batch=256 train.precision=bf16 train.recompute=$r
    done
done
plan lone "${b16[@]}" --gpu h100 --json train.global_batch=64
plan lone-all "${b16[@]}" --gpu h100 --json train.micro_batch=64
plan exact "${cluster[@]}" --gpu h100 --json train.reduction=exact train.slices=64
plan small "${cluster[@]}" --gpu h100 --json train.global_batch=64 train.epochs=20 train.max_steps=5 checkpoint.every_steps=0
plan frozen "${cluster[@]}" --gpu h100 --json target.update=frozen train.target_cache_mib=1048576
plan big "${cluster[@]}" --gpu h100 --json train.global_batch=524288 train.micro_batch=8192 train.recompute=none
plan auto "${b16[@]}" --gpu h100 --json train.global_batch=256 train.precision=bf16
plan auto-big "${b16[@]}" --gpu h100 --json train.global_batch=1600 train.precision=bf16
plan fast "${cluster[@]}" --gpu h100 --json model.preset=vit_s16
plan text "${cluster[@]}" --gpu h100
(cd "$work" && python3 - "${b16[@]}" --gpu h100 --json train.precision=bf16 train.recompute=gelu) <<'P' || fail "plan on GPUs"
import json, os, subprocess, sys
def load(name): return json.load(open(name))
def near(a, b, tolerance=1e-9): assert abs(a / b - 1) <= tolerance, (a, b)
def warned(d, text): assert any(text in w for w in d["warnings"]), d["warnings"]
for case, images_per_s, step_ms in (("h100.none", 3738, 68.49), ("h100.gelu", 3606, 71.00), ("h200.gelu", 4035, 63.44)):
    d = load(case)
    t = d["time"]
    near(d["images_per_s"], images_per_s, 0.003)
    near(t["step_ms"], step_ms, 0.003)
    near(sum(p["total_ms"] for p in t["parts"].values()) + t["optimizer_ms"] + t["between_ms"] + t["exchange_exposed_ms"], t["step_ms"])
    near(sum(p["ms"] for p in t["products"]), sum(p["products_ms"] for p in t["parts"].values()))
    near(d["hours"], d["steps"] * t["step_ms"] / 3.6e6)
    assert t["basis"] == "model, not measured" and d["micro_batch"] == 256 < d["largest_micro_batch"], d
    assert d["gpu"]["fits"] and 10 < d["gpu"]["total_gb"] < 16 and d["memory"] is None, d
    near(sum(d["gpu"][k + "_gb"] for k in ("activations", "batch", "states")), d["gpu"]["total_gb"])
    # Weights, gradients and first moments take 4 bytes, second moments 2 in bf16; between tensors are gaps of up to 63.
    near(d["gpu"]["states_gb"], (14 * d["parameters"] + 4 * d["target_parameters"]) / 1e9, 0.002)
d, a = load("h100.json"), load("a100.json")
assert (d["nodes"], d["local_batch"], d["micro_batch"], d["precision"]) == (8, 64, 64, "fp32"), d
buckets = d["time"]["exchange_buckets"] # 14 messages for each, inside and between; or a tree's 6 between, and all bytes twice
assert buckets == 16, d
near(d["time"]["exchange_inside_ms"], 2 * 7 / 8 * 4 * d["parameters"] / 450e6 + buckets * 14 * 2e-3)
near(d["time"]["exchange_between_ms"], min(2 * 7 / 8 * 4 * d["parameters"] / 8 / 50e6 + buckets * 14 * 5e-3,
                                           2 * 4 * d["parameters"] / 8 / 50e6 + buckets * 6 * 5e-3))
t, lone = d["time"], load("lone")["time"] # the same images a rank, on one
near(t["efficiency"], (t["step_ms"] - t["exchange_exposed_ms"]) / t["step_ms"])
near(t["efficiency"], lone["step_ms"] / t["step_ms"])
assert lone["efficiency"] == lone["efficiency_same_batch"] == 1 and t["efficiency"] < t["efficiency_same_batch"] * 1.2, t
near(t["efficiency_same_batch"], load("lone-all")["time"]["step_ms"] / t["step_ms"] / 64)
near(t["node_read_gb_s"], d["images_per_s"] / 8 * 224 * 224 * 3 / 1e9)
assert d["images_per_s"] > a["images_per_s"] > 0 and load("h200.json")["largest_micro_batch"] > d["largest_micro_batch"], a
assert d["checkpoints_kept"] == 323200 // 16160 + 2 + 1 and d["checkpoint_write_s"] > 0, d
warned(d, "fp32")
slow = [(k["part"], k["is_backward"], round(k["times_bound"], 1)) for k in load("auto")["time"]["slow_kernels"]]
assert slow == [("target", False, 1.8), ("pixel_decoder", False, 1.8), ("pixel_decoder", True, 3.1)], slow
auto, auto_big = load("auto"), load("auto-big") # nothing is computed again where that fits, unless bits would depend on it
assert auto["recompute"] == "none" and auto["time"]["step_ms"] == load("h100.none")["time"]["step_ms"], auto
assert auto_big["recompute"] == "gelu" and auto_big["micro_batch"] == 1600 and load("exact")["recompute"] == "gelu", auto_big
exact, small, frozen, big = map(load, ("exact", "small", "frozen", "big"))
warned(exact, "power of two of ranks up to 64")
near(exact["time"]["exchange_exposed_ms"], exact["time"]["exchange_ms"])
warned(small, "outside 256 to 4096"), warned(small, "never reaches its peak"), warned(small, "sum of gradients")
assert small["checkpoints_kept"] == 1, small
assert frozen["time"]["later_step_ms"] < frozen["time"]["step_ms"], frozen
near(frozen["hours"] * 3.6e6, 808 * frozen["time"]["step_ms"] + (frozen["steps"] - 808) * frozen["time"]["later_step_ms"])
assert not big["gpu"]["fits"] and big["largest_micro_batch"] < 8192, big
most = load("h100.gelu")["largest_micro_batch"]
for name, images in (("most", most), ("more", most + 1)): # of what fsfm_learner_measure() has, there is no image more
    subprocess.run([os.environ["FSFM"], "plan", *sys.argv[1:], f"train.global_batch={images}", f"train.micro_batch={images}"],
                   stdout=open(name, "w"), check=True)
assert load("most")["gpu"]["fits"] and not load("more")["gpu"]["fits"], most
assert load("most")["gpu"]["total_gb"] > 0.999 * load("most")["gpu"]["usable_gb"], most
assert 2000 < most < 2300, most # 2,394 took 86.4 GB by the learner's own layout, not 78
warned(big, "images fit"), warned(big, "outside 256 to 4096"), warned(load("fast"), "data.stage")
lines = open("text").read().splitlines()
names = {"encoder", "rep_decoder", "pixel_decoder", "heads", "target", "optimizer", "exchange", "between", "step", "step,", "gradients", "efficiency", "speed", "run", "written", "memory", "kernels"}
times = [l for l in lines if l.split()[0] in names]
assert len(times) == len(names) and all(l.endswith("(model, not measured)") for l in times), lines
P

# A machine of one's own, beside the program as installed, and what is wrong with it.
sed 's/^bf16_tflops:.*/bf16_tflops: 495/' "$SOURCE/configs/machines/h100.yaml" >"$work/half.yaml"
plan half "${cluster[@]}" --gpu "$work/half.yaml" --json
mkdir -p "$work/home/bin" "$work/home/share/fsfm/configs/machines" && cp "$FSFM" "$work/home/bin/fsfm"
cp "$work/half.yaml" "$work/home/share/fsfm/configs/machines/mine.yaml"
"$work/home/bin/fsfm" plan "${cluster[@]}" --gpu mine --json >"$work/installed" || fail "plan of an installed program"
(cd "$work" && python3) <<'P' || fail "plan on a machine of one's own"
import json
half, installed = json.load(open("half")), json.load(open("installed"))
assert half["gpu"]["bf16_tflops"] == 495 and half["images_per_s"] == installed["images_per_s"], half
P
refuse "^fsfm: --gpu: expected h100, a100, h200 or a file, found 'h1000'" "${cluster[@]}" --gpu h1000
refuse "nowhere.yaml" "${cluster[@]}" --gpu "$work/nowhere.yaml"
refuse '^fsfm: --machine: expected this or --gpu, found both' "${cluster[@]}" --gpu h100 --machine "$work/local.yaml"
sed -i 's/^memory_gb: .*/memory_gb: 0/' "$work/half.yaml"
refuse "half.yaml:[0-9]+:[0-9]+: memory_gb: expected a number above 0, found '0'$" "${cluster[@]}" --gpu "$work/half.yaml"
sed -i '/^memory_gb/d' "$work/half.yaml"
refuse 'half.yaml:[0-9]+:1: memory_gb is missing: expected a number above 0$' "${cluster[@]}" --gpu "$work/half.yaml"
echo 'memory_gib: 80' >>"$work/half.yaml"
refuse 'half.yaml:[0-9]+:1: memory_gib: unknown key; nearest known key: memory_gb$' "${cluster[@]}" --gpu "$work/half.yaml"

# This machine: nothing is known, then what bench wrote.
here=("$SOURCE/configs/pretrain_vit_t16.yaml" --samples 1000 run.threads=1 train.global_batch=4 train.micro_batch=4
    --machine "$work/local.yaml")
plan unknown "${here[@]}" --json
plan text "${here[@]}"
grep -q "^time          not known: .fsfm bench step --preset vit_t16 .*--write-machine $work/local.yaml" "$work/text" ||
    fail "plan does not say how time becomes known"
TMPDIR=$work "$FSFM" bench step --preset vit_t16 --batch 4 --steps 2 --threads 1 --write-machine "$work/local.yaml" --json >"$work/bench" ||
    fail "bench step --write-machine"
TMPDIR=$work "$RANKS" 2 "$FSFM" bench step --preset vit_t16 --batch 4 --steps 2 --threads 1 --write-machine "$work/two.yaml" --json \
    >"$work/bench2" || fail "bench step --write-machine on ranks"
plan known2 "$SOURCE/configs/pretrain_vit_t16.yaml" --samples 1000 run.threads=1 train.global_batch=4 train.micro_batch=2 \
    --machine "$work/two.yaml" --ranks 2 --json
plan known "${here[@]}" --json
plan two "${here[@]}" --json --ranks 2 train.micro_batch=2
plan larger "${here[@]}" --json train.global_batch=8
plan text "${here[@]}"
(cd "$work" && python3) <<'P' || fail "plan on this machine"
import json
def near(a, b, tolerance): assert abs(a / b - 1) <= tolerance, (a, b)
bench, bench2, unknown, known, known2, two, larger = (
    json.load(open(n)) for n in ("bench", "bench2", "unknown", "known", "known2", "two", "larger"))
assert unknown["time"] is None and unknown["images_per_s"] is None and unknown["gpu"] is None, unknown
assert unknown["largest_micro_batch"] > 4 and "profile" not in bench, unknown
near(known["time"]["step_ms"], bench["step_ms_median"], 0.01) # the very step that was measured
near(known2["time"]["step_ms"], bench2["step_ms_median"], 0.01)
assert 0 < known2["time"]["exchange_exposed_ms"] < known2["time"]["step_ms"] and known2["time"]["efficiency"] < 1, known2
assert known["time"]["rates_preset"] == "vit_t16" and known["checkpoint_write_s"] > 0, known
assert two["time"]["exchange_ms"] > 0 and larger["accumulation"] == 2, two
t, u = known["time"], larger["time"] # twice the micro-batches, one optimiser
near(u["step_ms"], t["step_ms"] * (2 - t["optimizer_ms"] / (t["step_ms"] - t["between_ms"])), 1e-6)
P
grep -q "^rates of this machine from vit_t16 of $work/local.yaml, fp32" "$work/text" || fail "plan does not say where rates are from"
echo 'steps: 3' >"$work/local.yaml"
refuse "local.yaml:1:8: steps: expected a list of maps, found '3'$" "${here[@]}"
exit 0
