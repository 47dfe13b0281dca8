#!/bin/sh
# Makes the image that the benchmark reads: 220,000 entries in directories of
# all sizes, 10,500 of them deleted after a remount. Needs root.
#   large.sh IMAGE
set -eu
image=$1
dir=$(mktemp -d)
rm -f "$image"
truncate -s 4500M "$image"
mkfs.ext4 -q -F "$image"
mount -o loop "$image" "$dir"
python3 - "$dir" <<'P'
import os, random, sys
random.seed(7)
top = sys.argv[1]
left = 220000
k = 0
while left > 0:
    d = "%s/%c%d/%s%d" % (top, 97 + k % 26, k % 40, "lib" * (1 + k % 3), k)
    os.makedirs(d, exist_ok=True)
    n = min(left, random.choice([3, 20, 60, 200, 800, 26000 if k % 60 == 9 else 100]))
    for i in range(n):
        p = "%s/%s-%d.%s" % (d, random.choice(["module", "x", "python3-package", "README"]), i, random.choice(["py", "so.1", "conf"]))
        if i % 17 == 5:
            os.symlink("../target-%d" % i, p)
        else:
            f = os.open(p, os.O_CREAT | os.O_WRONLY, 0o644)
            if i % 3 == 0:
                os.write(f, b"content %d\n" % i * (1 + i % 50))
            os.close(f)
    left -= n
    k += 1
P
umount "$dir"
mount -o loop "$image" "$dir"
find "$dir" -type f -name '*.py' | awk 'NR % 7 == 3' | head -n 10500 >"$image.deleted"
tr '\n' '\0' <"$image.deleted" | xargs -0 stat --printf '%i|%s|%n\n' >"$image.gone"
tr '\n' '\0' <"$image.deleted" | xargs -0 rm
umount "$dir"
rmdir "$dir"
