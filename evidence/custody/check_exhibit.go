package custody

import (
	"fmt"
	"slices"
	"strings"

	"snapcase/evidence"
)

// finishExhibits compares the exhibits' files with what the ledger says.
func (c *Checker) finishExhibits() {
	ids := sortedKeys(c.ledger.exhibits)
	for id := range c.folders {
		if c.ledger.exhibits[id] == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	byExhibit := map[string][]string{}
	for name := range c.sums {
		if id, ok := exhibitOf(name); ok {
			byExhibit[id] = append(byExhibit[id], name)
		}
	}
	for _, u := range c.ledger.hands.Unbalanced() {
		name := c.ledger.file
		if u.Exhibit != "" {
			name = "exhibits/" + u.Exhibit
		}
		c.fail(codeTransferUnbalance, name, "", u.What)
	}
	for _, id := range ids {
		names := byExhibit[id]
		slices.Sort(names)
		c.finishExhibit(id, names)
	}
}

func (c *Checker) finishExhibit(id string, names []string) {
	dir := "exhibits/" + id
	x := c.ledger.exhibits[id]
	if x == nil {
		switch {
		case !exhibitID.MatchString(id):
			c.fail(codeFileUnlisted, dir, "exhibits named like EX-001", id)
		case c.bundle || len(names) > 0 || c.finished[id]:
			c.fail(codeNotInLedger, dir, "records of its acquisition", "none")
		default:
			c.fail(codeCoveragePartial, dir, "a finished acquisition", "a folder that the ledger does not name")
		}
		return
	}
	if f, is := c.exhibitGap(id, x, c.folders[id]); is {
		c.put(f)
	}
	if len(x.ends) == 0 {
		return
	}
	if !c.folders[id] {
		if !c.bundle && x.disposed < 0 {
			c.fail(codeExhibitMissing, dir, "the exhibit's folder", "none")
		}
		return
	}
	end := x.ends[len(x.ends)-1]
	for _, e := range x.ends[:len(x.ends)-1] {
		if e.sha256 != end.sha256 {
			c.fail(codeHashDiffers, dir, e.sha256, fmt.Sprintf("record %d acquired %s under the same id", end.seq, end.sha256))
		}
	}
	if end.clash != "" {
		c.fail(codeHashDiffers, dir+"/"+end.clash, "one digest", fmt.Sprintf("record %d gives two", end.seq))
	}
	c.compareExhibit(id, x, end, names)
}

// exhibitGap says what of an exhibit is missing without anything being broken:
// it was not finished, is not here, or has ranges that could not be read.
func (c *Checker) exhibitGap(id string, x *ledgerExhibit, present bool) (f Failure, is bool) {
	f = Failure{Path: c.path("exhibits/" + id)}
	switch n := len(x.ends); {
	case n == 0 && x.started >= 0 && !x.ended:
		f.Code, f.Expected, f.Found = codeCoveragePartial, "a finished acquisition", fmt.Sprintf("begun in record %d, not ended", x.started)
	case n == 0 && present:
		f.Code, f.Expected, f.Found = codeCoveragePartial, "a finished acquisition", "none was recorded"
	case n == 0:
		return f, false
	case !present && x.disposed >= 0:
		f.Code, f.Expected, f.Found = codeExhibitWithheld, "its files", fmt.Sprintf("disposed of in record %d", x.disposed)
	case !present && c.bundle:
		f.Code, f.Expected, f.Found = codeExhibitWithheld, "its files", "none in this bundle"
	case present && x.ends[n-1].absent != "" && x.ends[n-1].errors == 0:
		f.Code, f.Expected, f.Found = codeCoveragePartial, "all of the source", x.ends[n-1].absent
	case present && x.ends[n-1].absent != "":
		f.Code, f.Expected, f.Found = codeReadErrors, "all of the source", fmt.Sprintf("%d ranges could not be read; %s", x.ends[n-1].errors, x.ends[n-1].absent)
	case present && x.ends[n-1].gaps:
		f.Code, f.Expected, f.Found = codeReadErrors, "all of the source", fmt.Sprintf("%d ranges could not be read", x.ends[n-1].errors)
	default:
		return f, false
	}
	return f, true
}

// LedgerGaps counts the gaps that the ledger tells of, when only the exhibits
// that present names come with it.
func (c *Checker) LedgerGaps(present func(exhibit string) bool) int {
	n := 0
	for id, x := range c.ledger.exhibits {
		if _, is := c.exhibitGap(id, x, present(id)); is {
			n++
		}
	}
	return n
}

// Sealed lists the exhibits whose acquisition the ledger ends with a digest,
// in order.
func (c *Checker) Sealed() []string {
	var ids []string
	for _, id := range sortedKeys(c.ledger.exhibits) {
		if c.sealed(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// compareExhibit checks each file of a sealed exhibit: those that the ledger
// names, those that the exhibit's manifest names, and that there is no other.
func (c *Checker) compareExhibit(id string, x *ledgerExhibit, end acquireEnd, names []string) {
	dir := "exhibits/" + id + "/"
	want := map[string]string{"acquisition.json": ""}
	for file, sum := range end.files {
		want[file] = sum
	}
	image := c.isImage(id, x)
	packed := image && end.files[packedFile] != ""
	switch {
	case packed: // end.files has the digest of the file
	case image:
		want[imageFile] = end.sha256
	default:
		want["manifest-sha256.txt"] = end.sha256
	}
	trusted := want["blocks-sha256.txt"] != "" && c.holds(dir+"blocks-sha256.txt", want["blocks-sha256.txt"])
	for _, file := range sortedKeys(want) {
		c.compareFile(dir+file, want[file], c.hashCode(), trusted)
	}
	if packed {
		c.comparePacked(dir+packedFile, end.sha256, trusted)
	}
	if !image {
		c.compareManifest(dir, want)
	}
	for _, name := range names {
		if !c.bundle && Leftover(strings.TrimPrefix(name, dir)) {
			c.note("%s: left by a process that was killed", name)
			continue
		}
		if _, known := want[strings.TrimPrefix(name, dir)]; !known && !c.sums[name].gone {
			c.fail(codeFileUnlisted, name, "files that ledger and manifest name", "another file")
		}
	}
}

// hashCode is the code for a file that differs from what the ledger says.
func (c *Checker) hashCode() string {
	if c.bundle {
		return codeHashDiffers
	}
	return codeFileHash
}

func (c *Checker) isImage(id string, x *ledgerExhibit) bool {
	if x.kind != "" {
		return evidence.Kind(x.kind).Image()
	}
	return c.sums["exhibits/"+id+"/"+imageFile] != nil || c.sums["exhibits/"+id+"/"+packedFile] != nil
}

func (c *Checker) holds(name, want string) bool {
	s := c.sums[name]
	return s != nil && !s.bad && s.digest.String() == want
}

// compareFile checks one file; want is "" where only its presence is asked.
// located says that the offset of the first differing block can be believed.
func (c *Checker) compareFile(name, want, code string, located bool) {
	s := c.sums[name]
	switch {
	case s == nil:
		if want == "" {
			want = "the file"
		}
		c.fail(codeFileMissing, name, want, "no such file")
	case s.bad || want == "" || s.digest.String() == want:
	case located && s.diff >= 0:
		c.failAt(code, name, want, s.digest.String(), s.diff)
		s.bad = true
	default:
		c.fail(code, name, want, s.digest.String())
		s.bad = true
	}
}

// compareManifest checks the files of a folder exhibit against its manifest,
// and adds them to those that are known.
func (c *Checker) compareManifest(dir string, known map[string]string) {
	id := strings.TrimSuffix(strings.TrimPrefix(dir, "exhibits/"), "/")
	s := c.sums[dir+"manifest-sha256.txt"]
	if s == nil || s.bad { // which files belong is not known: name no innocent one
		c.note("the files of %s could not be compared: its manifest is missing or does not hold", id)
		for name := range c.sums {
			if rest, ok := strings.CutPrefix(name, dir); ok && strings.HasPrefix(rest, "files/") {
				known[rest] = ""
			}
		}
		return
	}
	for _, m := range c.manifests[id] {
		name := "files/" + m.path
		if _, twice := known[name]; twice {
			c.fail(codeManifestDuplicate, dir+"manifest-sha256.txt", "each path once", m.path)
			continue
		}
		known[name] = m.sum
		c.compareFile(dir+name, m.sum, codeFileHash, false)
	}
}

// Leftover says whether a file, named by its path in an exhibit's folder, is
// what an acquisition leaves when it is killed: no part of the exhibit.
func Leftover(file string) bool {
	return file == ".acquiring" || temporary.MatchString(file) && !strings.Contains(file, "/")
}
