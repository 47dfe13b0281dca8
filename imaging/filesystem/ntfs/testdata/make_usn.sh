#!/bin/sh
# Makes usn.img.gz beside this script: an NTFS volume of 5 MiB with a change
# journal as Microsoft documents its records (USN_RECORD_V2, V3 and V4), since
# ntfs-3g writes none. Needs root, mkfs.ntfs, ntfscp, ntfs-3g with FUSE, istat
# and python3.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
mnt=$dir/mnt
mkdir "$mnt"
mount_it() { ntfs-3g -o show_sys_files,streams_interface=windows "$dir/img" "$mnt"; }
# ref FILE: its record and, once it is not mounted, its sequence number
record() { stat -c %i "$mnt/$1"; }
ref() { echo "$1:$(istat "$dir/img" "$1" | sed -n 's/.*Sequence: *\([0-9]*\).*/\1/p' | head -1)"; }

truncate -s 5M "$dir/img"
mkfs.ntfs -F -Q -q -c 1024 -L usn "$dir/img" >/dev/null 2>&1
printf '' >"$dir/empty"
ntfscp -f "$dir/img" "$dir/empty" '$Extend/$UsnJrnl' >/dev/null
mount_it
mkdir -p "$mnt/dir/sub" "$mnt/tools"
printf kept >"$mnt/dir/new name.txt"
printf one >"$mnt/dir/sub/gone but there.txt"
printf two >"$mnt/dir/evil.exe"
printf three >"$mnt/tools/nc.exe"
kept=$(record 'dir/new name.txt') there=$(record 'dir/sub/gone but there.txt') evil=$(record dir/evil.exe)
tools=$(record tools) nc=$(record tools/nc.exe) top=$(record dir) sub=$(record dir/sub)
umount "$mnt"
kept=$(ref "$kept") there=$(ref "$there") evil=$(ref "$evil") tools=$(ref "$tools") nc=$(ref "$nc") top=$(ref "$top") sub=$(ref "$sub")
mount_it
rm -r "$mnt/dir/evil.exe" "$mnt/tools"
umount "$mnt"
mount_it
for i in 1 2 3 4; do printf "%d" "$i" >"$mnt/again$i"; done # takes their records
umount "$mnt"
mount_it
rm "$mnt/dir/sub/gone but there.txt"
python3 - "$mnt" "$kept" "$there" "$evil" "$tools" "$nc" "$top" "$sub" <<'PY'
import struct, sys
mnt = sys.argv[1]
kept, there, evil, tools, nc, top, sub = [int(n) | int(s) << 48 for n, s in (r.split(":") for r in sys.argv[2:])]
root, head, page = 5 | 5 << 48, 1 << 20, 4096
CREATE, DELETE, OLD, NEW, EXTEND, CLOSE = 0x100, 0x200, 0x1000, 0x2000, 0x2, 0x80000000
out, clock = bytearray(), 132539328000000000  # 2021-01-01
def put(make):
    at = head + len(out)
    if at // page != (at + len(make(at)) - 1) // page:
        out.extend(bytes(page - at % page))
        at = head + len(out)
    out.extend(make(at))
def pad(b):
    b += bytes(-len(b) % 8)
    return struct.pack("<I", len(b)) + b[4:]
def v2(ref, parent, reason, name, attrs=0x20, source=0):
    global clock
    clock += 10_000_000
    n, t = name.encode("utf-16le"), clock
    put(lambda at: pad(struct.pack("<IHHQQqqIIIIHH", 0, 2, 0, ref, parent, at, t, reason, source, 0x105, attrs, len(n), 60) + n))
def v3(ref, parent, reason, name, attrs=0x20):
    global clock
    clock += 10_000_000
    n, t = name.encode("utf-16le"), clock
    put(lambda at: pad(struct.pack("<IHHQQQQqqIIIIHH", 0, 3, 0, ref, 0, parent, 0, at, t, reason, 0, 0x105, attrs, len(n), 76) + n))
def v4(ref, parent, reason):
    put(lambda at: pad(struct.pack("<IHHQQQQqIIIHHqq", 0, 4, 0, ref, 0, parent, 0, at, reason, 0, 0, 1, 16, 0, 4096)))
v2(top, root, CREATE, "dir", 0x10)
v2(top, root, CREATE | CLOSE, "dir", 0x10)
v2(sub, top, CREATE | CLOSE, "sub", 0x10)
v2(tools, root, CREATE | CLOSE, "tools", 0x10)
v2(kept, top, CREATE, "old name.txt")
v2(kept, top, CREATE | EXTEND | CLOSE, "old name.txt")
v2(kept, top, OLD, "old name.txt")
v2(kept, top, NEW, "new name.txt")
v2(kept, top, NEW | CLOSE, "new name.txt")
v2(there, sub, CREATE | EXTEND | CLOSE, "gone but there.txt")
v2(evil, top, CREATE | EXTEND | CLOSE, "naïve 日本 😀.exe")
v2(evil, top, OLD, "naïve 日本 😀.exe")
v2(evil, top, NEW | CLOSE, "evil.exe")
v3(nc, tools, CREATE, "nc.exe")
v4(nc, tools, EXTEND)
v3(nc, tools, CREATE | EXTEND | CLOSE, "nc.exe")
for i in range(200):  # fills more than a page
    v2(kept, top, 0x8000 | CLOSE if i % 2 else 0x1, "new name.txt", source=i % 5)
v3(nc, tools, DELETE | CLOSE, "nc.exe")
v2(tools, root, DELETE | CLOSE, "tools", 0x10)
v2(evil, top, DELETE | CLOSE, "evil.exe")
v2(there, sub, DELETE | CLOSE, "gone but there.txt")
with open(mnt + "/$Extend/$UsnJrnl:$Max", "wb") as f:
    f.write(struct.pack("<QQQQ", 32 << 20, 8 << 20, clock, 0))
with open(mnt + "/$Extend/$UsnJrnl:$J", "wb") as f:
    f.seek(head)
    f.write(out)
PY
umount "$mnt"
gzip -9n <"$dir/img" >"$here/usn.img.gz"
[ $# -eq 0 ] || cp "$dir/img" "$1"
rm -r "$dir"
