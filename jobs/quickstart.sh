#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# jobs/quickstart.sh: from a bare Debian machine to a pretraining run on two ranks, with data that the program draws.
#
# Installs what is missing, builds, draws faces, packs them, shows masks, pretrains on two ranks, stops half-way,
# goes on, and says where each result lies: all in runs/quickstart/. Started again it keeps what is there.
set -euo pipefail
cd "$(dirname "$0")/.."
. jobs/packages.sh

out=runs/quickstart
run=$out/run
started=$SECONDS
# Open MPI refuses root unless told twice; ranks beyond the cores should give way to each other.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none
pretrain=(mpirun --oversubscribe --bind-to none -n 2 build/fsfm pretrain configs/quickstart.yaml)

say() { printf '\n== %s\n' "$*"; }
show() { # prints a command, then runs it
    printf '$ %s\n' "$*"
    "$@"
}
# train_records: how many training steps metrics.jsonl holds
train_records() {
    local n=0
    [ ! -e "$run/metrics.jsonl" ] || n=$(grep -c '"kind": "train"' "$run/metrics.jsonl" || true)
    echo "$n"
}
# loss_curve: the reconstruction loss of about 12 steps of the run, as bars
loss_curve() {
    awk '/"kind": "train"/ {
            match($0, /"loss_rec_m": [0-9.e+-]+/); v = substr($0, RSTART + 14, RLENGTH - 14) + 0
            value[n++] = v; if (v > top) top = v }
        END { each = n > 12 ? n / 12 : 1
            for (k = 0; int(k) < n; k += each) {
                i = int(k); bar = ""; for (j = 0; j < 50 * value[i] / top; j++) bar = bar "#"
                printf "  step %4d  %.4f  %s\n", i, value[i], bar }
            printf "  step %4d  %.4f  (last)\n", n - 1, value[n - 1] }' "$run/metrics.jsonl"
}

say "packages"
fsfm_install "${fsfm_packages[@]}"

say "build"
show cmake -S . -B build >/dev/null
show cmake --build build -j "$(nproc)" --target fsfm | tail -n 1
started_run=$SECONDS

say "data: 256 drawn faces with maps of their regions, packed into HDF5"
mkdir -p "$out"
[ -e "$out/faces/parsing_maps/face-000255.npy" ] || show build/fsfm synth "$out/faces" --count 256
show build/fsfm pack "$out/faces" "$out/data"

say "masks: what each strategy removes"
[ -e "$out/masks.png" ] || show build/fsfm mask "$out/data" --out "$out/masks.png"

say "pretraining on two ranks, stopped half-way and started again"
if grep -q '"status": "done"' "$run/state.json" 2>/dev/null; then
    show "${pretrain[@]}"
else
    if ! grep -q '"event": "stop"' "$run/metrics.jsonl" 2>/dev/null; then
        printf '$ %s\n' "${pretrain[*]}"
        "${pretrain[@]}" &
        job=$!
        trap 'kill -TERM "$job" 2>/dev/null || true' EXIT
        while kill -0 "$job" 2>/dev/null && [ "$(train_records)" -lt 40 ]; do sleep 0.2; done
        echo '$ kill -USR1 MPIRUN   # what a batch system sends before it takes the machine away'
        kill -USR1 "$job" 2>/dev/null || true
        code=0
        wait "$job" || code=$?
        trap - EXIT
        if [ "$code" != 75 ]; then
            echo "the stopped run ended with exit code $code, expected 75" >&2
            exit 1
        fi
        echo "exit code 75: saved after $(train_records) steps; the same command goes on"
    fi
    show "${pretrain[@]}"
fi

say "the reconstruction loss"
loss_curve

picture=$(find "$run/pictures" -name 'step-*.png' | sort | tail -n 1)
say "done in $((SECONDS - started_run)) s after $((started_run - started)) s of installing and building; look at"
cat <<END
  $out/faces/        drawn faces and their maps
  $out/data/         the packed dataset (build/fsfm inspect $out/data)
  $out/masks.png     the five masking strategies
  $picture
                              original, masked, reconstructed, regions
  $run/metrics.jsonl   one record a step
  $run/checkpoints/    what a run goes on from (build/fsfm inspect FILE)
  $run/config.yaml     every key of the run
END
