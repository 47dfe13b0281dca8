package custody

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"snapcase/evidence"
)

// ledgerFacts is what the ledger says that files are compared with.
type ledgerFacts struct {
	file     string  // its name
	withheld []int64 // records of which a redacted ledger has only the leaf
	opened   *Record // the first case.open
	seen     bool
	chain    chain
	headMet  bool // the held head was found
	headThen string
	exhibits map[string]*ledgerExhibit
	torn     map[string]string // file below the case folder → SHA-256
	hands    Hands
}

// ledgerExhibit is what the records say of one exhibit.
type ledgerExhibit struct {
	started  int64 // seq of the first start; -1
	kind     string
	ends     []acquireEnd
	ended    bool // an end was recorded, sealed or failed
	disposed int64
}

// acquireEnd is the end of an acquisition that sealed an exhibit.
type acquireEnd struct {
	seq    int64
	sha256 string
	own    string            // of the one file of an exhibit of one; "" else
	files  map[string]string // path in the exhibit's folder → SHA-256
	errors int
	gaps   bool
	absent string // bytes that were left out on purpose; "" for none
	clash  string
}

func (l *ledgerFacts) reset() {
	*l = ledgerFacts{file: "ledger.jsonl", chain: newChain(), exhibits: map[string]*ledgerExhibit{}, torn: map[string]string{}}
}

func (l *ledgerFacts) exhibit(id string) *ledgerExhibit {
	x := l.exhibits[id]
	if x == nil {
		x = &ledgerExhibit{started: -1, disposed: -1}
		l.exhibits[id] = x
	}
	return x
}

// readCaseFile takes what case.json says.
func (c *Checker) readCaseFile(r io.Reader) error {
	const most = 1 << 20
	b, err := io.ReadAll(io.LimitReader(r, most))
	if err != nil {
		return err
	}
	var f evidence.CaseFile
	if err := json.Unmarshal(b, &f); err != nil {
		c.fail(codeCaseMismatch, "case.json", "the case's name plate", "no JSON of a case")
		return nil
	}
	c.caseFile = &f
	return nil
}

// readLedger checks every line, and every checkpoint that is known where it
// applies.
func (c *Checker) readLedger(r io.Reader) error {
	l := &c.ledger
	l.reset()
	l.seen = true
	name, bySize := l.file, c.checkpointsBySize()
	lines := newLineReader(r)
	for {
		line, torn, err := lines.next()
		at := l.chain.bytes
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errLongLine):
			c.failAt(codeRecordTooLong, name, fmt.Sprintf("at most %d bytes a line", maxLine), fmt.Sprintf("line %d is longer", l.chain.n+1), at)
			if torn, err = l.chain.addLong(lines, line); torn || err != nil {
				return err
			}
			c.atSize(bySize[l.chain.n])
			continue
		case err != nil:
			return err
		case torn:
			c.failAt(codeTornTail, name, "an end of line", fmt.Sprintf("%d bytes without one", len(line)), at)
			return nil
		}
		c.ledgerLine(line, at)
		c.atSize(bySize[l.chain.n])
	}
}

// ledgerLine checks a line against the one before, and takes it.
func (c *Checker) ledgerLine(line []byte, at int64) {
	l := &c.ledger
	rec, bad := decodeRecord(line)
	if bad != nil {
		c.failAt(bad.Code, l.file, "", fmt.Sprintf("line %d: %s", l.chain.n+1, bad.Reason), at)
	} else {
		for _, p := range l.chain.problems(rec) {
			c.failAt(p.Code, l.file, "", fmt.Sprintf("line %d: %s", l.chain.n+1, p.Reason), at)
		}
	}
	l.chain.add(line)
	if bad == nil {
		l.chain.follow(rec)
		c.facts(rec)
	}
}

func (c *Checker) checkpointsBySize() map[int64][]*heldCheckpoint {
	bySize := map[int64][]*heldCheckpoint{}
	for _, cp := range c.checkpoints {
		if cp.ok {
			bySize[cp.Size] = append(bySize[cp.Size], cp)
		}
	}
	return bySize
}

// atSize compares checkpoints with the ledger as long as they say.
func (c *Checker) atSize(cps []*heldCheckpoint) {
	l := &c.ledger
	if h := c.held; h != nil && (h.size == 0 || h.size == l.chain.n) {
		if h.head == l.chain.head {
			l.headMet = true
		} else if h.size > 0 {
			l.headThen = l.chain.head
		}
	}
	for _, cp := range cps {
		cp.met = true
		name := "checkpoints/" + cp.Name
		if cp.Bytes != l.chain.bytes {
			c.fail(codeCheckpointMismatch, name, fmt.Sprintf("bytes %d", cp.Bytes), fmt.Sprint(l.chain.bytes))
		}
		if s := l.chain.prefixSum(); s != cp.PrefixSHA256 {
			c.fail(codePrefixMismatch, name, cp.PrefixSHA256, s)
		}
		if cp.Head != l.chain.head {
			c.fail(codeCheckpointMismatch, name, "head "+cp.Head, l.chain.head)
		}
		if s := l.chain.tree.root(); s != cp.Root {
			c.fail(codeRootMismatch, name, cp.Root, s)
		}
	}
}

// facts takes from a record what files are compared with.
func (c *Checker) facts(r Record) {
	l := &c.ledger
	if !slices.Contains(recordTypes, r.Type) {
		c.fail(codeTypeUnknown, l.file, "", fmt.Sprintf("record %d is of type %q, which this snapcase does not know", r.Seq, r.Type))
	}
	switch r.Type {
	case "case.open":
		if l.opened == nil {
			l.opened = &r
		}
	case typeClockJump:
		step, _ := r.Data["step_ns"].(string) //nolint:errcheck // empty when it is not there
		wall, _ := r.Data["wall"].(string)    //nolint:errcheck // as above
		c.fail(codeClockJump, l.file, "", fmt.Sprintf("record %d: the clock stepped by %s ns to %s", r.Seq, step, wall))
	case typeTorn:
		file, _ := r.Data["file"].(string)  //nolint:errcheck // as above
		sum, _ := r.Data["sha256"].(string) //nolint:errcheck // as above
		if file != "" {
			l.torn[file] = sum
		}
	}
	l.hands.Take(r)
	if r.Exhibit == "" {
		return
	}
	x := l.exhibit(r.Exhibit)
	if kind, ok := r.Data["kind"].(string); ok && x.kind == "" {
		x.kind = kind
	}
	switch r.Type {
	case typeAcquireStart:
		if x.started < 0 {
			x.started = r.Seq
		}
	case typeAcquireEnd:
		x.ended = true
		if e, ok := endOf(r); ok {
			x.ends = append(x.ends, e)
		}
	case TypeDispose:
		x.disposed = r.Seq
	}
}

// namedSums are the keys of an acquire.end record that name the digest of one
// file; files_sha256 names any.
var namedSums = map[string]string{
	"block_list_sha256": "blocks-sha256.txt", "acquisition_sha256": "acquisition.json", "manifest_sha256": "manifest-sha256.txt",
	"hits_sha256": "hits.jsonl", "names_sha256": "names.jsonl", "map_sha256": "map.jsonl",
}

// endOf reads an acquire.end record; ok is false for one that sealed nothing.
func endOf(r Record) (e acquireEnd, ok bool) {
	e = acquireEnd{seq: r.Seq, files: map[string]string{}}
	e.sha256, ok = r.Data["sha256"].(string)
	if !ok || r.Result == "failed" {
		return e, false
	}
	e.own = text(r.Data, "file_sha256")
	name := func(file, sum string) {
		if have, twice := e.files[file]; twice && have != sum {
			e.clash = file
		}
		e.files[file] = sum
	}
	if m, ok := r.Data["files_sha256"].(map[string]any); ok {
		for file, v := range m {
			s, _ := v.(string) //nolint:errcheck // an empty digest never matches
			name(file, s)
		}
	}
	for key, file := range namedSums {
		if s, ok := r.Data[key].(string); ok {
			name(file, s)
		}
	}
	switch v := r.Data["read_errors"].(type) {
	case []any:
		e.errors = len(v)
	case string:
		if n, err := strconv.Atoi(v); err == nil {
			e.errors = n
		}
	case int64:
		e.errors = int(v)
	}
	if s, ok := r.Data["read_errors_total"].(string); ok {
		if n, err := strconv.Atoi(s); err == nil {
			e.errors = max(e.errors, n)
		}
	}
	if n, err := strconv.ParseInt(text(r.Data, "not_acquired_bytes"), 10, 64); err == nil && n > 0 {
		e.absent = fmt.Sprintf("%d of %s bytes were not acquired", n, text(r.Data, "bytes"))
		if origin, ok := r.Data["origin"].(map[string]any); ok && text(origin, "since") != "" {
			e.absent += ": only what changed since " + text(origin, "since") + " was"
		}
	}
	e.gaps = r.Result == "partial" || e.errors > 0 || e.absent != ""
	return e, true
}
