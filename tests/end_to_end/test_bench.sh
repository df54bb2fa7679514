#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `fsfm bench`: what it prints is whole and goes together, alone and on 2 ranks; usage errors. No speeds: machines differ.
. "$SOURCE/tests/support/runs.sh" || exit 1
bench() { # NAME [RANKS N] ARGUMENTS...
    local name=$1 launcher=()
    shift
    [ "$1" != ranks ] || { launcher=("$RANKS" "$2") && shift 2; }
    "${launcher[@]}" "$FSFM" bench "$@" >"$work/$name" 2>"$work/$name.err" || {
        tail -3 "$work/$name.err"
        fail "bench $*"
    }
}
refuse() { # REGEX ARGUMENTS...
    local regex=$1 got
    shift
    "$FSFM" bench "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ $got = 2 ] && grep -Eq -- "$regex" "$work/err" && [ "$(wc -l <"$work/err")" = 1 ] && [ ! -s "$work/out" ] || {
        head -3 "$work/err"
        fail "expected exit 2 and the line /$regex/, got exit $got: bench $*"
    }
}

bench step step --preset vit_t16 --batch 4 --steps 1 --recompute none --profile --json
bench ranks ranks 2 step --preset vit_t16 --batch 4 --micro-batch 1 --steps 2 --threads 1 --json
bench bf16 step --preset vit_t16 --batch 2 --steps 1 --precision bf16 --recompute none --profile --json
python3 - "$work/step" "$work/ranks" "$work/bf16" <<'P' || fail "step"
import json, sys
def near(a, b): assert abs(a / b - 1) < 1e-9, (a, b)
for path, ranks, micro, steps in ((sys.argv[1], 1, 4, 1), (sys.argv[2], 2, 1, 2)):
    d = json.load(open(path))
    assert (d["preset"], d["batch"], d["precision"], d["steps"]) == ("vit_t16", 4, "fp32", steps), d
    assert d["ranks"] == ranks and d["threads"] >= 1 and d["device"].startswith("cpu"), d
    assert 1 <= d["micro_batch"] <= micro, d
    near(d["images_per_s_median"], 4 / (d["step_ms_median"] / 1000))
    near(d["images_per_s_best"], 4 / (d["step_ms_best"] / 1000))
    near(d["gflops"], d["images_per_s_median"] * d["gflop_per_image"])
    near(d["gemm_share"], d["gflops"] / d["gemm_peak_gflops"])
    assert d["images_per_s_best"] >= d["images_per_s_median"] > 0 and d["memory_peak_gb_s"] > 0, d
    assert 7 < d["gflop_per_image"] < 8.6 and 150 < d["peak_rss_mib"] < 600, d
# What operations were asked to multiply is what the count from the options says.
for path in (sys.argv[3], sys.argv[1]):
    d = json.load(open(path))
    p = d["profile"]
    near(sum(o["gflops"] * o["ms"] / 1000 for o in p if o["gflops"]), d["gflop_per_image"] * d["batch"])
near(sum(o["ms"] for o in p) + d["profile_other_ms"], d["step_ms_median"])
assert {"linear", "linear_backward", "attention", "attention_backward", "layernorm", "adamw"} <= {o["operation"] for o in p}
for o in p: assert o["calls"] > 0 and o["ms"] > 0 and o["roof_share"] >= 0, o
assert [o["ms"] for o in p] == sorted((o["ms"] for o in p), reverse=True)
P
for threads in 1 2; do
    bench "text$threads" step --preset vit_t16 --batch 2 --steps 1 --threads $threads --precision bf16 --profile
done
grep -q 'images/s .* median' "$work/text1" && grep -q '^linear_backward ' "$work/text1" && grep -q '^between them ' "$work/text1" ||
    fail "the table of step"

bench sums allreduce --mib 0.25,1 --json
bench sums2 ranks 2 allreduce --mib 3.5,0.25 --bucket-mib 1 --preset vit_t16 --json
bench sums2x ranks 2 allreduce --mib 1 --reduction exact --json
python3 - "$work/sums" "$work/sums2" "$work/sums2x" <<'P' || fail "allreduce"
import json, sys
for path, ranks, kind, sizes in zip(sys.argv[1:], (1, 2, 2), ("fast", "fast", "exact"), ([], [0.25, 3.5, "vit_t16"], [1])):
    d = json.load(open(path))
    assert d["ranks"] == ranks and d["reduction"] == kind and [s["preset"] or s["mib"] for s in d["sizes"]] == sizes, d
    assert all(s["preset"] is None or 35 < s["mib"] < 60 for s in d["sizes"]), d
    for s in d["sizes"]:
        assert s["runs"] >= 5 and 0 <= s["seconds_best"] <= s["seconds_median"], s
        size_gb = s["mib"] * 2**20 / 1e9 # of which two ranks send half twice
        for which in ("best", "median"): assert abs(s["bus_gb_s_" + which] / (size_gb / s["seconds_" + which]) - 1) < 1e-9, s
        assert abs(s["algorithm_gb_s_median"] / (size_gb / s["seconds_median"]) - 1) < 1e-9, s
P
bench sums-text allreduce --mib 1
grep -q '^one rank: there is nothing to sum' "$work/sums-text" || fail "allreduce on one rank says nothing of it"
bench curve ranks 2 allreduce --out "$work/curve.png"
grep -qE '^ +4 KiB .* [0-9.]+  #*$' "$work/curve" && grep -qE '^ +256 MiB ' "$work/curve" && [ "$(grep -c '#$' "$work/curve")" -ge 3 ] ||
    fail "the curve: $(cat "$work/curve")"
[ "$(head -c 4 "$work/curve.png" | tail -c 3)" = PNG ] || fail "--out leaves no picture"

mkdir "$work/disk"
bench checkpoint checkpoint --preset vit_t16 --dir "$work/disk" --runs 2 --json
[ -z "$(ls -A "$work/disk")" ] || fail "checkpoint leaves something in its folder"
python3 - "$work/checkpoint" <<'P' || fail "checkpoint"
import json, sys
d = json.load(open(sys.argv[1]))
assert d["preset"] == "vit_t16" and d["runs"] == 2 and 130e6 < d["bytes"] < 160e6, d
for what in ("write", "read"):
    for which in ("best", "median"):
        assert abs(d[f"{what}_mb_s_{which}"] / (d["bytes"] / 1e6 / d[f"{what}_s_{which}"]) - 1) < 1e-9, d
P
"$FSFM" bench checkpoint --preset vit_t16 --dir "$work/nowhere" >"$work/out" 2>"$work/err"
[ $? = 1 ] && grep -q "nowhere: cannot make a folder in it: No such file" "$work/err" || fail "checkpoint in no folder"

refuse '^fsfm: bench: expected step, reader, allreduce or checkpoint, found nothing$'
refuse '^fsfm: bench: stpe: unknown part; nearest known part: step$' stpe
refuse "^fsfm: --preset: expected one of .*vit_t16.*, found 'vit_x'$" step --preset vit_x
refuse "^fsfm: --precision: expected .*, found 'fp8'$" step --precision fp8
refuse '^fsfm: --micro-batch: expected a divisor of train.global_batch \(4\), found 3$' step --batch 4 --micro-batch 3
refuse "^fsfm: --steps: expected a whole number from 1 to" step --steps 0
refuse '^fsfm: argument 1: --presett: unknown option; nearest known option: --preset$' step --presett vit_t16
refuse "^fsfm: bench step: expected options, found 'vit_t16'$" step vit_t16
refuse "^fsfm: --mib: expected numbers from 0.001 to 16384, found '1x'$" allreduce --mib 1x
refuse "^fsfm: --reduction: expected fast or exact, found 'slow'$" allreduce --reduction slow
refuse "^fsfm: --runs: expected a whole number from 1 to 100, found '0'$" checkpoint --runs 0
