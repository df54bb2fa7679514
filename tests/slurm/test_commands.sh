#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# finetune.sbatch and pack.sbatch are pretrain.sbatch for other commands, which they find from SLURM's copies of them, also
# in a folder with a space in its name. As long as there is no `fsfm finetune` the job ends with the program's own line and
# 2, and is not requeued. With another command in its place that saves, stops and goes on it is requeued, or submits itself
# again. A pack that is broken off goes on where it was.
. "$SOURCE/tests/slurm/use.sh" || exit 1
make_whole
mkdir "a b" && cp "$SOURCE"/jobs/slurm/*.sbatch "a b" && script="$work/a b/finetune.sbatch" || exit 1

submit missing
missing=$job
until_true 60 is_over "$missing"
[ "$(state_of "$missing")" = FAILED ] || fail "job $missing is $(state_of "$missing")"
grep -q '^fsfm: finetune: unknown command' missing.out || fail "what is missing is not said: $(tail -n 5 missing.out)"
grep -q '^usage: fsfm COMMAND' missing.out && ! grep -qE 'requeue|No such file' missing.out || fail "not the end by 2: $(tail -n 5 missing.out)"

# A program whose finetune is pretrain, and which leaves its words.
cat >tuner <<'S'
#!/bin/sh
printf '%s\n' "$@" >words.$$ && mv words.$$ words
[ "$1" = finetune ] && shift && exec "$TEST_PROGRAM" pretrain "$@"
S
chmod +x tuner
export TEST_PROGRAM=$FSFM
FSFM=$work/tuner submit tuned
tuned=$job
FSFM=$work/tuner submit again --no-requeue # SLURM then refuses to
until_true 60 has_steps tuned 10
scancel --signal=TERM "$tuned"
until_true 60 has_steps again 10
scancel --signal=USR1 --batch "$job"
until_true 30 is_over "$job"
next=$(sed -n 's/^Submitted batch job //p' again.out)
[ -n "$next" ] && jobs+=("$next") || fail "no new job: $(tail -n 5 again.out)"
same_as_whole "$tuned" tuned 1
same_as_whole "$next" again 1
printf '%s\n' finetune "${exact[@]}" run.dir=. | diff - tuned/words >difference || fail "its arguments: $(cat difference)"
grep -q 'ends with 75: requeued' tuned.out || fail "not requeued by its script: $(tail -n 5 tuned.out)"

# The first time nothing comes of it.
"$FSFM" synth faces --count 24 --seed 5 >log && "$FSFM" pack faces whole-pack --shard-mib 1 >log || fail "synth, pack"
cat >packer <<'S'
#!/bin/sh
if [ "${SLURM_RESTART_COUNT:-0}" = 0 ]; then
    touch "begun.$SLURM_PROCID"
    exec sleep 600
fi
exec "$TEST_PROGRAM" "$@"
S
chmod +x packer
job=$(FSFM=$work/packer sbatch --parsable --nodes=2 --ntasks-per-node=2 --cpus-per-task=1 --time=5 --output=pack.out "a b/pack.sbatch" \
    faces packed --shard-mib 1) || fail "sbatch"
jobs+=("$job")
until_true 60 test -e begun.3
scancel --signal=USR1 --batch "$job"
until_true 120 is_over "$job"
[ "$(state_of "$job")" = COMPLETED ] || fail "job $job is $(state_of "$job"): $(tail -n 5 pack.out)"
grep -qE 'ends with 1[0-9]+: requeued' pack.out || fail "not requeued by its script: $(tail -n 5 pack.out)"
diff -r whole-pack packed >difference || fail "what was packed differs: $(head -n 3 difference)"
