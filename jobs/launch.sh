#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# launch.sh [MPIRUN OPTION...] COMMAND...: mpirun whose run saves and stops when it is told to end.
#
#   jobs/launch.sh -n 4 build/fsfm pretrain configs/pretrain_vit_b16.yaml
#
# At TERM, INT (Ctrl-C) and HUP Open MPI's mpirun kills the ranks within seconds; only USR1 and USR2 reach them. This turns
# the former into USR1: all ranks stop at the same step, save, and the exit code is 75. A second one gives up the step that is
# being computed. The code of mpirun is passed on. The fourth signal is taken as impatience and ends the ranks.
set -u
if [ $# = 0 ]; then
    echo "usage: jobs/launch.sh [MPIRUN OPTION...] COMMAND..." >&2
    exit 2
fi
signals=0
pid=
pass_on() {
    signals=$((signals + 1))
    [ -n "$pid" ] || return
    if [ "$signals" -ge 4 ]; then
        kill -TERM "$pid" 2>/dev/null
    else
        kill -USR1 "$pid" 2>/dev/null
    fi
}
trap pass_on TERM INT HUP USR1 USR2
set -m # a process group of its own, so that Ctrl-C on the terminal does not reach mpirun too
mpirun "$@" </dev/null &
pid=$!
set +m
# wait comes back early, with more than 128, when a signal arrives; what it gives once mpirun is gone is mpirun's own code.
while :; do
    before=$signals
    wait "$pid"
    code=$?
    [ "$signals" = "$before" ] && break
done
exit "$code"
