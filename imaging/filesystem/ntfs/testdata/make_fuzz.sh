#!/bin/sh
# Makes fuzz.img.gz beside this script: an NTFS volume of 1 MiB with a little of
# each form, so that a walk of it takes less than a millisecond. Needs root,
# mkfs.ntfs, ntfs-3g with FUSE and python3.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
mnt=$dir/mnt
mkdir "$mnt"
xattr() { python3 -c 'import os, sys; os.setxattr(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]))' "$1" "$2" "$3"; }
mount_it() { ntfs-3g -o compression,streams_interface=xattr "$dir/img" "$mnt"; }

truncate -s 1536K "$dir/img"
mkfs.ntfs -F -Q -q -c 1024 -L fuzz "$dir/img" >/dev/null 2>&1
mount_it
cd "$mnt"
printf 'hello' >hello.txt
xattr hello.txt user.Zone.Identifier "$(printf 'ZoneId=3' | od -An -tx1 | tr -d ' \n')"
mkdir -p dir/sub comp gone/deep slack
ln hello.txt dir/hard.txt
ln -s ../hello.txt dir/link
printf 'deep' >dir/sub/'naïve 日本 😀.txt'
xattr comp system.ntfs_attrib_be 00000810
seq 1 3000 >comp/numbers.txt
printf start >sparse
printf end | dd of=sparse bs=1 seek=400000 conv=notrunc status=none
python3 -c '
with open("spread", "wb") as f: # more runs than a record holds
    for i in range(220):
        f.seek(i * 4096)
        f.write(b"%0512d" % i)
'
for i in $(seq 0 23); do ln hello.txt "slack/a name of some length, number $i"; done
for i in 1 2 3; do printf "%0900d" "$i" >"gone/deep/lost$i"; done
cd /
umount "$mnt"
mount_it
rm "$mnt"/slack/*[13579]
mv "$mnt/slack/a name of some length, number 8" "$mnt/slack/renamed"
rm -r "$mnt/gone"
umount "$mnt"
gzip -9n <"$dir/img" >"$here/fuzz.img.gz"
rm -r "$dir"
