#!/bin/sh
# VERIFY.sh [BAG [ALLOWED_SIGNERS [TSA_CA.pem]]] - checks a snapcase bundle with coreutils, find, awk and OpenSSH alone
# (OpenSSL for time stamps). Exit: 0 intact and trusted, 3 broken, 4 intact with recorded gaps, 5 intact but not trusted.
# A revocation list ALLOWED_SIGNERS.krl is honoured. Run a copy you already trust, not the one inside a bag you doubt.
set -u
for t in sha256sum ssh-keygen awk od base64; do command -v $t > /dev/null || { echo "VERIFY.sh needs $t"; exit 1; }; done
LC_ALL=C; export LC_ALL
bag=${1:-$(dirname "$0")}; signers=${2:-}; ca=${3:-}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
[ -z "$signers" ] || signers=$(realpath "$signers") || exit 1
[ -z "$ca" ] || ca=$(realpath "$ca") || exit 1
cd "$bag" || exit 1
broken=0 gaps=0 good=0
bad() { echo "BROKEN     $*"; broken=1; }
note() { echo "note       $*"; }

# sig NAMESPACE SIGFILE MESSAGE: the signature must hold; sets trust=1 when a given signer made it
sig() {
	trust=0
	sed '1d;$d' "$2" | tr -d '\n' > "$tmp/b64"
	base64 -d < "$tmp/b64" > "$tmp/blob" 2>/dev/null || { bad "SIG_SYNTAX $2"; return; }
	same=0
	for width in 64 70; do
		{ echo '-----BEGIN SSH SIGNATURE-----'; base64 -w $width < "$tmp/blob"; echo '-----END SSH SIGNATURE-----'; } | cmp -s - "$2" && same=1
	done
	[ $same = 1 ] || { bad "SIG_ARMOR_NOT_CANONICAL $2"; return; }
	len=$(od -An -tu1 -j10 -N4 "$tmp/blob" | awk '{print (($1*256+$2)*256+$3)*256+$4}')
	[ "${len:-0}" -gt 0 ] && [ "$len" -lt 8192 ] || { bad "SIG_SYNTAX $2"; return; }
	id=$(tail -c +15 "$tmp/blob" | head -c "$len" | sha256sum | cut -c1-16)
	[ "$2" = "${3##*/}.$id.sig" ] || [ "$2" = "seal/${3##*/}.$id.sig" ] || [ "$2" = "$3.$id.sig" ] || { bad "SIG_NAME $2 (made by key $id)"; return; }
	ssh-keygen -Y check-novalidate -n "$1" -s "$2" < "$3" > /dev/null 2>&1 || { bad "SIG_BAD $2"; return; }
	[ -n "$signers" ] || return
	who=$(ssh-keygen -Y find-principals -f "$signers" -s "$2" 2>/dev/null | head -n 1)
	[ -n "$who" ] || { note "SIGNER_UNTRUSTED $2"; return; }
	if [ -f "$signers.krl" ]; then ssh-keygen -Y verify -f "$signers" -r "$signers.krl" -I "$who" -n "$1" -s "$2" < "$3" > /dev/null 2>&1
	else ssh-keygen -Y verify -f "$signers" -I "$who" -n "$1" -s "$2" < "$3" > /dev/null 2>&1; fi || { note "SIGNER_UNTRUSTED $2 ($who: expired, revoked or not for this namespace)"; return; }
	trust=1; note "signed by $who: $2"
	[ -n "$ca" ] && [ -f "$2.tsr" ] || return
	openssl ts -verify -data "$2" -in "$2.tsr" -CAfile "$ca" > "$tmp/ts" 2>&1 || bad "TST_BAD $2.tsr"
}

# names and kinds
[ -z "$(find . ! -type f ! -type d | head -n 1)" ] || bad "FILE_NOT_REGULAR $(find . ! -type f ! -type d | head -n 1)"
find . | grep -q '[^A-Za-z0-9._/-]' && bad "MANIFEST_PATH_UNSAFE $(find . | grep '[^A-Za-z0-9._/-]' | head -n 1 | od -An -c | head -n 2)"
[ -z "$(find . -type d -empty | head -n 1)" ] || bad "FILE_UNLISTED $(find . -type d -empty | head -n 1)"
[ ! -e fetch.txt ] || bad "FETCH_TXT_PRESENT"

# the seal
n=0
for s in seal/*; do
	case $s in
	seal/tagmanifest-sha256.txt.*.sig) n=$((n+1)); sig snapcase-bundle@v1 "$s" tagmanifest-sha256.txt; [ $trust = 0 ] || good=1 ;;
	seal/tagmanifest-sha256.txt.*.sig.tsr) [ -f "${s%.tsr}" ] || bad "FILE_UNLISTED $s" ;;
	*) [ ! -e "$s" ] || bad "FILE_UNLISTED $s" ;;
	esac
done
[ $n -gt 0 ] || bad "SEAL_MISSING"
[ -z "$(find seal -name '.*' 2>/dev/null | head -n 1)" ] || bad "FILE_UNLISTED $(find seal -name '.*' | head -n 1)"

# the manifests: every listed file holds, and no file is unlisted
for m in tagmanifest-sha256.txt manifest-sha256.txt; do
	[ -f $m ] || { bad "${m%-sha256.txt}: MANIFEST_MISSING"; continue; }
	grep -qv '^[0-9a-f]\{64\}  [A-Za-z0-9._/-]*$' $m && bad "MANIFEST_SYNTAX $m"
	sha256sum -c --strict --quiet $m > "$tmp/out" 2>&1 || bad "FILE_HASH_MISMATCH $(head -n 1 "$tmp/out")"
	cut -c67- $m | sort > "$tmp/want"
	if [ $m = manifest-sha256.txt ]; then find data -type f
	else find . -type f ! -path './data/*' ! -path './seal/*' ! -path ./tagmanifest-sha256.txt | cut -c3-; fi 2>/dev/null | sort > "$tmp/have"
	cmp -s "$tmp/want" "$tmp/have" || bad "FILE_UNLISTED or FILE_MISSING: $(comm -3 "$tmp/want" "$tmp/have" | head -n 1)"
done
oxum=$(find data -type f -exec wc -c {} \; 2>/dev/null | awk '{b+=$1; n++} END{printf "%d.%d", b, n}')
[ "$(awk -F': ' '$1=="Payload-Oxum"{print $2}' bag-info.txt 2>/dev/null)" = "$oxum" ] || bad "OXUM_MISMATCH"

# checkpoint FILE: its form and signatures; sets bytes, lines and ok
checkpoint() {
	ok=0
	[ -f "$1" ] || { bad "CHECKPOINT_MISSING"; return; }
	[ "$(head -n 1 "$1")" = snapcase-checkpoint/v1 ] && [ "$(wc -l < "$1")" = 10 ] || { bad "CHECKPOINT_SYNTAX $1"; return; }
	bytes=$(awk '$1=="bytes"{print $2}' "$1"); lines=$(awk '$1=="size"{print $2}' "$1")
	case $bytes in ''|*[!0-9]*) bad "CHECKPOINT_SYNTAX $1"; return ;; esac
	case $lines in ''|*[!0-9]*) bad "CHECKPOINT_SYNTAX $1"; return ;; esac
	ok=1
}
signatures() {
	lasttrust=0; signed=0
	for s in "$1".*.sig; do [ -f "$s" ] && { signed=1; sig snapcase-checkpoint@v1 "$s" "$1"; [ $trust = 0 ] || lasttrust=1; }; done
	[ $signed = 1 ] || bad "CHECKPOINT_UNSIGNED $1"
}
# bytes_of HEX: the bytes
bytes_of() {
	hex=$1; octal=
	while [ -n "$hex" ]; do rest=${hex#??}; v=$((0x${hex%"$rest"})); octal="$octal\\$((v / 64))$((v / 8 % 8))$((v % 8))"; hex=$rest; done
	printf "$octal"
}
# node LEFT RIGHT: sets node to the RFC 6962 hash of two subtrees
node() { node=$({ printf '\001'; bytes_of "$1$2"; } | sha256sum); node=${node%% *}; }

# the ledger against its checkpoints
lasttrust=0
if [ -f custody/ledger.jsonl ]; then
	[ ! -e custody/ledger.redacted.jsonl ] || bad "LEDGER_DIVERGED: two ledgers"
	size=$(wc -c < custody/ledger.jsonl); last=-1
	for c in custody/checkpoints/*.txt; do
		checkpoint "$c"; [ $ok = 1 ] || continue
		want=$(awk '$1=="prefix-sha256"{print $2}' "$c")
		[ "$bytes" -le "$size" ] || bad "LEDGER_TRUNCATED $c"
		[ "$(head -c "$bytes" custody/ledger.jsonl | sha256sum | cut -c1-64)" = "$want" ] || bad "PREFIX_MISMATCH $c"
		lines=$(head -c "$bytes" custody/ledger.jsonl | wc -l); [ "size $lines" = "$(sed -n 3p "$c")" ] || bad "CHECKPOINT_MISMATCH $c"
		[ "$bytes" -gt "$last" ] && last=$bytes; signatures "$c"
	done
	[ "$last" = "$size" ] || bad "UNSEALED_TAIL: $size bytes, sealed $last"
	[ $lasttrust = 1 ] || good=0
elif [ -f custody/ledger.redacted.jsonl ]; then
	# a line that is withheld has its leaf of the tree; the root of each checkpoint is computed from lines and leaves
	gaps=1; n=0; held=0; set --
	: > "$tmp/roots"
	for c in custody/checkpoints/*.txt; do checkpoint "$c"; [ $ok = 0 ] || echo "$lines"; done | sort -n > "$tmp/sizes"
	sizes=" $(tr '\n' ' ' < "$tmp/sizes")"
	while IFS= read -r line; do
		case $line in
		'{"leaf":"'*'","redacted":true,"seq":'"$n}")
			b64=${line#??leaf?:?}; b64=${b64%%\"*}; held=$((held+1))
			leaf=$(printf %s "$b64" | base64 -d 2>/dev/null | od -An -v -tx1 | tr -d ' \n')
			[ ${#leaf} = 64 ] && [ "$(bytes_of "$leaf" | base64 -w 0)" = "$b64" ] && [ "$line" = "{\"leaf\":\"$b64\",\"redacted\":true,\"seq\":$n}" ] ||
				{ bad "RECORD_NOT_CANONICAL line $((n+1))"; leaf=$(printf %064d 0); } ;;
		*) leaf=$({ printf '\000'; printf %s "$line"; } | sha256sum); leaf=${leaf%% *} ;;
		esac
		k=$n
		while [ $((k % 2)) = 1 ]; do node "$1" "$leaf"; leaf=$node; shift; k=$((k / 2)); done
		set -- "$leaf" "$@"; n=$((n+1))
		case $sizes in *" $n "*) ;; *) continue ;; esac
		root=$1; first=1
		for h in "$@"; do [ $first = 1 ] || { node "$h" "$root"; root=$node; }; first=0; done
		echo "$n $(bytes_of "$root" | base64 -w 0)" >> "$tmp/roots"
	done < custody/ledger.redacted.jsonl
	[ "$(tail -c 1 custody/ledger.redacted.jsonl | od -An -tu1 | tr -d ' ')" = 10 ] || bad "LEDGER_TORN_TAIL"
	last=-1
	for c in custody/checkpoints/*.txt; do
		checkpoint "$c"; [ $ok = 1 ] || continue
		[ "$lines" -le "$n" ] || bad "LEDGER_TRUNCATED $c"
		grep -qxF "$lines $(awk '$1=="root"{print $2}' "$c")" "$tmp/roots" || bad "ROOT_MISMATCH $c"
		[ "$lines" -gt "$last" ] && last=$lines; signatures "$c"
	done
	[ "$last" = "$n" ] || bad "UNSEALED_TAIL: $n records, sealed $last"
	[ $lasttrust = 1 ] || good=0
	note "REDACTED: $held of $n records are withheld"
else bad "LEDGER_MISSING"; fi
g=$(awk -F': ' '$1=="Snapcase-Gaps"{print $2}' bag-info.txt 2>/dev/null); [ "${g:-0}" = 0 ] || { gaps=1; note "the ledger records $g gap(s) in the evidence"; }

if [ $broken = 1 ]; then echo "VERDICT    broken"; exit 3
elif [ $good = 0 ]; then echo "VERDICT    untrusted: intact, but no trusted signer (give the signers file as second argument)"; exit 5
elif [ $gaps = 1 ]; then echo "VERDICT    partial"; exit 4
else echo "VERDICT    intact"; exit 0; fi
