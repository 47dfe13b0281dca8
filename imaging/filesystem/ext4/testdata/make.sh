#!/bin/sh
# Makes the small images of this folder: a few hundred KiB each, packed to a
# few. Needs e2fsprogs 1.47 and gzip; no root. Same input, same bytes.
set -eu
cd "$(dirname "$0")"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/home/user/.aws" "$tree/empty" "$tree/many"
printf '[default]\nregion = eu-west-1\n' >"$tree/home/user/.aws/config"
ln -s user/.aws/config "$tree/home/link"
ln -s "$(printf '%080d' 0)" "$tree/home/longlink"
printf 'hard' >"$tree/a"; ln "$tree/a" "$tree/b"
printf '\033[31m' >"$tree/$(printf 'esc\033[31m\nname')"
i=0; while [ $i -lt 60 ]; do printf '%d' $i >"$tree/many/file-$i"; i=$((i + 1)); done
dd if=/dev/zero of="$tree/sparse" bs=1 count=1 seek=200000 2>/dev/null
find "$tree" -exec touch -h -d '2026-01-02T03:04:05Z' {} +
make_one() { # name, size, arguments of mke2fs
	name=$1 size=$2; shift 2
	rm -f "$name.img" "$name.img.gz"
	SOURCE_DATE_EPOCH=1767323045 E2FSPROGS_FAKE_TIME=1767323045 mke2fs -q -F -U 01234567-89ab-cdef-0123-456789abcdef -E hash_seed=01234567-89ab-cdef-0123-456789abcdef -L small -d "$tree" "$@" "$name.img" "$size"
	debugfs -w -R 'rm /many/file-7' "$name.img" 2>/dev/null
	gzip -9n "$name.img"
}
make_one ext2 512k -t ext2 -b 1024 -N 128 -I 128
make_one ext4 768k -t ext4 -b 1024 -N 128 -I 256 -O ^has_journal
make_one inline 768k -t ext4 -b 1024 -N 128 -I 256 -O ^has_journal,inline_data,metadata_csum,64bit
