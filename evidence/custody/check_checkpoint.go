package custody

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// heldCheckpoint is a checkpoint file with its signatures as they were found.
type heldCheckpoint struct {
	Checkpoint
	file   string // digest of the file
	there  bool   // the file, not only a signature of it
	ok     bool   // it could be parsed
	met    bool   // the ledger is as long
	hashes *MessageHashes
	sigs   map[string][]byte // by file name
}

// Vouch is a signature that holds, and what the signers file says of its key.
type Vouch struct {
	File        string
	Fingerprint string
	Who         string // principal, where the key is listed
	Code        string // "" trusted, else SIGNER_UNTRUSTED, SIGNER_EXPIRED, SIGNER_REVOKED, NO_ANCHOR
	Why         string
}

// Signature checks one signature file at path (as the report shows it): armor,
// the key in its name, the signature itself, then trust. key16 is what the
// name says. ok is false when it does not hold; then the failure is reported.
func (c *Checker) Signature(path, key16 string, armored []byte, m *MessageHashes, namespace string) (v Vouch, ok bool) {
	s, bad := parseSignature(armored)
	if bad != nil {
		c.Fail(bad.Code, path, "an SSH signature", bad.Reason)
		return v, false
	}
	wire := s.Key.Marshal()
	if k := Key16(wire); k != key16 {
		c.Fail(codeSigName, path, "key "+key16, k)
		return v, false
	}
	if s.Namespace != namespace {
		c.Fail(codeSigNamespace, path, namespace, s.Namespace)
		return v, false
	}
	if err := s.Verify(m, namespace); err != nil {
		c.Fail(codeSigBad, path, "a signature by "+Fingerprint(wire), err.Error())
		return v, false
	}
	v = Vouch{File: path, Fingerprint: Fingerprint(wire), Code: codeNoAnchor, Why: "no signers file was given"}
	if c.signers != nil {
		t := c.signers.judge(s.Key, namespace, c.o.Now())
		v.Who, v.Code, v.Why = t.who, t.code, t.why
	}
	return v, true
}

// Seal gives the signatures of a bundle's seal that hold.
func (c *Checker) Seal(v []Vouch) { c.seals = append(c.seals, v...) }

func (c *Checker) heldCheckpoint(name string) *heldCheckpoint {
	cp := c.checkpoints[name]
	if cp == nil {
		cp = &heldCheckpoint{sigs: map[string][]byte{}}
		cp.Name = name
		c.checkpoints[name] = cp
	}
	return cp
}

// checkpointFile takes a file of checkpoints/.
func (c *Checker) checkpointFile(file string, r io.Reader) error {
	c.again = c.again || c.ledger.seen
	if temporary.MatchString(file) {
		return nil // what a process left that was killed
	}
	b, err := io.ReadAll(io.LimitReader(r, maxSignature+1))
	if err != nil {
		return err
	}
	if m := signatureName.FindStringSubmatch(file); m != nil {
		c.heldCheckpoint(m[1]).sigs[file] = b
		return nil
	}
	if base, ok := strings.CutSuffix(file, ".tsr"); ok && signatureName.MatchString(base) {
		c.note("a time stamp that is not checked: %s", c.path("checkpoints/"+file))
		return nil
	}
	if !checkpointName.MatchString(file) {
		c.fail(codeFileUnlisted, "checkpoints/"+file, "checkpoints and their signatures", "another file")
		return nil
	}
	cp := c.heldCheckpoint(file)
	cp.there = true
	cp.file = sha256Hex(b)
	cp.hashes = NewMessageHashes()
	cp.hashes.Write(b) //nolint:errcheck,gosec // it cannot fail
	parsed, err := ParseCheckpoint(b)
	if err != nil {
		c.fail(codeCheckpointSyntax, "checkpoints/"+file, "ten lines", err.Error())
		return nil
	}
	cp.Checkpoint, cp.Name, cp.ok = parsed, file, true
	return nil
}

// finishCheckpoints checks signatures, order and chain of the checkpoints, and
// gives the signatures of the last one that hold.
func (c *Checker) finishCheckpoints() []Vouch {
	names := make([]string, 0, len(c.checkpoints))
	for name := range c.checkpoints {
		names = append(names, name)
	}
	sortCheckpoints(names)
	prev := zeroHash
	var last *heldCheckpoint
	var vouches []Vouch
	for _, name := range names {
		cp := c.checkpoints[name]
		path := "checkpoints/" + name
		if !cp.there {
			c.orphan(cp)
			continue
		}
		v := c.checkpointSignatures(cp)
		if !cp.ok {
			prev = cp.file
			continue
		}
		if want := fmt.Sprintf("%08d.txt", cp.Size); want != name {
			c.fail(codeCheckpointMismatch, path, "name "+want, name)
		}
		if cp.Prev != prev {
			c.fail(codeCheckpointChain, path, cp.Prev, prev)
		}
		prev = cp.file
		if c.ledger.chain.caseID != "" && cp.Case != c.ledger.chain.caseID {
			c.fail(codeCaseMismatch, path, c.ledger.chain.caseID, cp.Case)
		}
		if !cp.met && c.ledger.seen {
			c.fail(codeLedgerTruncated, path, fmt.Sprintf("%d records, %d bytes", cp.Size, cp.Bytes), fmt.Sprintf("%d records, %d bytes", c.ledger.chain.n, c.ledger.chain.bytes))
		}
		if last == nil || cp.Size >= last.Size {
			last, vouches = cp, v
		}
	}
	c.sealedTail(last)
	return vouches
}

// orphan reports signatures without their checkpoint: killed between the two,
// or taken away.
func (c *Checker) orphan(cp *heldCheckpoint) {
	code := codeUnsealedTail
	if c.bundle {
		code = codeCheckpointMissing
	}
	c.fail(code, "checkpoints/"+cp.Name, "a checkpoint", "only its signature")
}

func (c *Checker) sealedTail(last *heldCheckpoint) {
	l := &c.ledger.chain
	switch {
	case !c.ledger.seen:
	case last == nil:
		c.fail(codeCheckpointMissing, "checkpoints/", "a signed checkpoint", "none that can be read")
	case last.Size < l.n:
		c.fail(codeUnsealedTail, c.ledger.file, fmt.Sprintf("a checkpoint of %d records", l.n), fmt.Sprintf("the last one covers %d", last.Size))
	}
}

func (c *Checker) checkpointSignatures(cp *heldCheckpoint) []Vouch {
	files := make([]string, 0, len(cp.sigs))
	for f := range cp.sigs {
		files = append(files, f)
	}
	slices.Sort(files)
	if len(files) == 0 {
		c.fail(codeCheckpointUnsigned, "checkpoints/"+cp.Name, "a signature", "none")
	}
	var all []Vouch
	for _, f := range files {
		key16 := signatureName.FindStringSubmatch(f)[2]
		if v, ok := c.Signature(c.path("checkpoints/"+f), key16, cp.sigs[f], cp.hashes, CheckpointNamespace); ok {
			all = append(all, v)
		}
	}
	return all
}
