#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A rank that hangs before the watchdog watches, in MPI's start or where it reads the configuration, ends the run within
# run.hang_timeout_s and some seconds: one line names it and what it does, with its stack, and no process stays.
. "$SOURCE/tests/support/runs.sh"
make_data 16
timeout=6
for rank in 0 2; do ln -s "$SOURCE/configs/quickstart.yaml" "$work/config$rank.yaml"; done
mkfifo "$work/config1.yaml"

left() { # RUN: processes that have its folder in their arguments
    echo "run.dir=$work/$1" >"$work/pattern" # in a file, as grep has its arguments too
    grep -lsF -f "$work/pattern" /proc/[0-9]*/cmdline
}
# COMMAND ends with a code in time; but for other programs' words it says LINE alone.
hangs() { # RUN CODE LINE COMMAND...
    local name=$1 want=$2 line=$3 code=0 began=$SECONDS
    shift 3
    timeout -k 1 40 "$@" >"$work/$name.log" 2>&1 || code=$?
    [ $((SECONDS - began)) -le $((timeout + 12)) ] || fail "$name: took $((SECONDS - began)) s to end"
    [ $code = "$want" ] || fail "$name: exit code $code instead of $want: $(tail -n 20 "$work/$name.log")"
    [ "$(grep -c '^fsfm: ' "$work/$name.log")" = 1 ] || fail "$name: not one line: $(grep '^fsfm: ' "$work/$name.log")"
    grep -qE "^fsfm: $line. Nothing has gone on for $timeout s" "$work/$name.log" || fail "$name: $(grep '^fsfm: ' "$work/$name.log")"
    for _ in $(seq 50); do
        [ -n "$(left "$name")" ] || return 0
        sleep 0.1
    done
    fail "$name: left behind: $(left "$name")"
}
pretrain() { # RUN CONFIG; words of a shell that a rank runs
    echo "exec '$FSFM' pretrain $2 run.dir='$work/$1' run.hang_timeout_s=$timeout data.path='$work/data'"
}

# The same names for all ranks, but rank 1's file does not answer.
hangs config 75 'rank 1 \(.*, process [0-9]+\) hangs at the start, "reading the configuration"' \
    "$RANKS" 2 sh -c "$(pretrain config "'$work'/config\$OMPI_COMM_WORLD_RANK.yaml")"
grep -qE '^#[0-9]+ fsfm_settings_load\+0x[0-9a-f]+ \(fsfm\)' "$work/config.log" || fail "no stack: $(tail -n 20 "$work/config.log")"
hangs alone 75 'rank 0 \(.*\) hangs at the start, "reading the configuration"' sh -c "$(pretrain alone "'$work/config1.yaml'")"
# Rank 1 is stopped, its guard too: the others wait for it, of whom one speaks. (Open MPI ends it by letting it go on for a
# second, which must not be what it has left.)
(
    until left stopped | grep -q . && sleep 3; do sleep 0.1; done
    left stopped | while IFS=/ read -r _ _ process _; do
        ! grep -qz '^OMPI_COMM_WORLD_RANK=1$' "/proc/$process/environ" || kill -STOP "$process"
    done
) &
hangs stopped 75 'rank 0 \(.*\) waits for other ranks at the start, "reading the configuration"' \
    "$RANKS" 3 sh -c "$(pretrain stopped "'$work'/config\$OMPI_COMM_WORLD_RANK.yaml")"
# Rank 1 does not come as far as MPI_Init.
hangs init 75 'rank [02] \(.*\) hangs at the start, "MPI_Init, of this rank or of another one"' \
    "$RANKS" 3 sh -c "[ \$OMPI_COMM_WORLD_RANK != 1 ] || exec sleep 60; $(pretrain init "'$work/config0.yaml'")"
# 0: never.
timeout=0
sh -c "$(pretrain off "'$work/config1.yaml'")" >"$work/off.log" 2>&1 &
job=$!
sleep 5
kill -0 $job || fail "ended, although it is off: $(tail -n 5 "$work/off.log")"
kill -KILL $job
wait $job 2>/dev/null
# The guard is gone when the run has begun: it takes longer than the timeout.
exact=("${small[@]}" train.global_batch=8 train.max_steps=100000 train.epochs=100000 run.threads=1)
start 2 begun run.hang_timeout_s=4
wait_for begun 1
sleep 7
kill -0 $job || fail "begun: ended: $(tail -n 5 "$work/begun.log")"
touch "$work/begun/STOP"
code=0
wait $job || code=$?
[ $code = 75 ] || fail "begun: exit code $code: $(tail -n 5 "$work/begun.log")"
