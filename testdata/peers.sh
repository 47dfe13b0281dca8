#!/bin/sh
# Runs snapcase beside what examiners use today, on the same input, in turns,
# and prints the best of five of each with their ratio (below 1: snapcase is
# faster). The machine should be quiet.
#   testdata/peers.sh DIR      folder for images, 12 GB; they are kept
# Needs root, loop devices, mkfs.ext4, mkfs.xfs, python3, sleuthkit, ripgrep.
set -eu
[ $# = 1 ] || { sed -n '2,6p' "$0" | cut -c3-; exit 2; }
cd "$(dirname "$0")/.."
mkdir -p "$1"
dir=$(cd "$1" && pwd)
tool=$dir/snapcase
CGO_ENABLED=0 go build -trimpath -o "$tool" ./cmd/snapcase

seconds() { # of a command
	from=$(date +%s%N)
	"$@" >/dev/null 2>&1 || [ $? = 4 ] # gaps
	echo $(($(date +%s%N) - from)) | awk '{printf "%.3f\n", $1 / 1e9}'
}
least() { sort -g | head -n 1; }
row() { # what, seconds of ours, name of the peer, seconds of it
	awk -v what="$1" -v a="$2" -v peer="$3" -v b="$4" 'BEGIN{printf "%-44s %8.3f s   %-24s %8.3f s   %5.2f\n", what, a, peer, b, a / b}'
}
# beside WHAT PEER: runs the functions ours and peer in turns.
beside() {
	: >"$dir/ours"
	: >"$dir/peer"
	for _ in 1 2 3 4 5; do
		ours >>"$dir/ours"
		peer >>"$dir/peer"
	done
	row "$1" "$(least <"$dir/ours")" "$2" "$(least <"$dir/peer")"
}
# bench NAME PACKAGE UNIT: the best of three of a Go benchmark, in its unit.
bench() { # NAME PACKAGE UNIT [TIME]
	go test -run '^$' -bench "$1" -benchtime "${4:-5x}" -count 3 "$2" | awk -v unit="$3" '
		/^Benchmark/{for (i = 2; i < NF; i++) if ($(i + 1) == unit && (best == "" || unit == "MB/s" && $i > best || unit != "MB/s" && $i < best)) best = $i}
		END{print best}'
}
newcase() { # NAME IMAGE
	[ -d "$dir/$1" ] || {
		HOME=$dir "$tool" new "$dir/$1" --title T --examiner jdoe --quiet >/dev/null
		HOME=$dir "$tool" acquire "$dir/$1" "$2" --as disk --quiet >/dev/null || [ $? = 4 ]
	}
}
index() { HOME=$dir seconds "$tool" index "$dir/$1" --rebuild --quiet; }
find_mounted() { # IMAGE
	mount -o loop,ro,norecovery,nouuid "$1" "$dir/mnt"
	seconds find "$dir/mnt" -printf '%i|%p|%m|%U|%G|%s|%A@|%T@|%C@|%l\n'
	umount "$dir/mnt"
}

echo "making the images" >&2
mkdir -p "$dir/mnt"
[ -f "$dir/ext4.raw" ] || sh imaging/filesystem/ext4/testdata/large.sh "$dir/ext4.raw"
[ -f "$dir/xfs.raw" ] || sh imaging/filesystem/xfs/testdata/large.sh "$dir/xfs.raw"
[ -f "$dir/even.raw" ] || {
	rm -rf "$dir/tree"
	python3 -c '
import os, sys
for i in range(2200):
    d = "%s/dir%02d/sub%02d" % (sys.argv[1], i // 100, i % 100)
    os.makedirs(d)
    for j in range(99):
        open("%s/file-%04d.txt" % (d, j), "w").write("x")' "$dir/tree"
	mkfs.ext4 -q -F -N 300000 -d "$dir/tree" "$dir/even.raw" 2G
	rm -rf "$dir/tree"
}
[ -f "$dir/random.raw" ] || head -c 2147483648 /dev/urandom >"$dir/random.raw"
newcase case.ext4 "$dir/ext4.raw"
newcase case.even "$dir/even.raw"
newcase case.xfs "$dir/xfs.raw"

printf '%-44s %10s   %-24s %10s   %5s\n' what snapcase peer time ratio
ours() { index case.ext4; }
peer() { seconds fls -r -m / "$dir/ext4.raw"; }
beside 'ext4, 221,000 entries: parse and index' 'fls -r -m /'
row 'ext4, the same: parse alone' "$(EXT4_BENCH_IMAGE=$dir/ext4.raw bench 'WalkAlone$' ./imaging/filesystem/ext4 ns/op | awk '{print $1 / 1e9}')" 'fls -r -m /' "$(least <"$dir/peer")"
ours() { index case.even; }
peer() { seconds fls -r -m / "$dir/even.raw"; }
beside 'ext4 of mkfs -d, 220,000: parse and index' 'fls -r -m /'
ours() { index case.xfs; }
peer() { find_mounted "$dir/xfs.raw"; }
beside 'XFS, 220,000 entries: parse and index' 'find, fresh mount'
row 'XFS, the same: parse alone' "$(XFS_BENCH_IMAGE=$dir/xfs.raw bench 'Walk$' ./imaging/filesystem/xfs ns/op | awk '{print $1 / 1e9}')" 'find, fresh mount' "$(least <"$dir/peer")"
ours() {
	rm -rf "$dir/case.random"
	HOME=$dir "$tool" new "$dir/case.random" --title T --examiner jdoe --quiet >/dev/null
	HOME=$dir seconds "$tool" acquire "$dir/case.random" "$dir/random.raw" --as disk --no-index --quiet
}
peer() { seconds sha256sum "$dir/random.raw"; }
beside '2 GiB: copy, hash, block digests, key scan' sha256sum
rm -rf "$dir/case.random"
head -c 536870912 "$dir/random.raw" >"$dir/blocks"
echo AKIAIOSFODNN7EXAMPLE >>"$dir/blocks"
ours() { bench 'Scan/random' ./evidence/credential MB/s | awk '{print 536.870912 / $1}'; }
peer() { seconds rg -a -c --threads 1 '(AKIA|ASIA)[A-Z2-7]{16}' "$dir/blocks"; }
beside '512 MiB of random bytes: key scan, one core' 'rg --threads 1'
rm "$dir/blocks"
row '1 GB: SHA-256 of the whole and of blocks' "$(bench HashImage ./evidence/custody MB/s | awk '{print 1000 / $1}')" 'crypto/sha256' "$(bench 'Hash8K/Sum256' crypto/sha256 MB/s 1s | awk '{print 1000 / $1}')"
