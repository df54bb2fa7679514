#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The tables of jobs/SCALING.md are what jobs/scaling.sh prints.
. "$SOURCE/tests/support/runs.sh" || exit 1
bash "$SOURCE/jobs/scaling.sh" >"$work/tables" || fail "scaling.sh"
[ "$(grep -c '^| vit_' "$work/tables")" = 12 ] || fail "not twelve rows: $(cat "$work/tables")"
! grep -vxFf "$SOURCE/jobs/SCALING.md" "$work/tables" | grep . ||
    fail "these lines of jobs/scaling.sh are not in jobs/SCALING.md: put its tables there"
bash "$SOURCE/jobs/scaling.sh" a100 32 >"$work/other" || fail "scaling.sh a100 32"
grep -q '^| 32 images a GPU: ' "$work/other" && ! grep -qxFf <(grep '^| vit_' "$work/tables") "$work/other" || fail "another GPU, the same figures"
