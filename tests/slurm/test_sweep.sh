#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A sweep of twelve runs as one array on a real SLURM: two are broken on purpose, one is told to stop and is requeued, the
# array is cancelled half-way, and submitting again finishes it. Nothing that was done runs again. Skipped without SLURM.
. "$SOURCE/tests/slurm/use.sh" || exit 1
make_data 32
cd "$work" || exit 1
# An epoch is 4 steps here, in the faster way of summing, so that a run takes some seconds: time to disturb it.
exact+=(data.path="$work/data")
lasts_s=2
choose_steps
cat >twelve.yaml <<Y
base: $SOURCE/configs/quickstart.yaml
set: {run.dir: sw, data.path: $work/data, train.global_batch: 8, train.epochs: $steps, run.threads: 1}
runs:
$(for ratio in 0.5 0.6 0.75 0.9; do
    for seed in 1 2 3; do
        case $ratio-$seed in
        0.5-2) echo "  - {mask.ratio: $ratio, run.seed: $seed, data.path: /nowhere}" ;;
        0.6-1) echo "  - {mask.ratio: $ratio, run.seed: $seed, train.global_batch: 64}" ;;
        *) echo "  - {mask.ratio: $ratio, run.seed: $seed}" ;;
        esac
    done
done)
Y
words=()
for word in "${small[@]:1}"; do
    case $word in data.path=* | train.*) ;; *) words+=("$word") ;; esac
done
sweep() { "$FSFM" sweep "$@" "${words[@]}"; }
count() { sweep status twelve.yaml --json | python3 -c "
import json, sys
print(sum(r['state'] == '$1' for r in json.load(sys.stdin)['runs']))"; }
submit() {
    sweep submit twelve.yaml --at-once 2 >submitted || fail "submit: $(cat submitted)"
    job=$(sed -n 's/.* as job \([0-9]*\),.*/\1/p' submitted)
    jobs+=("$job")
}
some_done() { [ "$(find sw -name state.json -exec grep -l '"done"' {} + 2>/dev/null | wc -l)" -ge 2 ]; }
training() { grep -q '"kind": "train"' "$1/metrics.jsonl" 2>/dev/null; }

submit
grep -q 'submitted 12 tasks' submitted || fail "what submit says: $(cat submitted)"
first=sw/$(sweep plan twelve.yaml | awk 'NR == 2 { print $1 }')
until_true 60 training "$first"
scancel --signal=USR1 --batch "${job}_0" # as SLURM does near the end of the time
until_true 120 some_done
scontrol hold "$job" # what has not begun waits, however slow this machine is
sweep submit twelve.yaml --skip-failed | grep -q 'nothing is left to submit' || fail "queued runs are submitted again"
scancel "$job"
left=$((12 - $(count 'done')))
[ $left -ge 3 ] || fail "the array was over before it was cancelled"
before=$(find sw -name state.json -exec grep -l '"done"' {} + | xargs -n 1 dirname | sed 's|$|/metrics.jsonl|' | xargs stat -c '%n %Y %s' | sort)

# At once: what SLURM is still ending is left too.
submit
grep -q "submitted $left tasks" submitted || fail "not all $left that are left are submitted: $(cat submitted)"
until_true 240 is_over "$job"
sweep status twelve.yaml >status
[ "$(count 'done')" = 10 ] && [ "$(count failed)" = 2 ] || fail "after submitting again: $(cat status)"
grep -q 'failed .*nowhere' status && grep -q 'failed .*train.global_batch: 64' status || fail "the reasons: $(cat status)"
[ "$(cut -d ' ' -f 1 <<<"$before" | xargs stat -c '%n %Y %s' | sort)" = "$before" ] || fail "a finished run ran again"
grep -q '"event": "resume"' sw/*/metrics.jsonl || fail "the run that was stopped did not go on"
sweep report twelve.yaml >report || fail report
[ "$(wc -l <sw/twelve.csv)" = 13 ] && [ "$(grep -c ',done,' sw/twelve.csv)" = 10 ] || fail "the report's CSV"
exit 0
