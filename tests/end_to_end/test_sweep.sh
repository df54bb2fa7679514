#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `fsfm sweep`: runs broken on purpose, sweeps that are killed, stopped, repeated, side by side; nothing runs twice, and the
# report has it right. SLURM is played by scripts here.
. "$SOURCE/tests/support/runs.sh" || exit 1
make_data 16
cd "$work" || exit 1
words=("${small[@]:1}" train.global_batch=8 train.max_steps=4 checkpoint.every_steps=1 run.threads=1)
sweep() { "$FSFM" sweep "$@" "${words[@]}"; }
starts() { grep -c '"event": "start"' "$1/metrics.jsonl"; } # RUN: how often it was begun
state() { "$FSFM" sweep status "$1" --json "${words[@]}" "${@:3}" | python3 -c "
import json, sys
print(sum(r['state'] == '$2' for r in json.load(sys.stdin)['runs']))"; }
wait_file() { # FILE
    for _ in $(seq 600); do
        [ -s "$1" ] && return
        sleep 0.05
    done
    fail "$1 does not come to be"
}

# Two broken ones among six: no such data, and a batch of more faces than there are.
cat >six.yaml <<Y
base: $SOURCE/configs/quickstart.yaml
runs:
  - {mask.ratio: 0.6, run.seed: 1}
  - {mask.ratio: 0.6, run.seed: 1, data.path: nowhere}
  - {mask.ratio: 0.6, run.seed: 2}
  - {mask.ratio: 0.75, run.seed: 1}
  - {mask.ratio: 0.75, run.seed: 2, train.global_batch: 64}
  - {mask.ratio: 0.75, run.seed: 2}
metric: train.loss
Y
words=("${words[@]/train.global_batch=8/optim.clip=1}")
words=("${words[@]/data.path=*/optim.eps=1e-8}")
sed -i "s|^runs:|set: {train.global_batch: 8, data.path: $work/data, run.dir: six}\nruns:|" six.yaml
[ "$(sweep plan six.yaml | grep -c 'waiting  run$')" = 6 ] || fail "plan of six"
[ ! -e six ] || fail "plan leaves a folder"

# Killed, with all that it started, while its third run computes.
setsid "$FSFM" sweep run six.yaml "${words[@]}" >first.log 2>&1 &
pid=$!
for _ in $(seq 600); do
    grep -q '^run  *3/6' first.log && break
    sleep 0.05
done
third=$(awk '$1 == "run" && $2 == "3/6" { print $3 }' first.log)
wait_file "six/$third/metrics.jsonl"
kill -9 -- -$pid
wait $pid 2>/dev/null
[ "$(state six.yaml failed)" = 1 ] || fail "states after a kill"
[ $(($(state six.yaml 'done') + $(state six.yaml 'broken off'))) = 2 ] || fail "the killed run is not broken off"
first=$(awk '$1 == "done" { print $3; exit }' first.log)
before=$(stat -c %Y.%s "six/$first/metrics.jsonl")

# Repeated: the rest is done, failures are told, the finished one is left alone. A failure costs exit code 1.
sweep run six.yaml >second.log 2>&1
[ $? = 1 ] || fail "exit code of a sweep with failures"
grep -q '^fsfm: 2 of 6 runs failed' second.log || fail "no line about failures"
[ "$(state six.yaml 'done')" = 4 ] && [ "$(state six.yaml failed)" = 2 ] || fail "states after the second time"
[ "$(stat -c %Y.%s "six/$first/metrics.jsonl")" = "$before" ] || fail "a finished run ran again"
sweep status six.yaml >status || fail status
grep -Eq ' failed +.*nowhere' status || fail "no reason for the missing data"
grep -Eq ' failed +.*train.global_batch: .*16' status || fail "no reason for the batch"
for run in six/*/; do
    [ "$run" = "six/$third/" ] || [ ! -e "$run/metrics.jsonl" ] || [ "$(starts "$run")" = 1 ] || fail "$run ran twice"
done

# --skip-failed leaves them; a repaired one is finished by repeating.
sweep run six.yaml --skip-failed >third.log 2>&1
[ $? = 1 ] && ! grep -q '^run ' third.log || fail "--skip-failed runs something"
cp -r data nowhere
sweep run six.yaml >fourth.log 2>&1
[ "$(state six.yaml 'done')" = 5 ] || fail "the repaired run"

# The report: a head and a line a run, best first; means over seeds are those of the records.
sweep report six.yaml >report || fail report
[ "$(wc -l <six/six.csv)" = 7 ] || fail "lines of the CSV"
for picture in mask.ratio run.seed train.global_batch data.path masks; do
    [ -s "six/six-$picture.png" ] || fail "no picture of $picture"
done
grep -q '^failed$' report && grep -q 'train.global_batch' report || fail "the report has no failures"
sweep report six.yaml --json 2>/dev/null >report.json || fail "report --json"
python3 - <<'P' || fail "the numbers of the report"
import csv, json, math
rows = list(csv.DictReader(open("six/six.csv")))
d = json.load(open("report.json"))
last = {}
for r in rows:
    if r["state"] != "done":
        assert r["rank"] == "" and r["train.loss"] == "" and r["exit_code"] == "2", r
        continue
    v = [json.loads(l) for l in open(r["folder"] + "/metrics.jsonl")]
    last[r["id"]] = [x["loss"] for x in v if x["kind"] == "train"][-1]
    assert float(r["train.loss"]) == last[r["id"]], r
    assert r["steps"] == "4", r
assert [r["id"] for r in rows if r["rank"]] == sorted(last, key=last.get) and len(last) == 5, rows
assert [r["id"] for r in d["runs"]] == [r["id"] for r in rows]
for g in d["groups"]:
    v = [last[i] for i in g["runs"] if i in last]
    assert g["done"] == len(v), g
    if v:
        m = sum(v) / len(v)
        assert abs(g["mean"] - m) < 1e-12, g
    if len(v) > 1:
        assert abs(g["sd"] - math.sqrt(sum((x - m) ** 2 for x in v) / (len(v) - 1))) < 1e-12, g
assert sorted(len(g["runs"]) for g in d["groups"]) == [1, 1, 2, 2], d["groups"]
P

# Two sweeps in one folder that share runs, and one of them twice at the same time: every run is begun once.
words=("${small[@]:1}" train.global_batch=8 train.max_steps=3 run.threads=1 run.dir=shared)
printf 'base: %s\ngrid:\n  mask.ratio: [0.5, 0.6]\n  run.seed: [1, 2]\n' "$SOURCE/configs/quickstart.yaml" >a.yaml
printf 'base: %s\ngrid:\n  run.seed: [2, 3]\n  mask: {ratio: [0.6, 0.7]}\n' "$SOURCE/configs/quickstart.yaml" >b.yaml
pids=()
for file in a a b; do
    sweep run $file.yaml >"side-${#pids[@]}.log" 2>&1 &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || fail "a sweep side by side: exit $?"; done
[ "$(find shared -name state.json | wc -l)" = 7 ] || fail "$(find shared -name state.json | wc -l) runs, expected 7"
sweep run a.yaml >/dev/null && sweep run b.yaml >/dev/null || fail "sweeps side by side, again"
[ "$(state a.yaml 'done')$(state b.yaml 'done')" = 44 ] || fail "sweeps side by side are not done"
for run in shared/*/; do
    [ "$(starts "$run")" = 1 ] || fail "$run was begun $(starts "$run") times"
done
sweep report a.yaml >/dev/null && sweep report b.yaml >/dev/null && [ -s shared/a.csv ] && [ -s shared/b.csv ] || fail "two reports"

# A signal stops the run at hand with its checkpoint: 75, and the same command goes on. Then the sweep alone is killed: its
# run is told, stops by itself, and the sweep that comes next waits for it.
words=("${small[@]:1}" train.global_batch=8 run.threads=1 run.dir=stopped)
printf 'base: %s\ngrid: {run.seed: [5]}\n' "$SOURCE/configs/quickstart.yaml" >one.yaml
"$FSFM" sweep run one.yaml "${words[@]}" >stop.log 2>&1 &
pid=$!
for _ in $(seq 600); do
    grep -q '"kind": "train"' stopped/*/metrics.jsonl 2>/dev/null && break
    sleep 0.05
done
kill -TERM $pid
wait $pid
code=$?
[ $code = 75 ] || [ $code = 0 ] || fail "exit code $code at TERM"
[ $code = 0 ] || [ "$(state one.yaml stopped)" = 1 ] || fail "no state stopped"
"$FSFM" sweep run one.yaml "${words[@]}" >again.log 2>&1 &
pid=$!
for _ in $(seq 600); do
    grep -q '^\(run\|1 run\)' again.log 2>/dev/null && break
    sleep 0.05
done
kill -9 $pid
wait $pid 2>/dev/null
sweep run one.yaml >last.log 2>&1 || fail "after the sweep alone was killed"
[ "$(state one.yaml 'done')" = 1 ] || fail "the orphan is not done"

# One run alone that another sweep is at: it is waited for, and where that takes too long 75 tells to come again.
words=("${small[@]:1}" train.global_batch=8 train.epochs=40 run.threads=1 run.dir=busy)
"$FSFM" sweep run one.yaml "${words[@]}" >busy.log 2>&1 &
pid=$!
for _ in $(seq 600); do
    grep -q '"kind": "train"' busy/*/metrics.jsonl 2>/dev/null && break
    sleep 0.05
done
busy=$(basename busy/*)
sweep run one.yaml --run "$busy" --wait 0 >wait.log 2>&1
[ $? = 75 ] && grep -q ' left to host' wait.log || fail "a run that another sweep is at: $(cat wait.log)"
sweep run one.yaml --run "$busy" >wait.log 2>&1 && grep -q '^wait .*: host' wait.log && grep -q '^1 run: 1 done' wait.log ||
    fail "a run that another sweep is at is not waited for: $(cat wait.log)"
wait $pid && [ "$(starts "busy/$busy")" = 1 ] || fail "the run that was waited for: $(cat busy.log)"

# Each run on ranks, and a launcher that is not there.
words=("${small[@]:1}" train.global_batch=8 train.max_steps=2 run.threads=1 run.dir=ranks)
"$FSFM" sweep run one.yaml --launcher 'no-such-launcher -x' "${words[@]}" >/dev/null 2>&1
[ $? = 1 ] || fail "exit code without a launcher"
sweep status one.yaml | grep -q 'failed  no-such-launcher: cannot be started' || fail "reason without a launcher"
"$FSFM" sweep run one.yaml --ranks 2 "${words[@]}" >/dev/null || fail "a run on two ranks"
grep -q '"ranks": 2' ranks/*/metrics.jsonl || fail "no two ranks"

# As an array: sbatch, squeue and scontrol are scripts; tasks are run by hand, one is broken off and requeued.
mkdir -p bin
cat >bin/sbatch <<'S'
#!/bin/sh
cp "$2" "$SLURM_PLAY/script" && echo 77
S
cat >bin/squeue <<'S'
#!/bin/sh
case "$*" in
*%A*)
    echo "$*" >>"$SLURM_PLAY/asked"
    for task in 0 1 2 3; do sed "s/^/77 77_$task /" "$SLURM_PLAY/state"; done
    ;;
*%e*) echo NONE ;;
*) cat "$SLURM_PLAY/state" ;;
esac
S
cat >bin/scontrol <<'S'
#!/bin/sh
case "$*" in
'show config') echo "MaxArraySize            = $(cat "$SLURM_PLAY/array_max")" ;;
*) echo "$@" >>"$SLURM_PLAY/requeued" ;;
esac
S
echo 1001 >array_max
chmod +x bin/*
export SLURM_PLAY=$work
plain_path=$PATH
PATH=$work/bin:$PATH
echo PENDING >state
words=("${small[@]:1}" train.global_batch=8 train.max_steps=160 train.epochs=80 run.threads=1 "run.dir=ar ray" "model.init=")
sweep submit a.yaml --nodes 2 --gpus-per-node 4 --time 1:00:00 --at-once 2 --sbatch=--partition=gpu --dry-run >dry 2>dry.log || fail "submit --dry-run"
[ ! -e script ] && [ -z "$(find "ar ray" -type f)" ] || fail "--dry-run submits, or leaves files"
[ "$(head -n 1 dry)" = '#!/usr/bin/env bash' ] && bash -n dry && grep -q '4 tasks would be submitted' dry.log || fail "what --dry-run prints"
for line in '#SBATCH --array=0-3%2' '#SBATCH --nodes=2' '#SBATCH --ntasks-per-node=4' '#SBATCH --gpus-per-node=4' '#SBATCH --time=1:00:00' \
    '#SBATCH --partition=gpu' '#SBATCH --requeue' '#SBATCH --cpus-per-task=1'; do
    grep -qxF -- "$line" dry || fail "no $line"
done
# Memory is that of the run that needs most, wherever it stands; processors are those of its threads, which runs that do not
# say them are given.
memory() { # VALUES [WORD...]
    printf 'base: %s\ngrid: {model.depth: [%s]}\n' "$SOURCE/configs/quickstart.yaml" "$1" >deep.yaml
    "$FSFM" sweep submit deep.yaml --dry-run "${words[@]/model.depth=*/optim.clip=1}" run.dir=deep "${@:2}" 2>deep.log >deep.dry || fail "submit of other depths: $(cat deep.log)"
    sed -n 's/^#SBATCH --mem=\([0-9]*\)M$/\1/p' deep.dry
}
most=$(memory '2, 40, 4')
few=$(memory '2, 4') lone=$(memory 40) # what the program itself takes differs a little each time
[ "$most" -gt $((few + 8)) ] && [ "$most" -ge $((lone - 4)) ] && [ "$most" -le $((lone + 4)) ] || fail "memory: $most, $few, $lone"
memory 2 run.threads=auto >/dev/null && grep -qx '#SBATCH --exclusive' deep.dry && ! grep -q '^sweep=.* run.threads=[0-9]*)$' deep.dry || fail "threads that are not said"
memory 2 run.threads=auto --cpus-per-rank 3 >/dev/null && grep -qx '#SBATCH --cpus-per-task=3' deep.dry && grep -q '^sweep=.* run.threads=3)$' deep.dry ||
    fail "threads by --cpus-per-rank"
memory 2 data.path=/nowhere | grep -q . && fail "memory without data"
grep -q "^memory  *the site's, as no run can be planned here: .*/nowhere" deep.log || fail "what submit says without data: $(cat deep.log)"
sweep submit a.yaml >submit.log || fail submit
grep -q 'submitted 4 tasks as job 77' submit.log || fail "what submit says"
cp script first
bash -n script || fail "the script"
[ "$(state a.yaml queued)" = 4 ] || fail "submitted runs are not queued"
# More than an array may have are several, which keep --at-once by waiting for one another.
echo 3 >array_max
"$FSFM" sweep submit a.yaml --at-once 2 "${words[@]}" run.dir=arrays >submit.log || fail "submit of two arrays"
grep -q 'submitted 3 tasks as job 77, .*a-1.sbatch' submit.log && grep -q 'submitted 1 task as job 77, .*a-2.sbatch' submit.log ||
    fail "two arrays: $(cat submit.log)"
grep -qx '#SBATCH --array=0-0%2' script && grep -qx '#SBATCH --dependency=afterany:77' script || fail "the second array"
! grep -q "^#SBATCH --dependency" arrays/slurm/a-1.sbatch && cat arrays/*/sweep/job | sort | uniq -c | awk '{ print $1 $2 }' | cmp -s - <(printf '%s\n' 277_0 177_1 177_2) ||
    fail "jobs of two arrays: $(cat arrays/*/sweep/job)"
echo 1001 >array_max
rm script asked
sweep submit a.yaml | grep -q 'nothing is left to submit' && [ ! -e script ] || fail "queued runs are submitted again"
[ "$(cat asked)" = '-h -r -o %A %i %T -j 77' ] || fail "SLURM is asked $(wc -l <asked) times: $(cat asked)"
# What SLURM is ending counts when that is over: it waits again where it is requeued, else it is left.
changes() { # FILE: what SLURM says in four seconds
    echo COMPLETING >state
    (sleep 4 && cp "$1" state.new && mv state.new state) &
}
echo PENDING >waiting
: >nothing
changes waiting
sweep submit a.yaml >submit.log || fail "submit while tasks are requeued"
wait $!
grep -q '^wait  *SLURM is ending 4 of the runs' submit.log && grep -q 'nothing is left to submit' submit.log ||
    fail "submit while tasks are requeued: $(cat submit.log)"
changes nothing
sweep submit a.yaml >submit.log && wait $! && grep -q 'submitted 4 tasks' submit.log ||
    fail "submit while tasks are cancelled: $(cat submit.log)"
echo PENDING >state
mv bin/squeue bin/squeue.first
printf '#!/bin/sh\necho "slurm_load_jobs error: Unable to contact slurm controller"\nexit 1\n' >bin/squeue
chmod +x bin/squeue
rm script
sweep submit a.yaml >submit.log 2>&1
[ $? = 1 ] && grep -q '^fsfm: squeue: expected' submit.log && [ ! -e script ] || fail "submit without an answer: $(cat submit.log)"
mv bin/squeue.first bin/squeue
# A file a submission, which no later one changes.
[ "$(ls "ar ray/slurm")" = "$(printf 'a-%d.sbatch\n' 1 2)" ] && cmp -s "ar ray/slurm/a-1.sbatch" first || fail "scripts: $(ls "ar ray/slurm")"
cp "ar ray/slurm/a-1.sbatch" script
export SLURM_ARRAY_JOB_ID=77 SLURM_ARRAY_TASK_ID=0 FSFM_LAUNCHER=''
echo RUNNING >state
bash script >task.log 2>&1 &
pid=$!
for _ in $(seq 600); do
    grep -q '"kind": "train"' "ar ray"/*/metrics.jsonl 2>/dev/null && break
    sleep 0.05
done
kill -USR1 $pid
wait $pid
[ $? = 75 ] && [ "$(cat requeued)" = "requeue 77_0" ] || fail "a task at USR1: $(tail -2 task.log)"
# TERM alone: a task whose time is over is requeued all the same, one that was cancelled is not. An answer that fails to come is asked for again. Settings come from a file, which a signal may interrupt.
stop_first() { # SIGNAL STATE MESSAGE
    rm -f requeued
    bash script >task.log 2>&1 &
    pid=$!
    first_records=$(cat "ar ray"/*/metrics.jsonl | grep -c '"kind": "train"')
    for _ in $(seq 600); do
        [ "$(cat "ar ray"/*/metrics.jsonl | grep -c '"kind": "train"')" -gt "$first_records" ] && break
        sleep 0.05
    done
    echo "$2" >state
    kill "-$1" $pid
    wait $pid
    code=$?
    echo RUNNING >state
    [ $code = 75 ] && grep -q "$3" task.log || fail "a task at $1, $2: $code, $(tail -n 3 task.log)"
}
stop_first TERM 'COMPLETING TimeLimit' 'ends with 75: requeued'
[ "$(cat requeued)" = "requeue 77_0" ] || fail "a task whose time is over is not requeued"
stop_first TERM 'COMPLETING None' 'it was cancelled, or SLURM requeues it'
[ ! -e requeued ] || fail "a task that was cancelled is requeued"
mv bin/squeue bin/squeue.first
cat >bin/squeue <<'S'
#!/bin/sh
echo >>"$SLURM_PLAY/tries"
case $(wc -l <"$SLURM_PLAY/tries") in 1 | 2) exit 1 ;; esac
exec "$0.first" "$@"
S
chmod +x bin/squeue
rm -f tries
stop_first TERM RUNNING 'ends with 75: requeued'
[ "$(wc -l <tries)" = 3 ] || fail "squeue was asked $(wc -l <tries) times"
mv bin/squeue.first bin/squeue
printf 'sleep 2\ntrue\n' >setup
FSFM_SETUP=$PWD/setup bash script >task.log 2>&1 &
pid=$!
sleep 0.5
kill -TERM $pid
wait $pid
[ $? = 75 ] && grep -q 'ends with 75: requeued' task.log || fail "a task at TERM before it began: $(cat task.log)"
sed -i 's/NONE/2100-01-01T00:00:00/' bin/squeue
FSFM_TIME_RESERVE=$(($(date -d 2100-01-01T00:00:00 +%s) - $(date +%s) - 1)) bash script >task.log 2>&1
[ $? = 75 ] && grep -q 'stopped by the time limit' "$PWD/ar ray/slurm"/../*/output.log task.log || fail "a task with its time kept back: $(cat task.log)"
sed -i 's/2100-01-01T00:00:00/NONE/' bin/squeue
FSFM_END_TIME=1 bash script >task.log 2>&1 || fail "the requeued task: $(cat task.log)" # not the end of another job
bash script >>task.log 2>&1 || fail "a task whose run is done"
# Ranks are bound to cores, and see all GPUs.
printf '#!/bin/sh\necho "$*" >>"$SLURM_PLAY/srun"\nexit 1\n' >bin/srun
chmod +x bin/srun
(unset FSFM_LAUNCHER && SLURM_ARRAY_TASK_ID=2 SLURM_CPUS_PER_TASK=3 SLURM_GPUS_ON_NODE=2 FSFM_SRUN='--wait=5 --label' bash script) >task.log 2>&1
[ $? = 1 ] && grep -q -- '--wait=60 --cpus-per-task=3 --cpu-bind=cores --distribution=block:block --wait=5 --label .*fsfm pretrain' srun || fail "how ranks are bound: $(cat srun)"
[ "$(cat "ar ray"/*/metrics.jsonl | grep -c '"event": "start"')" -ge 4 ] || fail "the task's run was not begun again each time"
# Where requeueing is refused a task is submitted anew, alone, within the budget; the sweep knows that its run waits.
cp bin/sbatch bin/sbatch.first
printf '#!/bin/sh\nprintf "%%s\\n" "$@" >"$SLURM_PLAY/again"\necho "78;cluster"\n' >bin/sbatch
printf '#!/bin/sh\nexit 1\n' >bin/scontrol
export SLURM_ARRAY_TASK_ID=1 SLURM_JOB_ID=79 SLURM_JOB_PARTITION=main FSFM_RESTARTS=2
second="ar ray"/$(sed -n 's/^ids=([^ ]* \([^ ]*\) .*/\1/p' script)
stop_second() { # CODE LOG
    local pid before code=0
    before=$(grep -c '"kind": "train"' "$second/metrics.jsonl" 2>/dev/null)
    bash script >"$2" 2>&1 &
    pid=$!
    for _ in $(seq 600); do
        [ "$(grep -c '"kind": "train"' "$second/metrics.jsonl" 2>/dev/null || :)" -gt "${before:-0}" ] 2>/dev/null && break
        sleep 0.05
    done
    kill -USR1 $pid
    wait $pid || code=$?
    [ $code = "$1" ] || fail "a task at USR1: $code, $(tail -n 3 "$2")"
}
stop_second 75 second.log
grep -q '^task 77_1 cannot be requeued; in its place: sbatch .*--array=1 ' second.log || fail "the line is not printed: $(cat second.log)"
grep -qx -- '--array=1' again && grep -qx -- '--export=ALL,FSFM_RESTARTS=3' again && grep -qx 'script' again || fail "what sbatch gets: $(cat again)"
[ "$(cat "$second/sweep/job")" = 78_1 ] || fail "the sweep does not know of the new job"
FSFM_REQUEUES=2 stop_second 75 second.log
grep -q 'task 77_1 ends with 75, started again 2 times: no more' second.log || fail "the budget: $(tail -n 3 second.log)"
unset FSFM_RESTARTS SLURM_JOB_ID SLURM_JOB_PARTITION
mv bin/sbatch.first bin/sbatch
: >state # SLURM forgets the job: what is left may be submitted again
sweep submit a.yaml >submit.log || fail "submit again"
grep -q 'submitted 3 tasks' submit.log || fail "submit again: $(cat submit.log)"
PATH=$plain_path
if ! command -v sbatch >/dev/null; then
    sweep submit a.yaml >/dev/null 2>err
    [ $? = 1 ] && grep -q '^fsfm: sbatch is not there' err && [ "$(wc -l <err)" = 1 ] || fail "submit without SLURM"
fi

# Runs that cannot be, for a value of theirs, are failed ones from the start; the others go on.
words=("${small[@]:1}" train.global_batch=8 train.max_steps=2 run.threads=1 run.dir=part)
cat >part.yaml <<Y
base: $SOURCE/configs/quickstart.yaml
grid: {run.seed: [1, 2], mask.ratio: [1.5, 0.6, high]}
Y
sweep plan part.yaml >plan 2>err || fail "plan with runs that cannot be: $(cat err)"
[ "$(grep -c 'nothing, it cannot be: part.yaml:2:[0-9]*: mask.ratio: expected a number' plan)" = 4 ] && grep -q '^6 runs: 4 failed, 2 waiting' plan ||
    fail "plan with runs that cannot be: $(cat plan)"
sweep run part.yaml >run.log 2>err
[ $? = 1 ] && grep -q '^6 runs: 2 done, 4 failed' run.log && grep -q '^fsfm: 4 of 6 runs failed' err || fail "run with runs that cannot be: $(cat run.log err)"
[ "$(find part -name state.json | wc -l)" = 2 ] && [ "$(find part -mindepth 1 -maxdepth 1 -type d | wc -l)" = 2 ] || fail "a run that cannot be has a folder"
sweep status part.yaml --json | python3 -c "
import json, sys
bad = [r for r in json.load(sys.stdin)['runs'] if r['state'] == 'failed']
assert [r['exit_code'] for r in bad] == [2] * 4 and all('mask.ratio' in r['reason'] for r in bad), bad
assert [r['values'] for r in bad][:2] == [{'run.seed': 1, 'mask.ratio': 1.5}, {'run.seed': 1, 'mask.ratio': 'high'}], bad" || fail "status of runs that cannot be"
sweep run part.yaml --run "$(awk '/cannot be/ { print $1; exit }' plan)" >run.log 2>err
[ $? = 2 ] || fail "a run alone that cannot be: $(cat run.log err)"
sweep report part.yaml >report 2>err && [ "$(grep -c ',failed,' part/part.csv)" = 4 ] && grep -q "found 'high'" report || fail "report with runs that cannot be: $(cat err)"
[ -s part/part-run.seed.png ] && [ -s part/part-masks.png ] || fail "pictures with runs that cannot be"
sweep submit part.yaml >submit.log && grep -q 'nothing is left to submit' submit.log && [ "$(grep -c '^failed .*mask.ratio: expected' submit.log)" = 4 ] ||
    fail "submit with runs that cannot be: $(cat submit.log)"

# What cannot be: one line with its place, and nothing is begun.
words=("${small[@]:1}" run.dir=bad)
refuse() { # REGEX YAML [WORD...]
    local regex=$1 got
    printf '%b' "$2" >bad.yaml
    "$FSFM" sweep run bad.yaml "${words[@]}" "${@:3}" >out 2>err
    got=$?
    [ $got = 2 ] && grep -Eq -- "$regex" err && [ "$(wc -l <err)" = 1 ] && [ ! -s out ] && [ ! -e bad ] || {
        head -3 err
        fail "expected exit 2 and the line /$regex/, got exit $got: $2"
    }
}
base="base: $SOURCE/configs/quickstart.yaml\n"
refuse '^fsfm: bad.yaml:3:3: mask.ratoi: unknown key; nearest known key: mask.ratio$' "${base}grid:\n  mask.ratoi: [1]\n"
refuse "^fsfm: bad.yaml:3:21: mask.ratio: expected a number .*, found 'high'$" "${base}grid:\n  mask.ratio: [     high]\n"
refuse '^fsfm: argument [0-9]+: mask.ratio: expected a number .*, found .1.5.$' "${base}grid:\n  run.seed: [1, 2]\n" mask.ratio=1.5
refuse '^fsfm: bad.yaml:2:20: mask.ratio: expected a number .*, found .1.5.$' "${base}set: {mask.ratio:  1.5}\ngrid:\n  run.seed: [1, 2]\n"
refuse '^fsfm: bad.yaml:3:15: mask.ratio: expected a list of values, found an empty one$' "${base}grid:\n  mask.ratio: []\n"
refuse '^fsfm: bad.yaml:2:7: grid: expected .*, found an empty map$' "${base}grid: {}\n"
refuse '^fsfm: bad.yaml:2:7: runs: expected .*, found an empty list$' "${base}runs: []\n"
refuse '^fsfm: bad.yaml:1:1: expected grid or runs, found neither$' "$base"
refuse '^fsfm: bad.yaml:3:21: mask.ratio: expected different values, found 0.6 twice$' "${base}grid:\n  mask.ratio: [0.6, 0.60]\n"
refuse '^fsfm: bad.yaml:4:[0-9]+: run 2: expected different runs, found run 1 \(line 3\) again$' "${base}runs:\n  - mask.ratio: 0.6\n  - mask: {ratio: 0.6}\n"
refuse '^fsfm: bad.yaml:1:7: base: nowhere.yaml: .*No such file' "base: nowhere.yaml\ngrid:\n  mask.ratio: [0.6]\n"
refuse '^fsfm: bad.yaml:2:1: gird: unknown key; nearest known key: grid$' "${base}gird:\n  mask.ratio: [0.6]\n"
refuse '^fsfm: bad.yaml:2:9: metric: los: unknown metric; nearest known metric: loss$' "${base}metric: los\ngrid:\n  mask.ratio: [0.6]\n"
refuse '^fsfm: bad.yaml:3:21: train.slices: expected a power of two, found 3$' "${base}grid:\n  train.slices: [   3]\n"
refuse '^fsfm: argument [0-9]+: mask.ratio: .* swept \(bad.yaml:3\)$' "${base}grid:\n  mask.ratio: [0.6]\n" mask.ratio=0.7
refuse '^fsfm: bad.yaml:3:12: run.dir: expected another key' "${base}grid:\n  run.dir: [a]\n"
refuse "^fsfm: run.dir: expected .* run itself" "${base}grid:\n  run.seed: [1]\n" "run.dir=$(dirname "$(find "$work/shared" -name state.json | head -1)")"
refuse '^fsfm: --run: expected the id of a run' "${base}grid:\n  run.seed: [1]\n" --run zzz
exit 0
