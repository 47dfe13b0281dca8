// Package bundle packs a case for somebody else, and checks and opens such a
// pack.
//
// A bundle is a BagIt 1.0 bag (RFC 8493), as a folder or as one .tar.zst:
//
//	bagit.txt  bag-info.txt  README.txt  VERIFY.sh
//	manifest-sha256.txt      every file of data/
//	tagmanifest-sha256.txt   every other file but itself and seal/
//	custody/                 ledger.jsonl  checkpoints/  allowed_signers  case.json  form.txt  torn/
//	data/exhibits/EX-001/    as in the case
//	data/reports/  data/exports/
//	seal/                    tagmanifest-sha256.txt.<key16>.sig
//
// A line of a manifest is 64 lower-case hexadecimal digits, two blanks, a path
// of [A-Za-z0-9._/-], LF; lines are ordered by the bytes of the path. The seal
// is an SSHSIG over the bytes of tagmanifest-sha256.txt in the namespace
// snapcase-bundle@v1, and the SHA-256 of that file is the id of the bundle. An
// archive holds one folder <case>-<yyyymmddThhmmssZ>/ with the files in the
// order of their paths, all with the time of the seal; the same state, time
// and program give the same bytes.
//
// A stranger checks a bag with VERIFY.sh, which comes with it and gives the
// same exit codes as Verify: 0 intact, 3 broken, 4 gaps, 5 not trusted.
//
// A redacted bundle has custody/ledger.redacted.jsonl in place of the ledger: a
// line that is withheld is {"leaf":"<base64>","redacted":true,"seq":17}, where
// leaf is its RFC 6962 leaf hash, so that the root of every checkpoint can be
// computed. bag-info.txt has Redaction-Of with the id of the whole bundle and
// Snapcase-Withheld-Records; Verify says REDACTED, which is a gap. Reports,
// exports and torn tails stay out of it. A leaf hides a line from who cannot
// guess it byte for byte.
//
// Countersign adds a seal by another key; the first one, and all that it covers,
// stay as they are.
//
// Archives are hostile until shown otherwise: Verify and Open refuse absolute
// paths, "..", links, devices, sparse members, names that are equal but for
// case, more than a million entries, and more than a thousand times of
// unpacked bytes that are not zero. Zeros are free, since they come back as
// holes.
//
// What it does not do: images as segments, RFC 3161 time
// stamps, and decrypting: age -d does that.
package bundle
