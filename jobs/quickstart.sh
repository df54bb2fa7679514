#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# quickstart.sh: from nothing to a pretraining run in a few minutes: packages, build, drawn faces, dataset, masks, two ranks,
# a stop and a resume. Prints each command before it runs. Everything it makes lies in runs/quickstart/ and build/; what is
# there already is kept, so that it can be started again at any time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. jobs/packages.sh

out=runs/quickstart
run=$out/run
metrics=$run/metrics.jsonl
faces=256
stop_after=40 # train records
launcher=''
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 # in a container everybody is root

bold='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show() { printf '%s$ %s%s\n' "$bold" "$*" "$plain"; }
show_and_run() {
    show "$@"
    "$@"
}
train_records() {
    if [ -e $metrics ]; then grep -c '"kind": "train"' $metrics || true; else echo 0; fi
}
is_done() { grep -q '"status": "done"' $run/state.json 2>/dev/null; }

# Starts the two ranks with mpirun in a process group of its own: Ctrl-C then reaches this script alone, which stops the
# ranks in the way that lets them save.
start_ranks() {
    local options=(-q --bind-to none)
    [ "$(nproc)" -ge 2 ] || options+=(--oversubscribe)
    local command=(mpirun "${options[@]}" -n 2 build/fsfm pretrain configs/quickstart.yaml)
    show "${command[@]}"
    set -m
    "${command[@]}" </dev/null &
    launcher=$!
    set +m
}
# The exit code of the ranks, in $code.
wait_for_ranks() {
    code=0
    wait "$launcher" || code=$?
    launcher=''
}
interrupted() {
    trap '' INT TERM HUP
    if [ -n "$launcher" ]; then
        kill -USR1 "$launcher" 2>/dev/null || true
        wait "$launcher" || true
    fi
    printf '\nstopped; bash jobs/quickstart.sh goes on from here\n'
    exit 75
}
trap interrupted INT TERM HUP

build() {
    local more=() log=build/quickstart.log
    # The tests need more packages; a build folder that has them keeps them.
    [ -e build/CMakeCache.txt ] || more=(-DFSFM_TESTS=OFF)
    mkdir -p build
    show cmake -S . -B build "${more[@]}"
    cmake -S . -B build "${more[@]}" >$log 2>&1 || { cat $log && return 1; }
    show cmake --build build -j "$(nproc)" --target fsfm
    cmake --build build -j "$(nproc)" --target fsfm >$log 2>&1 || { cat $log && return 1; }
    build/fsfm --version | head -n 1
}

make_data() {
    if [ -e $out/data/dataset.yaml ]; then
        echo "$out/data is there already"
        return
    fi
    show_and_run build/fsfm synth $out/faces --count $faces
    show_and_run build/fsfm pack $out/faces $out/data
}

train() {
    local records
    if is_done; then
        echo "the run is done already; rm -r $run to see it again"
        return
    fi
    if [ "$(train_records)" = 0 ]; then
        start_ranks
        records=0
        while [ "$records" -lt $stop_after ] && kill -0 "$launcher" 2>/dev/null; do
            sleep 0.2
            records=$(train_records)
        done
        if kill -0 "$launcher" 2>/dev/null; then
            say "A stop in the middle: kill -USR1 to mpirun (what a batch system sends before the time is up)"
            kill -USR1 "$launcher" 2>/dev/null || true
        fi
        wait_for_ranks
        if [ $code != 75 ] && [ $code != 0 ]; then return $code; fi
        say "Exit code $code: saved, and the same command goes on where it stopped"
    fi
    if ! is_done; then
        start_ranks
        wait_for_ranks
        if [ $code != 0 ]; then return $code; fi
    fi
}

# The reconstruction loss over the steps, as a picture of letters.
plot() {
    awk -v columns=64 -v rows=10 '
        /"kind": "train"/ && match($0, /"loss_rec_m": [-+.0-9e]+/) {
            v[n++] = substr($0, RSTART + 14, RLENGTH - 14) + 0
        }
        END {
            if (n < 2) exit
            if (columns > n) columns = n
            low = high = v[0]
            for (c = 0; c < columns; c++) { # the mean of the steps that fall on a column
                from = int(c * n / columns)
                to = int((c + 1) * n / columns)
                sum = 0
                for (i = from; i < to; i++) sum += v[i]
                m[c] = sum / (to - from)
                if (c == 0 || m[c] < low) low = m[c]
                if (c == 0 || m[c] > high) high = m[c]
            }
            if (high <= low) high = low + 1e-9
            for (r = 0; r < rows; r++) {
                line = ""
                for (c = 0; c < columns; c++)
                    line = line (int((high - m[c]) / (high - low) * (rows - 1) + 0.5) == r ? "*" : " ")
                label = r == 0 ? sprintf("%.3f", high) : r == rows - 1 ? sprintf("%.3f", low) : ""
                printf "  %7s |%s\n", label, line
            }
            printf "  %7s +", ""
            for (c = 0; c < columns; c++) printf "-"
            printf "\n  %7s  step 1 to %d\n\n", "", n
            printf "  loss_rec_m: %.4f at the first step, %.4f at the last (%.0f %% less)\n", v[0], v[n - 1], 100 * (1 - v[n - 1] / v[0])
        }' $metrics
}

row() { printf '  %-44s %s\n' "$1" "$2"; }
table() {
    local picture checkpoint
    picture=$(find $run/pictures -name '*.png' 2>/dev/null | sort | tail -n 1)
    checkpoint=$(find $run/checkpoints -name 'step-*.h5' 2>/dev/null | sort | tail -n 1)
    row $out/faces/ "the drawn faces and their label maps"
    row $out/data/ "the dataset: HDF5 shards, dataset.yaml"
    row $out/mask.png "what each masking strategy removes"
    row $metrics "a record a step: losses, rate, norm, speed"
    if [ -n "$picture" ]; then row "$picture" "original, masked, reconstructed, region"; fi
    if [ -n "$checkpoint" ]; then row "$checkpoint" "the last checkpoint (HDF5)"; fi
    row $run/config.yaml "every key of the run, resolved"
    row $run/environment.json "hosts, ranks, versions"
}

say "1. Packages"
packages_install "${packages_build[@]}" || exit 2
started=$SECONDS
say "2. Build"
build
mkdir -p $out
say "3. Faces with label maps, packed into HDF5 shards"
make_data
say "4. Masks: a contact sheet of the strategies"
if [ -e $out/mask.png ]; then
    echo "$out/mask.png is there already"
else
    show_and_run build/fsfm mask $out/data --out $out/mask.png
fi
say "5. Pretraining on two ranks, with a stop and a resume"
code=0
train || { code=$?; echo "the run ended with exit code $code" >&2; exit $code; }
say "6. The reconstruction loss falls"
plot
say "7. What lies where"
table
printf '\n%s in %d s, packages aside. Next: configs/README.md lists every key; build/fsfm --help every command.\n' "Done" $((SECONDS - started))
