package custody

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"snapcase/evidence"
)

// Checker checks the files of a case as they come, in one pass: Verify gives
// it those of a folder, package bundle those of a bag. Files are named as in
// the case folder, with slashes: "ledger.jsonl", "checkpoints/00000003.txt",
// "exhibits/EX-001/image.raw". Checkpoints must come before the ledger (Again
// tells when they did not) and blocks-sha256.txt before the image that it
// tells of; names in order of their bytes do both.
type Checker struct {
	o       VerifyOptions
	bundle  bool
	signers *signers
	held    *heldHead

	report  Report
	counts  map[string]int
	strict  []Failure // warnings, which count when strict
	done    int64
	total   int64
	sums    map[string]*sum
	folders map[string]bool // exhibit folders seen

	finished map[string]bool // exhibits with acquisition.json that the ledger does not end

	checkpoints map[string]*heldCheckpoint // by file name
	manifests   map[string][]manifestLine  // by exhibit
	blocks      map[string]*blockList
	ledger      ledgerFacts
	caseFile    *evidence.CaseFile // as it was read; nil where it is missing or no JSON
	seals       []Vouch
	declared    int // gaps that bag-info.txt tells of
	expectCase  string
	again       bool
}

// sum is what was found of one file of an exhibit.
type sum struct {
	digest evidence.Digest
	raw    evidence.Digest // of what a packed image unpacks to
	size   int64
	diff   int64 // offset of the first block that differs from the list; -1
	bad    bool  // reported already
	gone   bool  // a manifest of the bag lists it and it is missing
}

// NewChecker begins a check. inBundle tells that the files come from a bundle:
// then a tail without checkpoint is a failure, an exhibit may be withheld, and
// paths in the report are those of the bag.
func NewChecker(o VerifyOptions, inBundle bool) (*Checker, error) {
	if o.Now == nil {
		return nil, errors.New("no clock was given")
	}
	c := &Checker{
		o: o, bundle: inBundle, counts: map[string]int{}, sums: map[string]*sum{}, folders: map[string]bool{}, finished: map[string]bool{},
		checkpoints: map[string]*heldCheckpoint{}, manifests: map[string][]manifestLine{}, blocks: map[string]*blockList{},
		report: Report{Assurance: "A0", Failures: []Failure{}, Notes: []string{}, Signers: []string{}},
	}
	c.ledger.reset()
	if o.Signers != "" {
		var err error
		if c.signers, err = readSigners(o.Signers); err != nil {
			return nil, err
		}
		if c.signers.ignored > 0 {
			c.note("%d lines of the signers file are not used: malformed, an unknown option, or a certificate authority", c.signers.ignored)
		}
	}
	if o.ExpectHead != "" {
		b, err := readSmall(o.ExpectHead, maxCheckpoint)
		if errors.Is(err, os.ErrNotExist) {
			b = []byte(o.ExpectHead)
		} else if err != nil {
			return nil, fmt.Errorf("read the expected head: %w", err)
		}
		h, err := parseHeldHead(b)
		if err != nil {
			return nil, fmt.Errorf("read the expected head %s: %w", o.ExpectHead, err)
		}
		c.held = &h
	}
	return c, nil
}

// Add reads one file to its end and gives its digest and length. Only a
// failure to read (a *ReadFailure, or cancelling) is an error.
func (c *Checker) Add(ctx context.Context, name string, r io.Reader) (evidence.Digest, int64, error) {
	in := &counted{ctx: ctx, c: c, r: r, what: "verify " + name}
	h := sha256.New()
	tee := io.TeeReader(in, h)
	dir, rest, _ := strings.Cut(name, "/")
	var err error
	switch {
	case name == "ledger.jsonl" || name == redactedLedger:
		in.what = "verify the ledger"
		err = c.anyLedger(name, tee)
	case name == "case.json":
		err = c.readCaseFile(tee)
	case dir == "checkpoints":
		err = c.checkpointFile(rest, tee)
	case dir == "exhibits":
		exhibit, file, ok := strings.Cut(rest, "/")
		if !ok {
			c.fail(codeFileUnlisted, name, "an exhibit's folder", "a file")
			break
		}
		in.what = "verify " + exhibit
		return c.exhibitFile(name, exhibit, file, in)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, tee)
	}
	d := evidence.Digest(h.Sum(nil))
	if err == nil {
		c.report.Files++
		if dir == "torn" {
			c.sums[name] = &sum{digest: d, size: in.n, diff: -1}
		}
	}
	return d, in.n, err
}

// anyLedger checks the ledger, whole or redacted: a bag has one of them, a case
// folder a whole one.
func (c *Checker) anyLedger(name string, r io.Reader) error {
	switch {
	case c.ledger.seen:
		c.fail(codeLedgerDiverged, name, "one ledger", "two")
		return nil
	case name != redactedLedger:
		return c.readLedger(r)
	case !c.bundle:
		c.fail(codeFileUnlisted, name, "a whole ledger", "a redacted one")
		return nil
	}
	return c.readRedacted(r)
}

// exhibitFile hashes a file of an exhibit; lists are read on the way, and an
// image is compared with its list of blocks.
func (c *Checker) exhibitFile(name, exhibit, file string, in *counted) (evidence.Digest, int64, error) {
	c.sawExhibit(exhibit)
	s := &sum{diff: -1}
	h := sha256.New()
	var err error
	switch file {
	case imageFile:
		s.digest, s.diff, err = c.image(exhibit, in)
		delete(c.blocks, exhibit)
	case packedFile:
		s.digest, s.raw, s.diff, err = c.packedImage(exhibit, in)
		delete(c.blocks, exhibit)
	case "blocks-sha256.txt":
		var b *blockList
		if b, err = readBlockList(io.TeeReader(in, h)); b != nil {
			c.blocks[exhibit] = b
		}
	case "manifest-sha256.txt":
		c.manifests[exhibit], err = c.readManifest(name, io.TeeReader(in, h))
	}
	if file != imageFile && file != packedFile {
		if err == nil {
			_, err = copyWide(h, in)
		}
		s.digest = evidence.Digest(h.Sum(nil))
	}
	s.size = in.n
	if err != nil {
		return s.digest, in.n, err
	}
	c.report.Files++
	c.sums[name] = s
	return s.digest, in.n, nil
}

// image hashes an image and finds the first block that differs from the list.
// Where the ledger's digest is known and the file can be read again, that is
// done only when the whole differs, without trust in what the file system said
// of holes; else both come from one pass.
func (c *Checker) image(exhibit string, in *counted) (d evidence.Digest, diff int64, err error) {
	list := c.blocks[exhibit]
	again, ok := in.r.(interface{ Plain() })
	x := c.ledger.exhibits[exhibit]
	if !ok || x == nil || len(x.ends) == 0 {
		return hashImage(in, list)
	}
	if d, _, err = hashImage(in, nil); err != nil || d.String() == x.ends[len(x.ends)-1].sha256 {
		return d, -1, err
	}
	again.Plain()
	in.n = 0
	return hashImage(in, list)
}

// copyWide copies in large pieces.
func copyWide(w io.Writer, r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 256<<10))
}

// Again says that a checkpoint came after the ledger: the check is void, and
// must be made with all checkpoints first.
func (c *Checker) Again() bool { return c.again }

// Expect says that the list of a bag names a file of an exhibit that is not
// there.
func (c *Checker) Expect(name string) {
	if exhibit, ok := exhibitOf(name); ok {
		c.sawExhibit(exhibit)
		c.sums[name] = &sum{diff: -1, gone: true, bad: true}
	}
}

// Mismatch says that a file added before is not what the list of a bag names.
// path is the file's in the bag; name is "" when the case has no such file.
func (c *Checker) Mismatch(name, path, expected, found string) {
	f := Failure{Code: codeFileHash, Path: path, Expected: expected, Found: found}
	if s := c.sums[name]; s != nil {
		s.bad = true
		f.Offset, f.Located = s.diff, s.diff >= 0
	}
	c.put(f)
}

func exhibitOf(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, "exhibits/")
	if !ok {
		return "", false
	}
	id, _, ok := strings.Cut(rest, "/")
	return id, ok
}

func (c *Checker) sawExhibit(id string) { c.folders[id] = true }

// sealed says whether an exhibit was finished, so that its files must hold.
func (c *Checker) sealed(id string) bool {
	x := c.ledger.exhibits[id]
	return x != nil && len(x.ends) > 0
}

func (c *Checker) markBad(name string) {
	if s := c.sums[name]; s != nil {
		s.bad = true
		return
	}
	c.sums[name] = &sum{diff: -1, bad: true}
}

// path is the name of a file as the report shows it.
func (c *Checker) path(name string) string {
	if !c.bundle {
		return name
	}
	if strings.HasPrefix(name, "exhibits/") {
		return "data/" + name
	}
	return "custody/" + name
}

func (c *Checker) fail(code, name, expected, found string) {
	c.put(Failure{Code: code, Path: c.path(name), Expected: expected, Found: found})
}

func (c *Checker) failAt(code, name, expected, found string, offset int64) {
	c.put(Failure{Code: code, Path: c.path(name), Expected: expected, Found: found, Offset: offset, Located: true})
}

// Fail adds a failure with a path of the bag.
func (c *Checker) Fail(code, path, expected, found string) {
	c.put(Failure{Code: code, Path: path, Expected: expected, Found: found})
}

// Note adds a remark that changes no verdict.
func (c *Checker) Note(format string, args ...any) { c.note(format, args...) }

func (c *Checker) note(format string, args ...any) {
	c.report.Notes = append(c.report.Notes, fmt.Sprintf(format, args...))
}

// maxOfCode is how many failures of one code a report lists; the rest is
// counted in a note.
const maxOfCode = 200

func (c *Checker) put(f Failure) {
	f.Exit = int(classOf(f.Code, c.bundle))
	c.counts[f.Code]++
	if f.Exit == int(warning) {
		if c.counts[f.Code] <= maxOfCode {
			c.note("%s %s: %s", f.Code, f.Path, f.Found)
			c.strict = append(c.strict, f)
		}
		return
	}
	if c.counts[f.Code] <= maxOfCode {
		c.report.Failures = append(c.report.Failures, f)
	}
}

// ExpectCase gives the case that a bag says it is of; "" says nothing.
func (c *Checker) ExpectCase(id string) { c.expectCase = id }

// DeclareGaps gives the number of gaps that a bag says it has.
func (c *Checker) DeclareGaps(n int) { c.declared = n }

func (c *Checker) countOf(k class) int {
	n := 0
	for code, count := range c.counts {
		if classOf(code, c.bundle) == k {
			n += count
		}
	}
	return n
}
