#!/bin/sh
# Makes the evidence of the demonstration case and embeds it in
# cmd/snapcase/demo. Rootless; two runs with the same tools give the same
# bytes, and testdata/demo/SHA256SUMS says which.
#
# Needs Go and, of Debian: fdisk (sfdisk), dosfstools (mkfs.vfat), mtools,
# e2fsprogs (mkfs.ext4, debugfs, e2fsck), zstd.
#
# usage: testdata/demo/make.sh           make, embed, compare with SHA256SUMS
#        testdata/demo/make.sh --accept  make, embed, write SHA256SUMS anew
set -eu
export LC_ALL=C TZ=UTC MTOOLS_SKIP_CHECK=1 PATH="$PATH:/usr/sbin:/sbin"
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${DEMO_WORK:-$(mktemp -d)}
mkdir -p "$work"
for t in go sfdisk mkfs.vfat mcopy mkfs.ext4 debugfs e2fsck zstd; do
	command -v "$t" >/dev/null || { echo "make.sh: needs $t" >&2; exit 1; }
done
(cd "$root" && go run ./testdata/demo -out "$work" -truth "$here/truth.json")
cd "$work"

# --- EFI system partition, 8 MiB at 1 MiB: FAT16 with a deleted entry.
export SOURCE_DATE_EPOCH=1787022862 # 2026-08-18T03:14:22Z
rm -f efi.img root.img disk.raw && truncate -s 8M efi.img
mkfs.vfat --invariant -i 5A17CA5E -n EFI -F 16 -s 1 efi.img >/dev/null
mkdir -p efi
printf 'MZ%0510d' 0 >efi/BOOTX64.EFI
printf 'search.fs_uuid 7c0d4a4e-9b0e-4f6a-9d53-21a6f0e5b2c4 root\nconfigfile /boot/grub2/grub.cfg\n' >efi/grub.cfg
printf '# GRUB Environment Block\nsaved_entry=6.1.109\n' >efi/grubenv.old
touch -d @1787022862 efi/*
mmd -i efi.img ::/EFI ::/EFI/BOOT ::/EFI/amzn
mcopy -m -i efi.img efi/BOOTX64.EFI ::/EFI/BOOT/BOOTX64.EFI
mcopy -m -i efi.img efi/grub.cfg efi/grubenv.old ::/EFI/amzn/
mdel -i efi.img ::/EFI/amzn/grubenv.old

# --- Root, 54 MiB at 9 MiB: ext4 with the features of Amazon Linux.
truncate -s 54M root.img
E2FSPROGS_FAKE_TIME=1787022862 mkfs.ext4 -q -b 4096 -I 256 -L / -U 7c0d4a4e-9b0e-4f6a-9d53-21a6f0e5b2c4 \
	-E hash_seed=3f1c9f6e-7a55-4ab2-8c0e-94d1b6a0e7f3,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 \
	-O has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum,^resize_inode root.img
fill() { # TIME SCRIPT: debugfs says what goes wrong on stderr, after its version
	E2FSPROGS_FAKE_TIME=$1 debugfs -w -f "$2" root.img >debugfs.out 2>debugfs.err
	if sed 1d debugfs.err | grep .; then
		echo "make.sh: debugfs $2 failed" >&2
		exit 1
	fi
}
fill 1787022862 fill.debugfs
# Deleting with debugfs leaves the inode as old kernels and ext3 do not: size
# and extents stay, dtime is set, the blocks are free in the bitmap, and the
# name stays in the slack of its directory (as kernels before 5.13 leave it).
# So name, time and content of these entries can be recovered.
for s in rm-*.debugfs; do
	t=${s#rm-}
	fill "${t%.debugfs}" "$s"
done
E2FSPROGS_FAKE_TIME=1792052892 debugfs -w -R 'ssv wtime @1792052892' root.img 2>/dev/null # 2026-10-15T08:28:12Z
e2fsck -fn root.img >e2fsck.out 2>&1 || { cat e2fsck.out; echo "make.sh: e2fsck finds faults" >&2; exit 1; }

# --- The disk.
truncate -s 64M disk.raw
sfdisk -q --no-reread --no-tell-kernel disk.raw <<'GPT'
label: gpt
label-id: 9D2E4A1C-5B77-4C0F-8E21-6C3B1D9F4A70
unit: sectors
start=2048, size=16384, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=0B0F4C52-66E1-4A2D-9C17-3E5A8D72B9F1, name="EFI System Partition"
start=18432, size=110592, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, uuid=4E7A1D93-2C58-4F60-B3A4-91D0C6E85B27, name="Linux"
GPT
dd if=efi.img of=disk.raw bs=1M seek=1 conv=notrunc status=none
dd if=root.img of=disk.raw bs=1M seek=9 conv=notrunc status=none

# --- Pack.
out="$root/cmd/snapcase/demo"
mkdir -p "$out"
zstd -q -f --ultra -22 --no-check --no-progress disk.raw -o "$out/disk.raw.zst"
(cd logs && tar --sort=name --owner=0 --group=0 --numeric-owner --mode=0644 --mtime=@1792137600 --format=ustar -cf ../logs.tar $(find . -type f | sed 's#^\./##' | sort))
zstd -q -f --ultra -22 --no-check --no-progress logs.tar -o "$out/logs.tar.zst"
sum() { (cd "$work" && sha256sum disk.raw logs.tar) && (cd "$out" && sha256sum disk.raw.zst logs.tar.zst); }
if [ "${1:-}" = --accept ]; then
	sum >"$here/SHA256SUMS"
elif ! sum | diff "$here/SHA256SUMS" -; then
	echo "make.sh: not the bytes of SHA256SUMS; other versions of the tools? (--accept takes these)" >&2
	exit 1
fi
ls -l "$out"/*.zst
