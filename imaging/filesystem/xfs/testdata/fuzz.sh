#!/bin/sh
# Makes fuzz.img.gz: an XFS volume of 16 MiB with a little of each form, so that
# a walk of it takes a millisecond: short, block and leaf directories, an extent
# tree, attributes in inode, leaf and blocks of their own, deleted and orphaned
# files, and a log that is not empty. Needs root, mkfs.xfs, xfs_io, setfattr,
# python3.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
truncate -s 16M "$work/img"
mkdir "$work/mnt"
# mkfs refuses small volumes outside of its own tests
TEST_DIR=1 TEST_DEV=1 QA_CHECK_FS=1 mkfs.xfs -q -f -L fuzz -b size=1k -d agcount=1 -m rmapbt=1,uuid=5eed0000-0000-4000-8000-000000000002 "$work/img"
mount -o loop "$work/img" "$work/mnt"
cd "$work/mnt"
mkdir short block leaf gone
for i in 1 2; do echo "$i" >short/file$i; done
for i in $(seq 9); do ln short/file1 "block/a-rather-long-name-that-needs-a-block-$i"; done
long=$(printf 'name%.0s' $(seq 60))
for i in $(seq 10 30); do ln short/file1 "leaf/$long$i"; done
for i in 1 2 3; do echo "content $i" >gone/victim-$i; done
ln -s short/file1 link
ln -s "$(printf 'target/%.0s' $(seq 100))" longlink
printf hello >sparse
printf end | dd of=sparse bs=1 seek=3000000000 conv=notrunc status=none
for i in $(seq 0 2 60); do dd if=/dev/zero of=pieces bs=1k count=1 seek=$i conv=notrunc status=none; done
setfattr -n user.short -v value short/file1
setfattr -n user.leaf -v "$(printf 'v%.0s' $(seq 400))" short/file2
setfattr -n user.remote -v "$(printf 'v%.0s' $(seq 3000))" pieces
mkfifo fifo
mknod device c 259 70000
cp --reflink=always pieces shared
touch -d '1960-01-02 03:04:05.678901234Z' link short/file1
cd /
umount "$work/mnt"
mount -o loop "$work/img" "$work/mnt"
rm "$work/mnt/leaf/${long}17" "$work/mnt/block/a-rather-long-name-that-needs-a-block-5" "$work/mnt/short/file2"
rm -r "$work/mnt/gone"
sync
echo late >"$work/mnt/late"
exec 9>"$work/mnt/open-and-deleted"
echo "still here" >&9
sync
rm "$work/mnt/open-and-deleted"
xfs_io -x -c 'shutdown -f' "$work/mnt"
exec 9>&-
umount "$work/mnt"
# a mount writes thousands of empty records over what is stale: eight will do
python3 - "$work/img" <<'END'
import sys
with open(sys.argv[1], "r+b") as f:
    image, empty = f.read(), 0
    for at in range(0, len(image), 512):
        if image[at : at + 4] == b"\xfe\xed\xba\xbe" and image[at + 12 : at + 16] == bytes(4):
            empty += 1
            if empty > 8:
                f.seek(at)
                f.write(bytes(512))
END
gzip -9nc "$work/img" >"$here/fuzz.img.gz"
rm -r "$work"
