#!/bin/sh
# Makes small.img.gz: an XFS volume of 40 MiB with every form of directory,
# links, holes, an open and deleted file, and a log that is not empty. Needs
# root, mkfs.xfs, xfs_io.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
truncate -s 40M "$work/img"
mkdir "$work/mnt"
# mkfs refuses small volumes outside of its own tests
TEST_DIR=1 TEST_DEV=1 QA_CHECK_FS=1 mkfs.xfs -q -f -L small -d agcount=2 -m uuid=5eed0000-0000-4000-8000-000000000001 "$work/img"
mount -o loop "$work/img" "$work/mnt"
cd "$work/mnt"
mkdir short block leaf node gone
for i in 1 2 3; do echo "$i" >short/file$i; done
for i in $(seq 40); do : >block/entry-number-$i; done
for i in $(seq 250); do : >leaf/entry-number-$i; done
for i in $(seq 700); do ln short/file1 "node/a-rather-long-name-that-fills-blocks-$i"; done
for i in $(seq 20); do echo "content $i" >gone/victim-$i; done
ln -s short/file1 link
ln -s "$(printf 'target/%.0s' $(seq 100))" longlink
printf hello >sparse
truncate -s 3G sparse
printf end | dd of=sparse bs=1 seek=3000000000 conv=notrunc status=none
for i in $(seq 0 2 60); do dd if=/dev/urandom of=pieces bs=4k count=1 seek=$i conv=notrunc status=none; done
mkfifo fifo
mknod device c 259 70000
touch -d '1960-01-02 03:04:05.678901234Z' old
touch -d '2040-01-02 03:04:05.678901234Z' new
cd /
umount "$work/mnt"
mount -o loop "$work/img" "$work/mnt"
rm "$work/mnt/leaf/entry-number-7" "$work/mnt/leaf/entry-number-8" "$work/mnt/block/entry-number-9" "$work/mnt/short/file3"
rm -r "$work/mnt/gone"
sync
for i in $(seq 5); do echo "late $i" >"$work/mnt/late-$i"; done
exec 9>"$work/mnt/open-and-deleted"
echo "still here" >&9
sync
rm "$work/mnt/open-and-deleted"
xfs_io -x -c 'shutdown -f' "$work/mnt"
exec 9>&-
umount "$work/mnt"
gzip -9nc "$work/img" >"$here/small.img.gz"
rm -r "$work"
