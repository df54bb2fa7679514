#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# pack and inspect as a person uses them: equal bytes on any number of ranks, interrupted packs, bad files, full disks.
set -u
work=$(mktemp -d "${TMPDIR:-/tmp}/fsfm-pack.XXXXXX")
trap 'rm -rf "$work"' EXIT
failures=0
fail() { echo "FAIL: $*"; failures=$((failures + 1)); }
# expect CODE 'regex' COMMAND...: exit code and a message, on one line beginning with fsfm where it is an error
expect() {
    local code=$1 regex=$2 got
    shift 2
    timeout 60 "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ "$got" = "$code" ] || { fail "exit $got, expected $code: $*"; tail -n 3 "$work/out" "$work/err"; }
    grep -Eqi -- "$regex" "$work/out" "$work/err" || { fail "no /$regex/: $*"; tail -n 3 "$work/out" "$work/err"; }
    [ "$code" = 0 ] || [ "$(grep -c '^fsfm: ' "$work/err")" = 1 ] || { fail "not one line: $*"; cat "$work/err"; }
}
same() { diff -r "$1" "$2" >/dev/null || fail "$1 and $2 differ"; }
hidden() { [ -z "$(find "$1" -name '.*' -type f)" ] || fail "$1 has unfinished files"; }
s=$work/s
"$FSFM" synth "$s" --count 24 >/dev/null || { fail "synth"; exit 1; }
count=24

# Any number of ranks, several shards; both encodings.
for encoding in raw jpeg; do
    expect 0 "$count of $count" "$FSFM" pack "$s" "$work/$encoding-1" --encoding $encoding --shard-mib 1
    expect 0 "$count of $count" $RANKS 3 "$FSFM" pack "$s" "$work/$encoding-3" --encoding $encoding --shard-mib 1
    same "$work/$encoding-1" "$work/$encoding-3"
    expect 0 'every checksum matches' "$FSFM" inspect "$work/$encoding-1" --verify
done
[ "$(ls "$work/raw-1" | grep -c shard-)" -ge 4 ] || fail "not several shards"

# Interrupted: a finished shard, a lost one, what a killed process leaves, and no dataset.yaml.
cp -r "$work/raw-1" "$work/cut"
rm "$work/cut/dataset.yaml" "$work/cut/shard-00001.h5"
echo half >"$work/cut/.shard-00002.h5.tmp"
truncate -s -100 "$work/cut/shard-00003.h5"
before=$(stat -c %Y.%i "$work/cut/shard-00000.h5")
expect 0 'there already' "$FSFM" pack "$s" "$work/cut" --shard-mib 1
[ "$before" = "$(stat -c %Y.%i "$work/cut/shard-00000.h5")" ] || fail "a finished shard was done again"
hidden "$work/cut"
same "$work/cut" "$work/raw-1"

# A changed source does again what changed, whether its size tells or not; another plan leaves no old shard.
cp -r "$s" "$work/changed"
expect 0 'there already' "$FSFM" pack "$s" "$work/cut" --shard-mib 1
expect 0 "$count of $count" "$FSFM" pack "$work/changed" "$work/again" --shard-mib 1
inode=$(stat -c %i "$work/again/shard-00000.h5")
map=$(ls "$work/changed/parsing_maps" | tail -1)
sleep 0.05
printf '\0\0\0\0' | dd of="$work/changed/parsing_maps/$map" bs=1 seek=20000 conv=notrunc status=none
expect 0 "$count of $count" "$FSFM" pack "$work/changed" "$work/again" --shard-mib 1
[ "$inode" = "$(stat -c %i "$work/again/shard-00000.h5")" ] || fail "an unchanged part was packed again"
expect 0 'every checksum matches' "$FSFM" inspect "$work/again" --verify
expect 0 "$count of $count" "$FSFM" pack "$work/changed" "$work/again"
[ "$(ls "$work/again" | wc -l)" = 2 ] || fail "old shards stay: $(ls "$work/again")"

# Bad files, each with its reason.
b=$work/bad
cp -r "$s" "$b"
names=($(ls "$b/images" | sed 's/\.png$//'))
n() { echo "${names[$1]}"; }
head -c 300 "$s/images/$(n 0).png" >"$b/images/$(n 0).png"
rm "$b/parsing_maps/$(n 1).npy"
head -c 5000 "$s/parsing_maps/$(n 2).npy" >"$b/parsing_maps/$(n 2).npy"
python3 - "$b/parsing_maps/$(n 3).npy" "$b/parsing_maps/$(n 4).npy" <<'P'
import sys
def npy(shape): return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + ("{'descr': '|i1', 'fortran_order': False, 'shape': %s, }" % (shape,)).ljust(117).encode() + b"\n"
open(sys.argv[1], "wb").write(npy((1, 200, 200)) + bytes(200 * 200))
open(sys.argv[2], "wb").write(npy((1, 224, 224)) + bytes(224 * 100) + b"\x11" + bytes(224 * 124 - 1))
P
: >"$b/images/$(n 5).png"
cp "$s/images/$(n 6).png" "$b/images/$(n 6).PNG"
expect 1 '7 of 25 .*max-bad' "$FSFM" pack "$b" "$work/b1"
expect 1 '7 of 25 .*max-bad' $RANKS 2 "$FSFM" pack "$b" "$work/b2"
expect 0 '18 of 25' "$FSFM" pack "$b" "$work/b3" --max-bad 0.5
same "$work/b1" "$work/b2"
same "$work/b1" "$work/b3"
# reason FILE 'regex'
reason() { grep -A1 "path: .*$1" "$work/b1/dataset.yaml" | grep -Eqi -- "reason: .*($2)" || fail "$1 is not quarantined for /$2/"; }
reason "$(n 0).png" 'image: .*(truncated|end|short|cut|damaged)'
reason "$(n 1).png" "map missing: no parsing_maps/$(n 1)"
reason "$(n 2).png" "map parsing_maps/$(n 2).npy: "
reason "$(n 3).png" 'is 200 x 200, the image 224 x 224'
reason "$(n 4).png" 'label 17 \(row 100, column 0\) is outside the scheme lapa11'
reason "$(n 5).png" 'image: '
reason "$(n 6).png" 'same id'
expect 0 'every checksum matches' "$FSFM" inspect "$work/b1" --verify
grep -q "$work" "$work/b1/dataset.yaml" && fail "dataset.yaml depends on where the source stands"

# Nothing to pack.
mkdir "$work/empty"
expect 1 'no images' "$FSFM" pack "$work/empty" "$work/eo"
expect 1 'no images' $RANKS 2 "$FSFM" pack "$work/empty" "$work/eo"
expect 1 'nowhere' "$FSFM" pack "$work/nowhere" "$work/eo"
mkdir -p "$work/junk/images"
echo no >"$work/junk/images/a.png"
expect 1 'no usable image' "$FSFM" pack "$work/junk" "$work/eo"
[ -e "$work/eo" ] && fail "a failed pack leaves a folder"
expect 2 'encoding' "$FSFM" pack "$s" "$work/eo" --encoding png
expect 2 'lapa11' "$FSFM" pack "$s" "$work/eo" --labels lapa12
expect 2 'IN and OUT' "$FSFM" pack "$s"

# Labels by folder and by table; a group with two labels.
"$FSFM" synth "$work/l" --count 6 --labelled >/dev/null || fail "synth --labelled"
expect 0 'with labels' "$FSFM" pack "$work/l" "$work/packed"
mkdir "$work/ranks"
expect 0 'with labels' $RANKS 2 "$FSFM" pack "$work/l" "$work/ranks/packed"
same "$work/packed" "$work/ranks/packed"
(cd "$work/l" && echo path,label,group,domain,frame && ls real/* | sed -E 's|(.*)|"./\1",1,"g ""\1""",d,3|' && ls fake/* | sed -E 's|(.*)|\1,0,g-\1,d,|') >"$work/all.csv"
mv "$work/all.csv" "$work/l/all.csv"
expect 0 'with labels' "$FSFM" pack "$work/l/all.csv" "$work/table"
expect 0 'label, group, domain, frame' "$FSFM" inspect "$work/table" --verify
sed -i -E 's/,("g [^,]*"|g-[^,]*),/,one,/' "$work/l/all.csv"
expect 1 "group 'one' of domain 'd' has two labels" "$FSFM" pack "$work/l/all.csv" "$work/two"
expect 1 "group 'one' of domain 'd' has two labels" $RANKS 2 "$FSFM" pack "$work/l/all.csv" "$work/two"
printf 'path,label\na.png,maybe\n' >"$work/l/bad.csv"
expect 1 "bad.csv: line 2: label: .*'maybe'" "$FSFM" pack "$work/l/bad.csv" "$work/two"

# No space: for the spooled images, and for what is put together from them. Nothing half stays under a final name.
full='ulimit -f $0 && exec "$@"'
for kib in 200 3500 3530 3600 3700; do # 3528 KiB of images
    expect 1 'too large|no space' bash -c "$full" $kib "$FSFM" pack "$s" "$work/full"
    [ -e "$work/full/shard-00000.h5" ] && fail "a half shard stays"
    hidden "$work/full"
done
# On ranks too: one fails, all end. The limit leaves room for MPI's own files.
mkdir "$work/more"
for copy in a b c; do cp -r "$s/images" "$work/more/$copy"; done
expect 1 'rank 0: .*(too large|no space)' $RANKS 2 bash -c "$full" 8000 "$FSFM" pack "$work/more" "$work/full"
hidden "$work/full"
expect 0 "$count of $count" "$FSFM" pack "$s" "$work/full" --shard-mib 1
same "$work/full" "$work/raw-1"
mkdir "$work/small"
if mount -t tmpfs -o size=2m tmpfs "$work/small" 2>/dev/null; then
    expect 1 'not enough disk space' "$FSFM" pack "$s" "$work/small/out"
    [ -e "$work/small/out" ] && fail "a pack that cannot fit leaves something"
    umount "$work/small"
fi

# Damage is found and named.
cp -r "$work/raw-1" "$work/damaged"
python3 - "$work/damaged/shard-00001.h5" <<'P'
import sys
with open(sys.argv[1], "r+b") as f: f.seek(2048 + 777); b = f.read(1); f.seek(-1, 1); f.write(bytes([b[0] ^ 4]))
P
id=$(ls "$s/images" | sed -n 7p)
expect 1 "shard-00001.h5: sample 0 .*checksum" "$FSFM" inspect "$work/damaged" --verify
expect 1 "checksum" "$FSFM" inspect "$work/damaged/shard-00001.h5" --verify --json
expect 0 "shard-00001.h5" "$FSFM" inspect "$work/damaged"
truncate -s 300000 "$work/damaged/shard-00002.h5"
expect 1 "2 damaged parts" "$FSFM" inspect "$work/damaged" --verify
grep -q 'damaged: shard-00002.h5: .*cut short' "$work/out" || fail "a truncated shard is not named"
"$FSFM" inspect "$work/raw-1" --verify --json | python3 -c 'import json, sys; d = json.load(sys.stdin); sys.exit(not (d["samples"] == 24 and d["damaged"] == [] and len(d["shards"]) >= 4))' || fail "inspect --json"
echo text >"$work/some.txt"
expect 1 'some.txt.*not an HDF5 file' "$FSFM" inspect "$work/some.txt"
expect 1 'dataset.yaml is missing' "$FSFM" inspect "$work/empty"

[ $failures = 0 ] && echo "pack: all as expected"
exit $((failures > 0))
