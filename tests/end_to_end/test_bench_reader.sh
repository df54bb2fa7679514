# SPDX-License-Identifier: Apache-2.0
# `fsfm bench reader`: its figures and fields for raw and JPEG shards, both orders, several threads and shards.
. "$SOURCE/tests/support/runs.sh"
"$FSFM" synth "$work/faces" --count 64 --seed 3 >/dev/null && "$FSFM" pack "$work/faces" "$work/raw" --shard-mib 1 >/dev/null &&
    "$FSFM" pack "$work/faces" "$work/jpeg" --encoding jpeg >/dev/null || fail "synth, pack"
value() { sed -E "s/.*\"$1\": \"?([^,\"}]*).*/\1/" "$work/out"; }
bench() { # DATASET options...
    "$FSFM" bench reader "$work/$1" "${@:2}" --json >"$work/out" || fail "bench reader $*"
    [ "$(wc -l <"$work/out")" -eq 1 ] || fail "$*: expected one line"
    for key in images_per_s images_per_s_best pread_images_per_s bytes_per_image; do
        awk -v v="$(value $key)" 'BEGIN { exit !(v > 100) }' || fail "$*: $key is $(value $key)"
    done
    awk -v a="$(value images_per_s)" -v b="$(value images_per_s_best)" 'BEGIN { exit !(a <= b) }' || fail "$*: median above best"
    [ "$(value checksums)" = true ] || fail "$*: no checksums"
}
is() { # KEY VALUE
    [ "$(value "$1")" = "$2" ] || fail "$1 is $(value "$1"), expected $2"
}
shards=$(ls "$work/raw" | grep -c '\.h5$')
[ "$shards" -gt 1 ] || fail "one shard only"
bench raw --threads 2 --order sequential
is threads 2
is order sequential
is encoding raw
is file_opens "$shards" # each once, however often it was read from
awk -v b="$(value bytes_per_image)" 'BEGIN { exit !(b > 150528 && b < 160000) }' || fail "raw: $(value bytes_per_image) bytes an image"
bench jpeg
is threads 1
is order random
is encoding jpeg
is file_opens 1
awk -v b="$(value bytes_per_image)" 'BEGIN { exit !(b > 5000 && b < 60000) }' || fail "jpeg: $(value bytes_per_image) bytes an image"
"$FSFM" bench reader "$work/raw" >"$work/out" && grep -q '^reader .*images/s' "$work/out" && grep -q '^bare pread' "$work/out" ||
    fail "no table"
"$FSFM" bench --help | grep -q 'file_opens' || fail "file_opens is not in the help"
wrong() { # CODE TEXT arguments...
    "$FSFM" bench reader "${@:3}" >"$work/out" 2>&1
    [ $? -eq "$1" ] && grep -q -- "$2" "$work/out" || fail "bench reader ${*:3}: expected $1 and '$2': $(cat "$work/out")"
}
wrong 2 'expected random or sequential' "$work/raw" --order backwards
wrong 2 'from 1 to 256' "$work/raw" --threads 0
wrong 2 'expected one DATASET'
wrong 1 'no packed dataset here' "$work"
