# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# use.sh - sourced by the tests here: the cluster that the fixture brought up (77, "skipped", where there is none), a small
# dataset, jobs, and what they leave. Jobs of a test that fails are cancelled.
[ -n "${FSFM_CLUSTER_DIR:-}" ] && [ -r "$FSFM_CLUSTER_DIR/env" ] || {
    echo "no SLURM of two virtual nodes here: the test slurm.cluster_up says why"
    exit 77
}
. "$FSFM_CLUSTER_DIR/env" || exit 1
. "$SOURCE/tests/support/runs.sh" || exit 1
unset OMPI_MCA_btl_vader_single_copy_mechanism OMPI_MCA_rmaps_base_oversubscribe
export FSFM_SRUN=--wait=5 # not a minute
jobs=()
clean_up() {
    [ ${#jobs[@]} = 0 ] || scancel --quiet "${jobs[@]}" 2>/dev/null
    [ ${#jobs[@]} = 0 ] || until_true 30 is_over "${jobs[@]}"
    cd / && rm -rf "$work"
}
trap clean_up EXIT
until_true() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "waited too long for: $*
$(squeue 2>&1; tail -n 12 "$work"/*.out "$work"/*/*.out 2>/dev/null)"
        sleep 0.2
    done
}
is_over() { # JOB...
    local job
    for job in "$@"; do [ -z "$(squeue -h -j "$job" 2>/dev/null)" ] || return 1; done
}
is_running() { [ "$(squeue -h -j "$1" -o %T 2>/dev/null)" = RUNNING ]; } # JOB
state_of() { # JOB: how its last part ended, by SLURM
    sed -n "s/^JobId=$1 .* JobState=\([A-Z]*\) .*/\1/p" "$FSFM_CLUSTER_DIR/jobcomp.txt" | tail -n 1
}
has_steps() { # RUN COUNT
    [ "$(grep -c '"kind": "train"' "$work/$1/metrics.jsonl" 2>/dev/null)" -ge "$2" ] 2>/dev/null
}
events() { # RUN EVENT: how many
    grep -c "\"event\": \"$2\"" "$work/$1/metrics.jsonl"
}
# Processes of a run that compute; in this order: by rank.
ranks_of() { # RUN
    local process rank
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/exe" 2>/dev/null)" = "$FSFM" ] || continue
        [ "$(readlink "$process/cwd" 2>/dev/null)" = "$work/$1" ] || continue
        rank=$(tr '\0' '\n' <"$process/environ" 2>/dev/null | sed -n 's/^PMIX_RANK=//p')
        [ -z "$rank" ] || echo "$rank ${process#/proc/}"
    done | sort -n | cut -d ' ' -f 2
}
# A run that lasts some seconds on this machine, so that tests come in time to disturb it, in so many steps; and the same
# that nothing disturbed, which is made once for all tests here.
steps=
lasts_s=5
hang_s=7
exact=("${small[@]}" train.global_batch=8 train.reduction=exact train.slices=8 train.epochs=400 checkpoint.every_steps=10
    run.threads=1 run.hang_timeout_s=$hang_s)
choose_steps() {
    run alone probe train.max_steps=40
    steps=$(sed -n 's/.*"images_per_s": \([0-9]*\).*/\1/p' "$work/probe/metrics.jsonl" | sort -n | sed -n 20p)
    steps=$((steps / 8 * lasts_s / 10 * 10))
    [ $steps -ge 80 ] || steps=80
    [ $steps -le 1000 ] || steps=1000
}
make_whole() {
    local kept=$FSFM_CLUSTER_DIR/whole
    if [ ! -e "$kept/steps" ]; then
        make_data 24
        rm -rf "$kept" && mkdir "$kept" && mv "$work/data" "$kept" && exact+=(data.path="$kept/data") || fail "$kept"
        choose_steps
        run alone whole train.max_steps=$steps
        mv "$work/whole" "$kept" && echo $steps >"$kept/steps" || fail "cannot keep the whole run"
    fi
    steps=$(<"$kept/steps") # each run's folder is ".", so that the configuration in its checkpoints is the same
    exact+=(data.path="$kept/data" train.max_steps="$steps")
    cp -r "$kept/whole" "$work" && cd "$work" || exit 1
}
script=$SOURCE/jobs/slurm/pretrain.sbatch
submit() { # RUN OPTION... [-- more...]: a job of 2 nodes x 2 ranks; its number is $job
    local options=() name=$1
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    mkdir -p "$work/$name"
    job=$(sbatch --parsable --chdir="$work/$name" --nodes=2 --ntasks-per-node=2 --time=5 --output="$work/$name.out" \
        "${options[@]}" "$script" "${exact[@]}" run.dir=. "${@:2}") || fail "sbatch"
    jobs+=("$job")
}
# The job came to its end by itself, after so many stops with a checkpoint, and its run is that which nothing disturbed.
same_as_whole() { # JOB RUN STOPS
    until_true 120 is_over "$1"
    [ "$(state_of "$1")" = COMPLETED ] || fail "job $1 is $(state_of "$1"): $(tail -n 12 "$work/$2.out")"
    grep -q '"status": *"done"' "$work/$2/state.json" || fail "$2 is not done: $(tail -n 5 "$work/$2.out")"
    [ "$(events "$2" stop)" = "$3" ] || fail "$2 has $(events "$2" stop) stops instead of $3"
    [ "$(events "$2" resume)" -ge 1 ] || fail "$2 did not go on"
    records "$2" train | grep -o '"step": [0-9]*' | diff - <(seq -f '"step": %g' 0 $((steps - 1))) >/dev/null ||
        fail "$2: not each step once"
    same_records whole "$2" train
    same_weights whole "$2" $steps
}
