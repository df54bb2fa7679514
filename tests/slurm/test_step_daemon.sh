#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of a node's daemon of the run's step: its ranks are gone without a word, the watchdog ends the others, the job is
# requeued, and what the daemon has left does not keep it from starting again; nor the second time, on the other node.
. "$SOURCE/tests/slurm/use.sh" || exit 1
make_whole
kill_daemon() { # JOB RUN RANK: the one that started this rank
    local ranks process
    mapfile -t ranks < <(ranks_of "$2")
    [ ${#ranks[@]} = 4 ] || fail "$2: ${#ranks[@]} ranks instead of 4"
    process=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/${ranks[$3]}/status")
    [[ "$(tr '\0' ' ' <"/proc/$process/cmdline")" =~ ^slurmstepd:\ \[$1\.[0-9]+\] ]] || fail "rank $3 is not a child of its step's daemon"
    kill -KILL "$process"
}
started() { # RUN COUNT
    [ "$(events "$1" start)" -ge "$2" ]
}
submit daemon
until_true 60 has_steps daemon 15
kill_daemon "$job" daemon 0
until_true $((hang_s + 60)) started daemon 2
until_true 60 has_steps daemon 25
kill_daemon "$job" daemon 3
same_as_whole "$job" daemon 0
[ "$(grep -cE 'ends with [0-9]+: requeued' daemon.out)" = 2 ] || fail "not requeued twice by its script: $(tail -n 12 daemon.out)"
