#!/bin/sh
# Makes small.iso.gz (Rock Ridge with a moved directory, Joliet) and
# sessions.iso.gz (a file removed and one changed in a second session).
set -e
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p in/1/2/3/4/5/6/7/8/9
echo "#cloud-config" >in/user-data
echo "instance-id: i-0123456789abcdef0" >in/meta-data
echo deep >in/1/2/3/4/5/6/7/8/9/file
echo "Grüße" >"in/Grüße aus der Ferne, mit einem langen Namen, der in keinen einzelnen Eintrag passt $(printf 'x%.0s' $(seq 150))"
ln -s ../etc/passwd in/link
chmod 4750 in/meta-data
find in -exec touch -h -d 2021-03-04T05:06:08Z {} +
genisoimage -quiet -R -J -joliet-long -input-charset utf-8 -V cidata -o small.iso in
gzip -9n <small.iso >"$here/small.iso.gz"
cat >one.sh <<'X'
xorriso -report_about WARNING -padding 0 -outdev stdio:sessions.iso -map in/user-data /user-data -map in/meta-data /d/meta-data -commit
echo "#cloud-config, changed" >in/user-data
xorriso -report_about WARNING -padding 0 -dev stdio:sessions.iso -rm /d/meta-data -- -update in/user-data /user-data -commit
X
sh one.sh
gzip -9n <sessions.iso >"$here/sessions.iso.gz"
