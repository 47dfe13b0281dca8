package custody

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// redactedLedger is the ledger of a redacted bundle: a line that is withheld is
//
//	{"leaf":"<base64 of the RFC 6962 leaf hash>","redacted":true,"seq":17}
//
// and the others are as they are. Every checkpoint's root can be computed from
// lines and leaves, so nothing can be added, changed, swapped or left out; prev
// is checked between neighbours that are both there. What is lost: prefix-sha256
// and bytes of the checkpoints, and head where the line itself is withheld.
const redactedLedger = "ledger.redacted.jsonl"

// TypeWithheld is the type of the record that Read yields for a line that is
// withheld; it has only Seq.
const TypeWithheld = "ledger.withheld"

var withheldLine = regexp.MustCompile(`^\{"leaf":"([A-Za-z0-9+/]{43}=)","redacted":true,"seq":(0|[1-9][0-9]{0,15})\}$`)

// withheld reads a line that stands for one that is withheld.
func withheld(line []byte) (leaf [32]byte, seq int64, ok bool) {
	m := withheldLine.FindSubmatch(line)
	if m == nil {
		return leaf, 0, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(string(m[1]))
	if err != nil || len(b) != len(leaf) {
		return leaf, 0, false
	}
	seq, err = strconv.ParseInt(string(m[2]), 10, 64)
	return [32]byte(b), seq, err == nil
}

// MayWithhold says whether a record of this type can be withheld. Those that a
// check of the evidence, of the keys and of the hands needs cannot.
func MayWithhold(kind string) bool {
	for _, p := range []string{"case.", "key.", "evidence.acquire.", "custody.", "clock.", "ledger."} {
		if strings.HasPrefix(kind, p) {
			return false
		}
	}
	return true
}

// Redact copies a ledger and withholds the records that want names. It gives
// their numbers. A ledger that does not hold, and a record that may not be
// withheld, is an error.
func Redact(w io.Writer, r io.Reader, want func(Record) bool) (out []int64, err error) {
	lines := newLineReader(r)
	c := newChain()
	for {
		line, torn, err := lines.next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil || torn {
			return out, fmt.Errorf("redact the ledger: line %d cannot be read: %w", c.n+1, errors.Join(err, errTorn(torn)))
		}
		rec, bad := decodeRecord(line)
		if bad == nil {
			if all := c.problems(rec); len(all) > 0 {
				bad = all[0]
			}
		}
		if bad != nil {
			return out, fmt.Errorf("redact the ledger: line %d: %w", c.n+1, bad)
		}
		text := line
		if want(rec) {
			if !MayWithhold(rec.Type) {
				return out, fmt.Errorf("redact the ledger: record %d is of type %s, which the check of the evidence needs", rec.Seq, rec.Type)
			}
			leaf := leafOf(line)
			text = fmt.Appendf(nil, `{"leaf":"%s","redacted":true,"seq":%d}`, base64.StdEncoding.EncodeToString(leaf[:]), rec.Seq)
			out = append(out, rec.Seq)
		}
		c.add(line)
		c.follow(rec)
		if _, err := w.Write(append(slices.Clone(text), '\n')); err != nil {
			return out, fmt.Errorf("redact the ledger: %w", err)
		}
	}
}

func errTorn(torn bool) error {
	if torn {
		return errors.New("it has no end")
	}
	return nil
}

// addWithheld adds a line of which only the leaf is known.
func (c *chain) addWithheld(line []byte, leaf [32]byte) {
	c.start = c.bytes
	c.n++
	c.seq++
	c.bytes += int64(len(line)) + 1
	c.head = ""
	c.tree.addLeaf(leaf)
}

// readRedacted checks the ledger of a redacted bundle: chain between neighbours
// that are there, and the root of every checkpoint.
func (c *Checker) readRedacted(r io.Reader) error {
	l := &c.ledger
	l.reset()
	l.seen, l.file = true, redactedLedger
	bySize := c.checkpointsBySize()
	lines := newLineReader(r)
	for {
		line, torn, err := lines.next()
		at := l.chain.bytes
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errLongLine):
			c.failAt(codeRecordTooLong, l.file, fmt.Sprintf("at most %d bytes a line", maxLine), fmt.Sprintf("line %d is longer", l.chain.n+1), at)
			if torn, err = l.chain.addLong(lines, line); torn || err != nil {
				return err
			}
		case err != nil:
			return err
		case torn:
			c.failAt(codeTornTail, l.file, "an end of line", fmt.Sprintf("%d bytes without one", len(line)), at)
			return nil
		default:
			if leaf, seq, ok := withheld(line); ok {
				if seq != l.chain.seq {
					c.failAt(codeSeqGap, l.file, "", fmt.Sprintf("line %d: seq is %d, want %d", l.chain.n+1, seq, l.chain.seq), at)
				}
				l.withheld = append(l.withheld, seq)
				l.chain.addWithheld(line, leaf)
				l.chain.seq = seq + 1
			} else {
				c.ledgerLine(line, at)
			}
		}
		c.atRedactedSize(bySize[l.chain.n])
	}
}

// atRedactedSize compares the roots of checkpoints with the lines and leaves so
// far. A signed head stands in for that of a line that is withheld.
func (c *Checker) atRedactedSize(cps []*heldCheckpoint) {
	l := &c.ledger
	h := c.held
	for _, cp := range cps {
		cp.met = true
		name := "checkpoints/" + cp.Name
		if s := l.chain.tree.root(); s != cp.Root {
			c.fail(codeRootMismatch, name, cp.Root, s)
			continue
		}
		if l.chain.head == "" {
			l.chain.head = cp.Head
		}
		if cp.Head != l.chain.head {
			c.fail(codeCheckpointMismatch, name, "head "+cp.Head, l.chain.head)
		}
	}
	if h != nil && l.chain.head != "" && (h.size == 0 || h.size == l.chain.n) {
		if h.head == l.chain.head {
			l.headMet = true
		} else if h.size > 0 {
			l.headThen = l.chain.head
		}
	}
}

// finishRedacted tells what is withheld.
func (c *Checker) finishRedacted() {
	all := c.ledger.withheld
	if c.ledger.file != redactedLedger {
		return
	}
	c.fail(codeRedacted, redactedLedger, fmt.Sprintf("%d records", c.ledger.chain.n), strings.TrimSuffix(fmt.Sprintf("%d withheld: %s", len(all), Numbers(all)), ": "))
}

// Torn is how many torn tails were kept, by the ledger.
func (c *Checker) Torn() int { return len(c.ledger.torn) }

// Numbers are record numbers as text, in runs: 3 7-9 12. At most 200 runs are
// told, the others counted.
func Numbers(all []int64) string {
	const most = 200
	var runs []string
	for i := 0; i < len(all); {
		j := i
		for j+1 < len(all) && all[j+1] == all[j]+1 {
			j++
		}
		run := strconv.FormatInt(all[i], 10)
		if j > i {
			run += "-" + strconv.FormatInt(all[j], 10)
		}
		if len(runs) == most {
			return strings.Join(append(runs, fmt.Sprintf("and %d more", len(all)-i)), " ")
		}
		runs = append(runs, run)
		i = j + 1
	}
	return strings.Join(runs, " ")
}
