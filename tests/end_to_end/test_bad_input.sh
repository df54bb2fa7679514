#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Bad input as a user meets it, on 1 and on 2 ranks: one line that says where and what, once, the right exit code, no hang.
. "$SOURCE/tests/support/runs.sh" || exit 1
make_data 16
small+=(train.global_batch=8 train.reduction=exact train.slices=2 train.epochs=10 train.max_steps=2 run.threads=1)
data=$work/data
complain() { # WORDS [FILE with more]
    {
        echo "FAIL: $1"
        [ -z "${2:-}" ] || head -5 "$2"
    } | tee -a "$work/complaints"
}
on() { # RANKS COMMAND...
    local n=$1
    shift
    if [ "$n" = 1 ]; then timeout 60 "$@"; else timeout 60 "$RANKS" "$n" "$@"; fi >"$work/out" 2>"$work/err"
}
refuse_on() { # RANKS FILE CODE REGEX COMMAND...
    local n=$1 err=$2 code=$3 regex=$4 got
    shift 4
    set -- "${@//%N%/$n}"
    if [ "$n" = 1 ]; then timeout 60 "$@"; else timeout 60 "$RANKS" "$n" "$@"; fi >/dev/null 2>"$err"
    got=$?
    [ $got = "$code" ] || complain "exit $got, expected $code, on $n ranks: $*" "$err"
    grep -Eq -- "^fsfm: .*$regex" "$err" || complain "no /$regex/ on $n ranks: $*" "$err"
    [ "$(grep -c '^fsfm: ' "$err")" = 1 ] || complain "not one line on $n ranks: $*" "$err"
}
# A command that must fail on 1 and on 2 ranks; %N% in its words is the number of ranks. It runs until `settle`, beside
# others: mpirun takes two seconds to end after a failure, most of which it sleeps.
cases=0
refuse() { # CODE REGEX COMMAND...
    local n
    for n in 1 2; do
        while [ "$(jobs -rp | wc -l)" -ge 12 ]; do wait -n; done
        cases=$((cases + 1))
        refuse_on $n "$work/case-$cases" "$1" "$2" "${@:3}" &
    done
}
settle() { wait; }
accept() { # REGEX COMMAND...: exit 0 on 1 and on 2 ranks, and a line on stdout
    local regex=$1 n got
    shift
    for n in 1 2; do
        on $n "${@//%N%/$n}"
        got=$?
        [ $got = 0 ] || complain "exit $got on $n ranks: $*" "$work/err"
        grep -Eq -- "$regex" "$work/out" || complain "no /$regex/ on $n ranks: $*"
    done
}
pretrain=("$FSFM" pretrain "${small[@]}" run.dir="$work/run%N%")

# Configuration: nothing of a run comes to be.
refuse 2 'argument [0-9]+: mask.ratoi: unknown key; nearest known key: mask.ratio$' "${pretrain[@]}" mask.ratoi=1
refuse 2 "argument [0-9]+: mask.ratio: .*'much'" "${pretrain[@]}" mask.ratio=much
refuse 2 "argument [0-9]+: run.seed: .*'1.5'" "${pretrain[@]}" run.seed=1.5
refuse 2 "argument [0-9]+: mask.ratio: .*1.5" "${pretrain[@]}" mask.ratio=1.5
refuse 2 "argument [0-9]+: id.loss: .*cosine.*'cosin'" "${pretrain[@]}" id.loss=cosin
refuse 2 'argument [0-9]+: model.num_heads: .*divisor .*48.*found 5' "${pretrain[@]}" model.num_heads=5
refuse 2 'argument [0-9]+: train.(global_batch|slices): expected .*found 9' "${pretrain[@]}" train.global_batch=9
refuse 2 'argument [0-9]+: train.micro_batch: expected a divisor .*found 3' "${pretrain[@]}" train.reduction=fast train.micro_batch=3
refuse 2 'argument [0-9]+: train.slices: expected a power of two, found 3' "${pretrain[@]}" train.slices=3
refuse 2 'train.global_batch: .*512.* 16 ' "${pretrain[@]}" train.global_batch=512
refuse 2 'rep_decoder' "${pretrain[@]}" model.rep_decoder_embed_dim=64
refuse 2 'pretrain: expected a configuration' "$FSFM" pretrain
refuse 2 'nowhere.yaml: .*No such file' "$FSFM" pretrain "$work/nowhere.yaml"
printf 'mask:\n  ratio: [1\n' >"$work/torn.yaml"
refuse 2 'torn.yaml:[0-9]+:[0-9]+: ' "$FSFM" pretrain "$work/torn.yaml"
printf 'mask:\n  ratio: 0.5\n  ratoi: 1\n' >"$work/typo.yaml"
refuse 2 'typo.yaml:3:3: mask.ratoi: unknown key; nearest known key: mask.ratio$' "$FSFM" pretrain "$work/typo.yaml"
refuse 2 'run.dir' "${pretrain[@]}" run.dir=
settle
ls -d "$work"/run[12] 2>/dev/null && complain "a refused run leaves a folder"

# Sources of a dataset.
refuse 1 'nowhere' "$FSFM" pack "$work/nowhere" "$work/none%N%"
mkdir "$work/empty"
refuse 1 'empty: .*no images' "$FSFM" pack "$work/empty" "$work/none%N%"
names=($(ls "$work/faces/images" | sed 's/\.png$//'))
cp -r "$work/faces" "$work/bad"
rm "$work/bad/parsing_maps/${names[0]}.npy"                                                   # no map
truncate -s 5000 "$work/bad/images/${names[1]}.png"                                           # a PNG cut short
truncate -s 5000 "$work/bad/parsing_maps/${names[2]}.npy"                                     # a npy cut short
truncate -s 20 "$work/bad/parsing_maps/${names[3]}.npy"                                       # even in its head
printf '\100' | dd of="$work/bad/parsing_maps/${names[4]}.npy" bs=1 seek=2000 conv=notrunc status=none # label 64
"$FSFM" synth "$work/tiny" --count 1 --size 64 >/dev/null || fail "synth --size"
cp "$(ls "$work"/tiny/parsing_maps/*)" "$work/bad/parsing_maps/${names[5]}.npy" # a map of another size
printf '\377\330\377\340\0\020JFIF' >"$work/bad/images/cut.jpg"                 # a JPEG cut short
cp "$work/faces/parsing_maps/${names[0]}.npy" "$work/bad/parsing_maps/cut.npy"
refuse 1 '7 of 17 .*max-bad' "$FSFM" pack "$work/bad" "$work/worse%N%"
settle
accept '10 of 17' "$FSFM" pack "$work/bad" "$work/half%N%" --max-bad 0.5
diff -r "$work/half1" "$work/half2" >/dev/null && diff -r "$work/half1" "$work/worse2" >/dev/null || complain "packs differ"
quarantined() { # FILE REGEX
    grep -A1 "path: .*$1" "$work/half1/dataset.yaml" | grep -Eq "reason: .*($2)" ||
        complain "$1 is not quarantined for /$2/: $(grep -A1 "path: .*$1" "$work/half1/dataset.yaml")"
}
quarantined "${names[0]}.png" 'map missing'
quarantined "${names[1]}.png" 'image: .*(cut short|truncated|ends)'
quarantined "${names[2]}.png" "map parsing_maps/${names[2]}.npy: .*(cut short|truncated|ends|bytes)"
quarantined "${names[3]}.png" "map parsing_maps/${names[3]}.npy: "
quarantined "${names[4]}.png" 'label 64 .*lapa11'
quarantined "${names[5]}.png" '64 x 64, the image 224 x 224'
quarantined cut.jpg 'image: .*(cut short|truncated|ends|JPEG)'

# Datasets that cannot be trained on.
refuse 1 'data.path: .*nowhere.*dataset.yaml' "${pretrain[@]}" data.path="$work/nowhere"
refuse 2 'data.path: ' "${pretrain[@]}" data.path=
refuse 1 'data.path: .*empty.*dataset.yaml' "${pretrain[@]}" data.path="$work/empty"
refuse 1 'eval.path: .*nowhere' "${pretrain[@]}" eval.path="$work/nowhere"
"$FSFM" pack "$work/faces/images" "$work/plain" >/dev/null || fail "pack without maps"
refuse 2 'mask.strategy.*(maps|regions)' "${pretrain[@]}" data.path="$work/plain"
"$FSFM" pack "$work/faces" "$work/small" --size 64 >/dev/null || fail "pack --size 64"
refuse 2 'images of 64 pixels, expected model.img_size = 224' "${pretrain[@]}" data.path="$work/small"
cp -r "$data" "$work/short" && truncate -s -5000 "$work/short/shard-00000.h5"
refuse 1 'shard-00000.h5: .*(cut short|truncated)' "${pretrain[@]}" data.path="$work/short"
cp -r "$data" "$work/none" && rm "$work/none/shard-00000.h5"
refuse 1 'shard-00000.h5' "${pretrain[@]}" data.path="$work/none"
cp -r "$data" "$work/other" && printf 'x' | dd of="$work/other/shard-00000.h5" bs=1 seek=10 conv=notrunc status=none
refuse 1 'shard-00000.h5' "${pretrain[@]}" data.path="$work/other"
settle
for n in 1 2; do [ ! -e "$work/run$n/checkpoints" ] || complain "a run that did not start has checkpoints"; done
rm -rf "$work"/run[12]

# One byte of an image: healed and told once, up to data.max_bad.
cp -r "$data" "$work/flip"
printf '\377\0\377' | dd of="$work/flip/shard-00000.h5" bs=1 seek=400000 conv=notrunc status=none
printf '\377\0\377' | dd of="$work/flip/shard-00000.h5" bs=1 seek=600000 conv=notrunc status=none
accept '^damaged sample [0-9]+ of .*/flip replaced: .*shard-00000.h5' "${pretrain[@]}" data.path="$work/flip"
for n in 1 2; do
    [ "$(grep -c '"event": "bad_sample"' "$work/run$n/metrics.jsonl")" = 2 ] || complain "not two bad_sample events on $n ranks"
done
same_records run1 run2 train
# The list goes with the checkpoint: the same two samples do not count twice.
accept 'finished' "${pretrain[@]}" data.path="$work/flip" train.max_steps=6
rm -rf "$work"/run[12]
refuse 1 '2 damaged samples, more than data.max_bad = 1 .*inspect' "${pretrain[@]}" data.path="$work/flip" data.max_bad=1
settle
grep -q '"status": "failed", "exit_code": 1' "$work/run2/state.json" || complain "state.json: $(cat "$work/run2/state.json")"
rm -rf "$work"/run[12]

# Run directories.
touch "$work/file"
refuse 1 'run directory: .*/file: cannot be made a folder: Not a directory' "${pretrain[@]}" run.dir="$work/file/run"
refuse 1 'run directory: .*/file: .*' "${pretrain[@]}" run.dir="$work/file"
refuse 1 'proc/nowhere' "${pretrain[@]}" run.dir=/proc/nowhere/run
settle
mkdir "$work/held"
"$FSFM" pretrain "${small[@]}" train.max_steps=0 train.epochs=100000 checkpoint.every_steps=2 run.dir="$work/held" \
    >"$work/held.log" 2>&1 &
job=$!
wait_for held 6
cp "$work/held/metrics.jsonl" "$work/before"
refuse 1 "run directory $work/held is in use by host $(hostname), pid $job, renewed [0-9]+ s ago; wait" "${pretrain[@]}" \
    run.dir="$work/held" train.epochs=100000
while [ "$(jobs -rp | wc -l)" -gt 1 ]; do wait -n; done # but for the holder
head -c "$(stat -c %s "$work/before")" "$work/held/metrics.jsonl" | cmp -s - "$work/before" || complain "a refused second run writes"
kill -KILL $job
wait $job 2>/dev/null
[ -e "$work/held/lock" ] || complain "no lock is left by a killed run"
steps=$(grep -c '"kind": "train"' "$work/held/metrics.jsonl")
for n in 2 1; do # the lock of a killed one is not in the way
    steps=$((steps + 2))
    on $n "$FSFM" pretrain "${small[@]}" train.epochs=100000 train.max_steps=$steps run.dir="$work/held" &&
        grep -q '^resumes' "$work/out" && grep -q "^finished  $steps steps" "$work/out" ||
        complain "a killed run does not go on, on $n ranks" "$work/err"
done
[ ! -e "$work/held/lock" ] || complain "a lock is left by a run that ended"
ls -A "$work/held" | grep -q '^\.lock' && complain "marks of locks are left"

# Checkpoints that are damaged: named, and the newest good one used.
accept 'finished' "${pretrain[@]}" checkpoint.every_steps=1 train.max_steps=3
cp -r "$work/run1" "$work/kept1" && cp -r "$work/run2" "$work/kept2"
for n in 1 2; do
    truncate -s -1000 "$work/run$n/checkpoints/step-00000003.h5"
    printf '\252\125' | dd of="$work/run$n/checkpoints/step-00000002.h5" bs=1 seek=100000 conv=notrunc status=none
done
accept 'step-00000003.h5 cannot be used: ' "${pretrain[@]}" checkpoint.every_steps=1 train.max_steps=3
grep -q 'step-00000002.h5 cannot be used: .*checksum' "$work/out" || complain "a flipped byte of a checkpoint is not seen"
grep -q '^resumes   after step 1 ' "$work/out" || complain "the newest good checkpoint is not used"
for n in 1 2; do
    same_records run$n kept$n train
    same_weights run$n kept$n 3
    for file in "$work/run$n"/checkpoints/step-*; do truncate -s 1000 "$file"; done
    cp -r "$work/run$n" "$work/was$n"
done
refuse 1 'none of the 3 checkpoints can be used' "${pretrain[@]}" train.max_steps=4
settle
for n in 1 2; do diff -r -x state.json "$work/run$n" "$work/was$n" || complain "a run that cannot go on changes"; done
rm -rf "$work"/run[12] "$work"/was[12]
cp -r "$work/kept1" "$work/run1" && cp -r "$work/kept2" "$work/run2"

# Resumes that are not the same run: nothing of it changes.
refuse 2 'run[12]: mask.ratio: expected 0.75.*found 0.6' "${pretrain[@]}" train.max_steps=5 mask.ratio=0.6
settle
refuse 2 'optim.blr: expected 0.004.*found 0.001' "${pretrain[@]}" train.max_steps=5 optim.blr=0.001
settle
refuse 2 'train.slices: expected 2.*found 4' "${pretrain[@]}" train.max_steps=5 train.slices=4
settle
refuse 2 'data.path: the dataset is not the one' "${pretrain[@]}" train.max_steps=5 data.path="$work/half1"
settle
for n in 1 2; do diff -r "$work/run$n" "$work/kept$n" || complain "a refused resume changes the run"; done
cp -r "$data" "$work/moved"
accept 'finished  5 steps' "${pretrain[@]}" train.max_steps=5 data.path="$work/moved" run.threads=2 log.every_steps=2 \
    checkpoint.keep_last=2 run.device=cpu
accept 'finished  5 of 5 steps were done before' "${pretrain[@]}" train.max_steps=5
accept 'finished' "${pretrain[@]}" train.max_steps=1

# Full disks. A file's size is limited here; where it can be, a small disk is mounted.
rm -rf "$work"/run[12]
refuse 1 'model.init: .*nowhere' "${pretrain[@]}" model.init="$work/nowhere.h5"
settle
refuse 1 'model.init: .*shard-00000.h5' "${pretrain[@]}" model.init="$data/shard-00000.h5"
settle
rm -rf "$work"/run[12]
mkdir "$work/disk"
if mount -t tmpfs -o size=12m tmpfs "$work/disk" 2>/dev/null; then
    trap 'umount "$work/disk"; rm -rf "$work"' EXIT
    for n in 1 2; do
        on $n "$FSFM" pretrain "${small[@]}" checkpoint.every_steps=1 train.max_steps=2 run.dir="$work/disk/run" || complain "no run on a small disk" "$work/err"
        head -c 20M /dev/zero >"$work/disk/fill" 2>/dev/null
        on $n "$FSFM" pretrain "${small[@]}" checkpoint.every_steps=1 train.max_steps=4 run.dir="$work/disk/run"
        got=$?
        [ $got = 1 ] || complain "exit $got where the disk is full"
        [ "$(grep -c '^fsfm: ' "$work/err")" = 1 ] && grep -Eq '(No space|free)' "$work/err" || complain "not one line of a full disk" "$work/err"
        rm "$work/disk/fill"
        on $n "$FSFM" pretrain "${small[@]}" train.max_steps=4 run.dir="$work/disk/run" || complain "no going on after a full disk"
        grep -q '^resumes   after step 2 ' "$work/out" || complain "a full disk harmed the last checkpoint"
        rm -rf "$work/disk/run"
    done
    head -c 11M /dev/zero >"$work/disk/fill"
    refuse 1 'not enough (disk )?space' "$FSFM" pack "$work/faces" "$work/disk/data%N%" --shard-mib 1
    settle
    ls "$work/disk" | grep -v fill && complain "a pack that cannot fit leaves something"
    head -c 20M /dev/zero >>"$work/disk/fill" 2>/dev/null
    refuse 1 'run directory.*[Nn]o space' "${pretrain[@]}" run.dir="$work/disk/run%N%"
    settle
    rm "$work/disk/fill"
    mount -o remount,ro "$work/disk"
    refuse 1 'run directory.*[Rr]ead-only' "${pretrain[@]}" run.dir="$work/disk/run"
    refuse 1 'disk/data.*[Rr]ead-only' "$FSFM" pack "$work/faces" "$work/disk/data"
    settle
    umount "$work/disk"
    trap 'rm -rf "$work"' EXIT
fi

settle
[ ! -e "$work/complaints" ] || fail "$(grep -c ^FAIL "$work/complaints") failures"
echo "bad input: one line and the right exit code each, on 1 and 2 ranks"
