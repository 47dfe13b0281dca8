package custody

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"snapcase/evidence"
)

// ExhibitNow is what an exhibit is now, against what its acquisition recorded.
// A digest is the one that the custody form shows of the exhibit: of an image
// that of its bytes, of one file its own, of a folder that of its manifest; what
// was Found of a folder is that of a manifest made anew of the files there are.
type ExhibitNow struct {
	Recorded string    // SHA-256, hex, of the ledger
	Found    string    // SHA-256, hex, of what was read; "" where nothing could be
	Failures []Failure // what does not hold: files missing, changed, not listed
	Present  bool      // its folder is there
}

// Holds says that all of the exhibit is there and is what was acquired.
func (e ExhibitNow) Holds() bool {
	return e.Present && len(e.Failures) == 0 && e.Found == e.Recorded
}

// ReadExhibit reads all files of one exhibit and compares them with the
// ledger, as Verify does for all. An exhibit that the ledger does not end with
// a digest is evidence.ErrNotFound.
func ReadExhibit(ctx context.Context, folder evidence.Folder, id string, o VerifyOptions) (ExhibitNow, error) {
	var now ExhibitNow
	c, err := NewChecker(o, false)
	if err != nil {
		return now, err
	}
	w := walker{ctx: ctx, c: c, root: string(folder)}
	if err := w.file("ledger.jsonl"); err != nil {
		return now, fmt.Errorf("read %s: %w", id, err)
	}
	if !c.sealed(id) {
		return now, evidence.WithHint(fmt.Errorf("%s: no such exhibit: %w", id, evidence.ErrNotFound), "snapcase stats lists the exhibits")
	}
	c.report.Failures, c.counts = nil, map[string]int{} // of the ledger: Verify tells
	if err := w.tree("exhibits/"+id, nil); err != nil {
		return now, fmt.Errorf("read %s: %w", id, err)
	}
	var names []string
	for _, name := range sortedKeys(c.sums) {
		if of, ok := exhibitOf(name); ok && of == id {
			names = append(names, name)
		}
	}
	x := c.ledger.exhibits[id]
	end := x.ends[len(x.ends)-1]
	now.Present = len(names) > 0
	now.Recorded = first(end.own, end.sha256)
	if now.Present {
		c.compareExhibit(id, x, end, names)
		now.Failures = c.report.Failures
		now.Found = c.foundDigest(id, x, end)
	}
	return now, nil
}

// foundDigest is the digest that was read of an exhibit; "" where what bears
// it is missing.
func (c *Checker) foundDigest(id string, x *ledgerExhibit, end acquireEnd) string {
	dir := "exhibits/" + id + "/"
	name, packed := "", false
	switch {
	case c.isImage(id, x) && end.files[packedFile] != "":
		name, packed = dir+packedFile, true
	case c.isImage(id, x):
		name = dir + imageFile
	case end.own != "":
		if lines := c.manifests[id]; len(lines) == 1 {
			name = dir + "files/" + lines[0].path
		}
	default:
		return c.manifestNow(dir + "files/")
	}
	switch s := c.sums[name]; {
	case s == nil:
		return ""
	case packed && s.raw == evidence.Digest{}: // it cannot be unpacked
		return ""
	case packed:
		return s.raw.String()
	default:
		return s.digest.String()
	}
}

// manifestNow is the digest of the manifest of the files that were read below a
// folder, as an acquisition writes it.
func (c *Checker) manifestNow(dir string) string {
	h := sha256.New()
	for _, name := range sortedKeys(c.sums) {
		if rel, ok := strings.CutPrefix(name, dir); ok {
			h.Write(fmt.Appendf(nil, "%s  %s\n", c.sums[name].digest, rel))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
