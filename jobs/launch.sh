#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# jobs/launch.sh MPIRUN-ARGUMENTS...: mpirun, with TERM, INT and HUP turned into USR1.
#
# Open MPI 4.1's mpirun hands on only USR1 and USR2; at TERM, INT and HUP it kills its ranks after two seconds. With
# this wrapper all of them end the run in one agreed step, with a checkpoint and exit code 75.
#   bash jobs/launch.sh -n 8 build/fsfm pretrain configs/pretrain_vit_b16.yaml
set -u
mpirun "$@" &
job=$!
trap 'kill -USR1 "$job" 2>/dev/null' TERM INT HUP USR1
trap 'kill -USR2 "$job" 2>/dev/null' USR2
while :; do
    wait "$job"
    code=$?
    # wait also returns when a trap ran; mpirun is still there then
    kill -0 "$job" 2>/dev/null || exit "$code"
done
