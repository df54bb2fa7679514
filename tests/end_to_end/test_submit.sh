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
printf '%s\n' "${small[@]}" "run.dir=runs/a b" train.global_batch=8 | diff - got || fail "the words of the script"

submit --dry-run run.dir=runs/c train.global_batch=8 || fail "on processors: $(cat err)"
has '#SBATCH --nodes=1' '#SBATCH --ntasks-per-node=1' '#SBATCH --exclusive'
grep -q 'not known how long' err || fail "that the time is not known is not said"
submit --dry-run run.dir=runs/c train.global_batch=8 run.threads=3 --gpus-per-node 2 --gpu h100 || fail "--gpu: $(cat err)"
has '#SBATCH --cpus-per-task=3' '#SBATCH --time=00:30:00'
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
printf '#!/bin/sh\necho "no such partition" >&2\nexit 1\n' >bin/sbatch
refused 1 'sbatch refuses.*no such partition' run.dir=runs/f train.global_batch=8
exit 0
