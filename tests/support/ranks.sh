#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ranks.sh N COMMAND...: runs COMMAND on N ranks, oversubscribed if need be.
n=$1
shift
exec mpirun --oversubscribe --bind-to none -n "$n" "$@"
