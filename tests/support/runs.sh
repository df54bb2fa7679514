# SPDX-License-Identifier: Apache-2.0
# runs.sh - sourced by end-to-end scripts: a small dataset and what to compare of two runs. Needs FSFM, SOURCE, RANKS.
set -u
work=$(mktemp -d "${TMPDIR:-/tmp}/fsfm-test.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
fail() {
    echo "FAIL: $*"
    exit 1
}
# A model small enough for a step in a fraction of a second.
small=("$SOURCE/configs/quickstart.yaml" model.embed_dim=48 model.depth=2 model.num_heads=4 model.decoder_embed_dim=32
    model.decoder_depth=1 model.decoder_num_heads=4 model.rep_decoder_embed_dim=48 model.rep_decoder_depth=1
    model.rep_decoder_num_heads=4 model.projection_hidden_size=32 model.projection_size=16 optim.warmup_epochs=1
    train.epochs=5 log.every_steps=1 log.pictures=0)
make_data() { # COUNT
    "$FSFM" synth "$work/faces" --count "$1" --seed 7 >/dev/null && "$FSFM" pack "$work/faces" "$work/data" >/dev/null ||
        fail "synth, pack"
    small+=(data.path="$work/data")
}
# The same with images of 16 patches and not 196, for steps on an emulated GPU; and without the look for slow ranks, whose
# products are made for GPUs.
make_small_data() { # COUNT
    make_data "$1"
    "$FSFM" pack "$work/faces" "$work/small" --size 64 >/dev/null || fail "pack"
    small+=(data.path="$work/small" model.img_size=64 run.health=off)
}
# The records of a kind, without what is measured in time.
records() { # RUN KIND
    grep "\"kind\": \"$2\"" "$work/$1/metrics.jsonl" |
        sed -E 's/"time": [^,]*, //; s/"images_per_s": [^,]*, //; s/"(data|reduce)_wait": [^,]*, //g'
}
same_records() { # RUN RUN KIND
    records "$1" "$3" >"$work/one" && records "$2" "$3" >"$work/two" || fail "no $3 records in $1 or $2"
    diff "$work/one" "$work/two" >"$work/diff" || {
        head -4 "$work/diff"
        fail "$3 records of $1 and $2 differ"
    }
}
# Losses and norms of each step of runs agree to the rounding of a precision.
close_losses() { # PRECISION STEPS RUN RUN...
    python3 - "$work" "$@" <<'P' || fail "losses differ"
import json, sys
work, precision, steps, reference, *others = sys.argv[1:]
limit = {"fp32": 3e-5, "bf16": 2e-2}[precision]
limits = {"fp32": {}, "bf16": {"grad_norm": 5e-2}}[precision]
def train(name):
    records = [json.loads(line) for line in open(f"{work}/{name}/metrics.jsonl")]
    return [r for r in records if r["kind"] == "train"]
want, bad = train(reference), 0
for name in others:
    got = train(name)
    if not len(got) == len(want) == int(steps):
        sys.exit(f"{name}: {len(got)} steps, {reference}: {len(want)}, expected {steps}")
    for g, w in zip(got, want):
        for key in "loss", "loss_rec_m", "loss_rec_fr", "loss_sim", "grad_norm":
            error = abs(g[key] - w[key]) / max(abs(w[key]), 0.2)
            if not error <= limits.get(key, limit):
                print(f"{name}, step {g['step']}: {key} {g[key]}, {reference} has {w[key]}")
                bad += 1
sys.exit(bad > 0)
P
}
# Checkpoints are equal byte for byte; or but for some bytes, where a key of the configuration in them differs (and with it
# the checksum over it): weights that differ would differ in thousands.
same_weights() { # RUN RUN STEP [BYTES]
    local file differing
    file=checkpoints/step-$(printf %08d "$3").h5
    [ "$(stat -c %s "$work/$1/$file")" = "$(stat -c %s "$work/$2/$file")" ] || fail "sizes of $1/$file and $2/$file differ"
    differing=$(cmp -l "$work/$1/$file" "$work/$2/$file" | wc -l)
    [ "$differing" -le "${4:-0}" ] || fail "$1/$file and $2/$file differ in $differing bytes"
}
# Starts a run in the background; its process is $job.
start() { # RANKS RUN more...
    local n=$1 name=$2 launcher=()
    shift 2
    [ "$n" = alone ] || launcher=("$RANKS" "$n")
    mkdir -p "$work/$name"
    (cd "$work/$name" && exec "${launcher[@]}" "$FSFM" pretrain "${exact[@]}" run.dir=. "$@" >"$work/$name.log" 2>&1) &
    job=$!
}
run() { # RANKS RUN more...
    start "$@"
    wait $job || {
        tail -5 "$work/$2.log"
        fail "$2 on $1 ranks"
    }
}
# Waits until a run has so many train records.
wait_for() { # RUN COUNT
    for _ in $(seq 600); do
        [ "$(grep -c '"kind": "train"' "$work/$1/metrics.jsonl" 2>/dev/null)" -ge "$2" ] 2>/dev/null && return
        sleep 0.05
    done
    fail "$1 does not get to step $2"
}
