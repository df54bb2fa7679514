# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# first_run.sh - sourced by tests/gpu_first_run.sh: how fast is fast enough. Figures are those of `fsfm bench step --json`;
# each function prints them, what is asked for, and returns 0: it is reached, 1: it is not, or 77: there is nothing to hold
# them against, and why. Needs SOURCE.
#
# What is asked for is of an H100: images a second of the presets below at batch 256 (ViT-L/16: 128) in bf16; operations no
# slower than 1.5 times the larger of bytes / 2.7 TB/s and FLOP / 500 TFLOP/s; several GPUs at 95 % of as many alone. Other
# GPUs of configs/machines are asked for as much less as their peaks allow: images by the smaller ratio of the two peaks,
# and never more than an H100's; others for nothing, but for the 95 %.

# judge WHAT FILE...: see the functions below.
judge() {
    python3 - "$SOURCE/configs/machines" "$@" <<'P'
import json, math, re, sys
machines, what, *paths = sys.argv[1:]
LEAST_IMAGES = {"vit_b16": 3000, "vit_l16": 1200}
SLOWEST, TFLOPS, LEAST_SCALING, SMALL = 1.5, 500, 0.95, 0.01
# By what the driver calls them: others of the same letters (PCIe, NVL, 40 GB) have other peaks.
NAMES = {"h100": r"H100 80GB HBM3", "h200": r"H200\)$", "a100": r"A100-SXM4-80GB"}

def peaks(machine):
    rows = dict(re.findall(r"^(\w+): *([\d.]+)", open(f"{machines}/{machine}.yaml").read(), re.M))
    return float(rows["bf16_tflops"]), 1e3 * float(rows["memory_tb_s"]), float(rows["memory_share"])

def ratios(device):
    """What this GPU's peaks are of an H100's, and the bytes a second that are asked of it; None: not known."""
    machine = next((m for m, pattern in NAMES.items() if re.search(pattern, device)), None)
    if machine is None: return None
    of, base = peaks(machine), peaks("h100")
    return of[0] / base[0], of[1] / base[1], of[1] * of[2]

def end(text, code):
    print(text)
    sys.exit(code)

def known(run, text):
    if "emulated" in run["device"]: end(f"{text}; speed is not judged: no GPU", 77)
    if ratios(run["device"]) is None: end(f'{text}; no threshold for this GPU: {run["device"]}', 77)
    return ratios(run["device"])

runs = [json.load(open(path)) for path in paths]
if what == "images":
    run, rate = runs[0], runs[0]["images_per_s_median"]
    text = f'{rate:.0f} images/s, {run["step_ms_median"]:.0f} ms a step of {run["batch"]}, {100 * run["gemm_share"]:.0f} % of the products\' peak'
    flops, memory, _ = known(run, text)
    if run["preset"] not in LEAST_IMAGES: end(f'{text}; no threshold for {run["preset"]}', 77)
    least = LEAST_IMAGES[run["preset"]] * min(1, flops, memory)
    end(f"{text}; at least {least:.0f} images/s", not rate >= least)
if what == "kernels":
    run, slow = runs[0], []
    flops, _, memory_gb_s = known(run, "no operation is judged")
    for o in run["profile"]:
        gflops = o["gflops"] if isinstance(o["gflops"], (int, float)) and math.isfinite(o["gflops"]) else 0
        reached = max(o["gb_s"] / memory_gb_s, gflops / (1e3 * TFLOPS * flops))
        if o["share"] > SMALL and not reached * SLOWEST >= 1:
            slow.append(f'{o["operation"]} {1 / reached if reached else math.inf:.1f}')
    plain = run.get("slow_products")
    end(f"over {SLOWEST} times their roofline: " + (", ".join(slow) or "none") +
        (f"; cublasLt does not take {plain}" if plain else ""), bool(slow))
if what == "scaling":
    one, all = runs
    share = all["images_per_s_median"] / one["images_per_s_median"] / all["ranks"]
    text = f'{all["images_per_s_median"]:.0f} images/s on {all["ranks"]} GPUs, {100 * share:.1f} % of as many alone'
    if "emulated" in all["device"]: known(all, text)
    end(f"{text}; at least {100 * LEAST_SCALING:.0f} %", not share >= LEAST_SCALING)
sys.exit(f"judge: what is {what}?")
P
}
judge_images() { # STEP.json
    judge images "$1"
}
# With the operations that take more than a hundredth of the step.
judge_kernels() { # PROFILE.json
    judge kernels "$1"
}
judge_scaling() { # ONE.json ALL.json
    judge scaling "$1" "$2"
}

# within SECONDS LAST COMMAND...: runs it while the shell's clock is before LAST, at most until then, and at most for so long;
# 77 where the time is over.
within() {
    local most=$1 last=$2 left status=0
    shift 2
    left=$((last - SECONDS))
    [ $left -lt "$most" ] || left=$most
    [ $left -gt 0 ] || { echo 'no time left for it' && return 77; }
    timeout $left "$@" || status=$?
    [ $status != 124 ] || { echo "not at its end after $left s" && return 77; }
    return $status
}
