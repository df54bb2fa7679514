#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `scancel --signal=TERM` reaches the ranks: they save and stop, the job is requeued and ends as if nothing had been. A plain
# scancel saves too, and is not requeued; submitted again, it goes on.
. "$SOURCE/tests/slurm/use.sh" || exit 1
make_whole
submit term --gpus-per-node=2
term=$job
submit cancelled
cancelled=$job
until_true 60 has_steps term 10
scancel --signal=TERM "$term"
until_true 60 has_steps cancelled 10
scancel "$cancelled"
until_true 30 is_over "$cancelled"
[ "$(state_of "$cancelled")" = CANCELLED ] || fail "job $cancelled is $(state_of "$cancelled")"
grep -q '"status": *"stopped"' cancelled/state.json || fail "a cancelled run did not save"
submit cancelled
same_as_whole "$term" term 1
grep -q "ends with 75: requeued" term.out || fail "not requeued by its script"
same_as_whole "$job" cancelled 1
