#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fsfm submit without SLURM: what the script asks for, what is refused, and what sbatch is given. Batch scripts are shell.
. "$SOURCE/tests/support/runs.sh" || exit 1
make_data 16
cd "$work" || exit 1
submit() { "$FSFM" submit "${small[@]}" "$@" >out 2>err; }
has() { # TEXT...
    for text in "$@"; do grep -qxF -- "$text" out || fail "the script lacks $text"; done
}
# As installed: what this machine was seen to reach (configs/machines/local.yaml) is not to be known here.
mkdir -p home/bin home/share/fsfm && cp "$FSFM" home/bin && cp -r "$SOURCE/configs" home/share/fsfm || exit 1
rm -f home/share/fsfm/configs/machines/local.yaml
FSFM=$work/home/bin/fsfm
for script in "$SOURCE"/jobs/slurm/*.sbatch; do bash -n "$script" || fail "$script"; done

submit --dry-run run.dir="runs/a b" train.global_batch=8 --nodes 2 --gpus-per-node 4 --time 1-00:00:00 --sbatch=--partition=x ||
    fail "with GPUs: $(cat err)"
has '#SBATCH --nodes=2' '#SBATCH --ntasks-per-node=4' '#SBATCH --gpus-per-node=4' '#SBATCH --cpus-per-task=8' \
    '#SBATCH --time=1-00:00:00' '#SBATCH --partition=x' "#SBATCH --output=\"$work/runs/a b/slurm-%j.out\"" "cd $work || exit 2"
grep -qE '^#SBATCH --mem=[0-9]+M$' out || fail "no memory"
cmp -s out "runs/a b/pretrain.sbatch" || fail "the script that is printed is not the one that is written"
bash -n out || fail "the script is no shell"
# Its words are those that were given.
sed -n '/^set --/p' out >words && (. ./words && printf '%s\n' "$@") >got
printf '%s\n' "${small[@]}" "run.dir=runs/a b" train.global_batch=8 run.threads=8 | diff - got || fail "the words of the script"

submit --dry-run run.dir=runs/c train.global_batch=8 || fail "on processors: $(cat err)"
has '#SBATCH --nodes=1' '#SBATCH --ntasks-per-node=1' '#SBATCH --exclusive'
grep -q 'not known how long' err || fail "that the time is not known is not said"
submit --dry-run run.dir=runs/c train.global_batch=8 run.threads=3 --gpus-per-node 2 --gpu h100 || fail "--gpu: $(cat err)"
has '#SBATCH --cpus-per-task=3' '#SBATCH --time=00:30:00'

# On processors the run is what was planned: with the ranks and the memory of a node, and the threads that a rank is given.
big=("$SOURCE/configs/pretrain_vit_t16.yaml" run.dir=runs/g train.global_batch=16384)
"$FSFM" submit "${big[@]}" --samples 3300000 --nodes 1024 --cpus-per-rank 48 --dry-run >out 2>err || fail "many nodes: $(cat err)"
sed -n '/^set --/p' out >words && (. ./words && printf '%s\n' "$@") >got
"$FSFM" plan "${big[@]}" --samples 3300000 --ranks 2 train.global_batch=32 comm.backend=mpi run.threads=48 --json >plan || fail "plan"
python3 - out got plan <<'P' || fail "what is asked for is not what is planned: $(tail -n 2 got)"
import json, re, sys
script, words, plan = open(sys.argv[1]).read(), open(sys.argv[2]).read().split(), json.load(open(sys.argv[3]))
assert words[-2:] == ["run.threads=48", f"train.micro_batch={plan['micro_batch']}"], words
memory, rank = int(re.search(r"--mem=(\d+)M", script)[1]), plan["memory"]["total_mib"]
assert plan["micro_batch"] > 1 and abs(memory / (256 + 1.2 * rank) - 1) < 0.03, (memory, rank)
P
words() { # ARGUMENT...: the end of the words of the script
    submit --dry-run run.dir=runs/h train.global_batch=8 "$@" || fail "$*: $(cat err)"
    sed -n '/^set --/p' out | grep -oE '( (run|train)\.[a-z_]*=[^ ]*)*$'
}
words --cpus-per-rank 2 | grep -q 'train.global_batch=8 run.threads=2 train.micro_batch=[1-8]$' || fail "words for 2 processors"
words train.micro_batch=2 run.threads=3 | grep -q '=8 train.micro_batch=2 run.threads=3$' || fail "what is given is given twice"
words --cpus-per-rank 2 train.reduction=exact train.slices=4 | grep -q 'train.slices=4 run.threads=2$' || fail "words in exact"
words | grep -q 'train.global_batch=8 train.micro_batch=[1-8]$' || fail "words for a whole node"
grep -q 'say --cpus-per-rank' err || fail "it is not said for how many processors the micro-batch is"

refused() { # CODE TEXT ARGUMENT...
    local code=$1 text=$2
    shift 2
    submit "$@"
    [ $? = "$code" ] && grep -q -- "^fsfm: .*$text" err && [ "$(wc -l <err)" = 1 ] || fail "$*: $(cat err)"
}
refused 2 'train.global_batch' --dry-run run.dir=runs/d train.global_batch=8 --nodes 3
refused 2 'run.dir' --dry-run run.dir= train.global_batch=8
refused 2 '--gpus-per-node' --dry-run run.dir=runs/d train.global_batch=8 --gpu h100
refused 2 'mask.ratio' --dry-run run.dir=runs/d mask.ratoi=1
[ ! -e runs/d ] || fail "a refused submission leaves a folder"

mkdir bin
export PATH=$work/bin:$PATH
printf '#!/bin/sh\nprintf "%%s\\n" "$@" >sbatch.words\necho "17;cluster"\n' >bin/sbatch
printf '#!/bin/sh\necho PENDING\n' >bin/squeue
chmod +x bin/*
submit run.dir=runs/e train.global_batch=8 || fail "submit: $(cat err)"
grep -q 'submitted job 17,' out && [ "$(cat runs/e/job)" = 17 ] && grep -qx 'runs/e/pretrain.sbatch' sbatch.words ||
    fail "what sbatch gets: $(cat out sbatch.words)"
refused 1 'job 17 waits' run.dir=runs/e train.global_batch=8
# Lines that a site's plugins print come before the number, and are shown; a last line that is no number is none.
cat >bin/sbatch <<'S'
#!/bin/sh
echo "sbatch: lua: 3 GPUs are left" >&2
echo 12 more
echo 18
echo "sbatch: warning: 19 jobs wait" >&2
S
submit run.dir=runs/i train.global_batch=8 && grep -q 'submitted job 18,' out && [ "$(cat runs/i/job)" = 18 ] ||
    fail "the number among other lines: $(cat out err)"
printf '%s\n' 'sbatch: lua: 3 GPUs are left' '12 more' 'sbatch: warning: 19 jobs wait' | diff - err || fail "sbatch's lines are not shown"
printf '#!/bin/sh\necho "sbatch: lua: come again"\necho 18 jobs wait\n' >bin/sbatch
refused 1 'expected the number of a job, found: sbatch: lua: come again|18 jobs wait' run.dir=runs/j train.global_batch=8
[ ! -e runs/j/job ] || fail "no job was submitted"
printf '#!/bin/sh\necho "sbatch: lua: hello"\necho "no such partition" >&2\nexit 1\n' >bin/sbatch
refused 1 'sbatch refuses.*no such partition' run.dir=runs/f train.global_batch=8
exit 0
