// Package custody keeps the chain of custody of a case: an append-only ledger
// of every act of the examiner, signed checkpoints that pin it, and the check
// of a case folder against both.
//
// # Ledger
//
// ledger.jsonl holds one record a line. The bytes of a line are the RFC 8785
// (JCS) form of a JSON object, ended by one LF, at most 64 KiB. Values are
// strings, booleans, arrays, objects and integers of at most 53 bits; floats,
// null and duplicate keys are refused. Record n carries seq n and, in prev,
// the SHA-256 of the line before without its LF (64 zeros in record 0). Type
// Record lists the fields.
//
// Append takes flock on the file, reads what other processes added, keeps a
// torn tail under torn/ and says so in a record, writes the line with one
// write and returns after fdatasync. When fdatasync fails the handle writes no
// more. The time of records never runs backwards; a step of the clock of more
// than two seconds is a clock.jump record.
//
// # Checkpoint
//
// A chain does not show a tail that was cut off; a checkpoint does. It is a
// text of ten lines, checkpoints/<records, 8 digits>.txt, with the length and
// digest of the ledger so far, the hash of its last line, and the RFC 6962
// tree hash over all lines:
//
//	snapcase-checkpoint/v1
//	case urn:uuid:6f1f7ad2-4a1e-4c1b-9d55-1f2f7c1f0a11
//	size 3
//	bytes 2023
//	prefix-sha256 b996518abacd9f402782b489dc81c3c8a5396ea29925efa2ad0ada43fcfbf940
//	head 930fee9c9883cf6a3596ef6d21c571d41b9ad5d93ba2cef9e288a4a38ab20ee7
//	root 3v+ij1/lMbAKINGyx/7Az/ytBIkby7/PmemAAbqLD4U=
//	prev-checkpoint 0000000000000000000000000000000000000000000000000000000000000000
//	time 2026-11-23T09:00:06Z
//	signer alice@example.org
//
// Beside it lies an SSHSIG (PROTOCOL.sshsig of OpenSSH) in the namespace
// snapcase-checkpoint@v1, named <checkpoint>.<key16>.sig, where key16 is the
// first 16 hex digits of the SHA-256 of the public key's wire form. Exactly
// the two armors that are in use are accepted: 64 and 70 columns.
//
// # Hands
//
// custody.release, custody.receive and custody.dispose tell who gave which
// exhibit to whom: from, to ({"name","id","organisation"}), reason, medium, seal
// (head of a checkpoint), hash_before, hash_after and match. Hands follows them;
// what does not fit (a receipt without its release, people whom the record
// before does not name, content that changed) is TRANSFER_UNBALANCED.
//
// # Redacted ledger
//
// In a bundle ledger.redacted.jsonl can stand in place of the ledger: see
// Redact.
//
// # What it does not do
//
// It cannot show that a record was true when it was written, nor that an
// examiner who holds the key did not write the whole ledger anew: only a head
// that somebody else kept shows that (VerifyOptions.ExpectHead). RFC 3161 time
// stamps are not read yet, so no report says A3. It does not index: the ledger
// file alone is the truth.
package custody
