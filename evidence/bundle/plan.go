package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// Plan says what goes into a bundle, and how.
type Plan struct {
	Folder   evidence.Folder
	Ledger   *custody.Ledger // of that case, open to append
	Out      string          // a folder, or a file ending in .tar.zst or (with To) .tar.zst.age
	Reports  string          // folder whose files go below data/reports; "" for none
	Exports  string          // the same for data/exports
	Without  []string        // exhibits whose files stay out
	To       []string        // age recipients: age1…, ssh-ed25519 …
	Signer   custody.Signer  // nil: the ledger's
	Contact  string          // who sends it
	Version  string          // of the program
	Now      func() time.Time
	Progress evidence.Progress
	// Withhold names the records that stay out of the bundle's ledger; nil: none.
	// Such a bundle is a redaction of the last whole one that the ledger tells of.
	// Torn bytes that were kept stay out too.
	Withhold func(custody.Record) bool
	// Scan finds a secret in what the examiner adds (reports, exports, ledger,
	// form): the byte where it begins. nil scans nothing.
	Scan func(io.Reader) (offset int64, found bool)
}

// item is a file of the bag before it is written.
type item struct {
	path    string // in the bag
	file    string // on disk, or
	content []byte
	size    int64
	mode    os.FileMode
	scan    bool // the examiner's words, not evidence
}

func (i item) open() (io.ReadCloser, error) {
	if i.file == "" {
		return io.NopCloser(bytes.NewReader(i.content)), nil
	}
	f, err := os.OpenFile(i.file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && (!fi.Mode().IsRegular() || fi.Size() < i.size) {
		err = fmt.Errorf("%s changed while it was packed", i.file)
	}
	var r *custody.SparseReader
	if err == nil {
		r, err = custody.NewSparseReader(f)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, i.size), f}, nil
}

// packing is a plan with what was found out about the case.
type packing struct {
	Plan
	seal    time.Time
	ledger  custody.Checkpoint
	items   []item
	gaps    int
	sealed  []string // exhibits that go in
	form    []byte
	held    []int64 // records that are withheld
	of      string  // id of the bundle that this one is a redaction of
	payload int64   // bytes below data/
	files   int64   // files below data/
}

// gather finds all files of the bag but the manifests and the seal.
func (p *packing) gather(ctx context.Context) error {
	var files []string
	var err error
	if p.ledger, files, err = p.Ledger.Export(ctx); err != nil {
		return err
	}
	for _, name := range files {
		if err := p.addFile("custody/checkpoints/"+name, filepath.Join(p.Folder.Checkpoints(), name), false); err != nil {
			return err
		}
	}
	if err := p.addLedger(); err != nil {
		return err
	}
	for _, name := range []string{"case.json", "allowed_signers"} {
		if err := p.addFile("custody/"+name, filepath.Join(string(p.Folder), name), true); err != nil {
			return err
		}
	}
	trees := map[string]string{"custody/torn": filepath.Join(string(p.Folder), "torn"), "data/reports": p.Reports, "data/exports": p.Exports}
	if p.Withhold != nil {
		delete(trees, "custody/torn")
	}
	for to, from := range trees {
		if err := p.addTree(to, from, func(string) bool { return true }, true); err != nil {
			return err
		}
	}
	if err := p.judge(ctx); err != nil {
		return err
	}
	for _, id := range p.sealed {
		if err := p.addTree("data/exhibits/"+id, p.Folder.Exhibit(id), func(rel string) bool { return !custody.Leftover(rel) }, false); err != nil {
			return err
		}
	}
	return p.words()
}

// judge reads the ledger for the exhibits that are finished and the gaps.
func (p *packing) judge(ctx context.Context) error {
	c, err := custody.NewChecker(custody.VerifyOptions{Now: p.Now}, true)
	if err != nil {
		return err
	}
	r, err := item{file: p.Folder.Ledger(), size: p.ledger.Bytes}.open()
	if err != nil {
		return err
	}
	_, _, err = c.Add(ctx, "ledger.jsonl", r)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	all := c.Sealed()
	for _, id := range p.Without {
		if !slices.Contains(all, id) {
			return evidence.WithHint(fmt.Errorf("--without %s: %w: no such exhibit", id, evidence.ErrUsage), "the case has: %s", strings.Join(all, " "))
		}
	}
	for _, id := range all {
		if _, err := os.Lstat(p.Folder.Exhibit(id)); !slices.Contains(p.Without, id) && !errors.Is(err, os.ErrNotExist) {
			p.sealed = append(p.sealed, id)
		}
	}
	p.gaps = c.LedgerGaps(func(id string) bool { return slices.Contains(p.sealed, id) })
	if p.Withhold != nil {
		p.gaps += 1 + c.Torn()
	}
	return nil
}

// words adds what is written for the bag itself.
func (p *packing) words() error {
	form := p.form
	if !slices.ContainsFunc(p.items, func(i item) bool { return strings.HasPrefix(i.path, "data/") }) {
		p.items = append(p.items, item{path: "data/reports/custody-form.txt", content: form, mode: 0o644, scan: true})
	}
	for i := range p.items {
		if p.items[i].file == "" {
			p.items[i].size = int64(len(p.items[i].content))
		}
		if strings.HasPrefix(p.items[i].path, "data/") {
			p.payload += p.items[i].size
			p.files++
		}
	}
	for _, i := range []item{
		{path: "custody/form.txt", content: form, mode: 0o644, scan: true},
		{path: "README.txt", content: Readme(), mode: 0o644},
		{path: "VERIFY.sh", content: VerifyScript(), mode: 0o755},
		{path: "bagit.txt", content: []byte("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"), mode: 0o644},
		{path: "bag-info.txt", content: p.info(), mode: 0o644, scan: true},
	} {
		i.size = int64(len(i.content))
		p.items = append(p.items, i)
	}
	slices.SortFunc(p.items, func(a, b item) int { return strings.Compare(a.path, b.path) })
	return nil
}

// info is bag-info.txt.
func (p *packing) info() []byte {
	oneLine := func(s string) string {
		return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 }), " ")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Bag-Software-Agent: snapcase %s\n", oneLine(p.Version))
	fmt.Fprintf(&b, "Bagging-Date: %s\n", p.seal.Format("2006-01-02"))
	fmt.Fprintf(&b, "Contact-Name: %s\n", oneLine(p.Contact))
	fmt.Fprintf(&b, "External-Identifier: %s\n", p.ledger.Case)
	fmt.Fprintf(&b, "Payload-Oxum: %d.%d\n", p.payload, p.files)
	if p.Withhold != nil {
		fmt.Fprintf(&b, "Redaction-Of: %s\n", p.of)
	}
	fmt.Fprintf(&b, "Snapcase-Assurance: A1\n")
	fmt.Fprintf(&b, "Snapcase-Gaps: %d\n", p.gaps)
	fmt.Fprintf(&b, "Snapcase-Version: %s\n", oneLine(p.Version))
	if p.Withhold != nil {
		fmt.Fprintf(&b, "Snapcase-Withheld-Records: %d\n", len(p.held))
	}
	return []byte(b.String())
}

// addFile adds one file; one that does not exist is left out.
func (p *packing) addFile(to, from string, scan bool) error {
	fi, err := os.Lstat(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", from)
	}
	if !custody.SafePath(to) {
		return fmt.Errorf("%s: a bag cannot hold that name", from)
	}
	if base := path.Base(to); base == "case.key" || base == "fetch.txt" && to == base {
		return fmt.Errorf("%s may not be in a bundle", from)
	}
	p.items = append(p.items, item{path: to, file: from, size: fi.Size(), mode: 0o644, scan: scan})
	return nil
}

// addTree adds the files below a folder that want accepts by their path there.
func (p *packing) addTree(to, from string, want func(rel string) bool, scan bool) error {
	if from == "" {
		return nil
	}
	if _, err := os.Lstat(from); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		if rel = filepath.ToSlash(rel); !want(rel) {
			return nil
		}
		return p.addFile(to+"/"+rel, name, scan)
	})
}
