#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A run that slept while another took its folder over ends with 1 when it wakes, and neither writes nor removes a checkpoint.
. "$SOURCE/tests/support/runs.sh" || exit 1
make_data 24
exact=("${small[@]}" train.global_batch=8 train.epochs=9000 train.max_steps=6000 checkpoint.every_steps=5 log.every_steps=1)
for ranks in alone 2; do
    name=lost-$ranks
    start $ranks $name
    wait_for $name 12
    # What the one that took over would leave: a lock, and a checkpoint of a later step.
    echo '{"host": "node17"}' >"$work/theirs" && mv "$work/theirs" "$work/$name/lock"
    sleep 0.2 # a look at the lock just before would still hold
    touch "$work/$name/checkpoints/step-00099999.h5"
    for _ in $(seq 200); do
        kill -0 $job 2>/dev/null || break
        sleep 0.1
    done
    kill -0 $job 2>/dev/null && {
        kill -KILL $job
        fail "$name: goes on without its lock"
    }
    wait $job
    code=$?
    [ $code = 1 ] || fail "$name: exit code $code, not 1"
    grep -q 'its lock was taken over' "$work/$name.log" || fail "$name: does not say why"
    grep -q node17 "$work/$name/lock" || fail "$name: the other's lock is gone"
    [ -e "$work/$name/checkpoints/step-00099999.h5" ] || fail "$name: removed the other's checkpoint"
done
echo "lost locks are noticed"
