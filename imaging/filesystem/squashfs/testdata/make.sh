#!/bin/sh
# Makes small images in each compression: files whose ends share a fragment, a
# hole, a large directory, links.
set -e
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p in/dir/sub in/many
echo "#cloud-config" >in/user-data
printf 'tail of a second file' >in/dir/sub/second
yes 'a line of text' | head -c 20000 >in/text
truncate -s 70000 in/hole
printf 'in the middle' | dd of=in/hole bs=1 seek=30000 conv=notrunc 2>/dev/null
ln -s ../etc/passwd in/link
ln in/text in/hard
for i in $(seq 300); do : >"in/many/a name that is long enough, number $i"; done
chmod 4755 in/user-data
find in -exec touch -h -d 2021-03-04T05:06:08Z {} +
for c in gzip xz zstd lz4 lzo lzma; do
	mksquashfs in $c.sqs -quiet -no-progress -noappend -nopad -b 8K -all-root -mkfs-time 1614834368 -comp $c
	cp $c.sqs "$here/$c.sqs"
done
mksquashfs in plain.sqs -quiet -no-progress -noappend -nopad -b 8K -all-root -mkfs-time 1614834368 -no-exports -noI -noD -noF
gzip -9n <plain.sqs >"$here/plain.sqs.gz"
