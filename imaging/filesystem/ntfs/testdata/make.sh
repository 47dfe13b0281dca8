#!/bin/sh
# Makes small.img.gz beside this script: an NTFS volume of 5 MiB with what the
# tests know. Needs root, mkfs.ntfs, ntfs-3g with FUSE and python3.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
mnt=$dir/mnt
mkdir "$mnt"
xattr() { python3 -c 'import os, sys; os.setxattr(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]))' "$1" "$2" "$3"; }
mount_it() { ntfs-3g -o compression,streams_interface=xattr "$dir/img" "$mnt"; }

truncate -s 5M "$dir/img"
mkfs.ntfs -F -Q -q -c 1024 -L small "$dir/img" >/dev/null 2>&1
mount_it
cd "$mnt"
printf 'hello' >hello.txt
xattr hello.txt user.Zone.Identifier "$(printf 'ZoneId=3' | od -An -tx1 | tr -d ' \n')"
mkdir -p dir/sub comp gone/deep
xattr dir user.note "$(printf 'on a directory' | od -An -tx1 | tr -d ' \n')"
ln hello.txt dir/hard.txt
ln -s ../hello.txt dir/link
printf 'deep' >dir/sub/'naïve 日本 😀.txt'
xattr comp system.ntfs_attrib_be 00000810
seq 1 12000 >comp/numbers.txt
{ head -c 70000 /dev/zero | tr '\0' q; } >comp/holes
printf end | dd of=comp/holes bs=1 seek=300001 conv=notrunc status=none
printf start >sparse
printf end | dd of=sparse bs=1 seek=400000 conv=notrunc status=none
python3 -c '
with open("spread", "wb") as f: # more runs than a record holds
    for i in range(500):
        f.seek(i * 4096)
        f.write(b"%01024d" % i)
'
mkdir slack reuse
for i in $(seq 0 119); do printf "%d" "$i" >"slack/a name of some length, number $i"; done
for i in $(seq 0 59); do printf "%0$((i * 17 + 1))d" "$i" >"dir/file$i"; done
for i in $(seq 0 9); do printf "%0900d" "$i" >"gone/deep/lost$i"; done
seq 1 2000 >deleted.txt
touch -d '1700-01-02 03:04:05.1234567 UTC' old
touch -d '2300-01-02 03:04:05.7654321 UTC' new
chmod 444 new
cd /
umount "$mnt"
mount_it
rm "$mnt"/slack/*[13579]
for i in $(seq 0 59); do printf "%d" "$i" >"$mnt/reuse/$i"; done # takes their records
mv "$mnt/slack/a name of some length, number 8" "$mnt/slack/renamed"
rm -r "$mnt/gone" "$mnt/deleted.txt" "$mnt/dir/file7"
umount "$mnt"
gzip -9n <"$dir/img" >"$here/small.img.gz"
rm -r "$dir"
