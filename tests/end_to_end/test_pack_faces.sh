#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Real faces: all 265 with maps pack, and those without.
set -u
faces=${SHARED:-$SOURCE/../shared}/faces
[ -d "$faces/parsed" ] || exit 77
work=$(mktemp -d "${TMPDIR:-/tmp}/fsfm-faces.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$FSFM" pack "$faces/parsed" "$work/parsed" | grep '265 of 265' || exit 1
"$FSFM" inspect "$work/parsed" --verify | grep 'every checksum matches' || exit 1
"$FSFM" pack "$faces/unlabelled" "$work/unlabelled" --encoding jpeg | grep '1354 of 1354' || exit 1
"$FSFM" inspect "$work/unlabelled" --verify | grep 'every checksum matches'
