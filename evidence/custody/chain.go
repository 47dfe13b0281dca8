package custody

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"math/bits"
	"strconv"
	"time"

	"snapcase/imaging"
)

func sha256Hex(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// tree is the RFC 6962 tree over lines: the roots of its complete subtrees,
// largest first, one for each bit that is set in n.
type tree struct {
	n     uint64
	roots [][sha256.Size]byte
}

func (t *tree) add(line []byte) { t.addLeaf(leafOf(line)) }

// leafOf is the leaf hash of a line.
func leafOf(line []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(line)
	return [sha256.Size]byte(h.Sum(nil))
}

func (t *tree) addLeaf(leaf [sha256.Size]byte) {
	for range bits.TrailingZeros64(^t.n) {
		leaf = joinNodes(t.roots[len(t.roots)-1], leaf)
		t.roots = t.roots[:len(t.roots)-1]
	}
	t.roots = append(t.roots, leaf)
	t.n++
}

// root is the base64 of the tree hash.
func (t *tree) root() string {
	if t.n == 0 {
		h := sha256.Sum256(nil)
		return base64.StdEncoding.EncodeToString(h[:])
	}
	h := t.roots[len(t.roots)-1]
	for i := len(t.roots) - 2; i >= 0; i-- {
		h = joinNodes(t.roots[i], h)
	}
	return base64.StdEncoding.EncodeToString(h[:])
}

func joinNodes(a, b [sha256.Size]byte) [sha256.Size]byte {
	var m [1 + 2*sha256.Size]byte
	m[0] = 1
	copy(m[1:], a[:])
	copy(m[1+sha256.Size:], b[:])
	return sha256.Sum256(m[:])
}

// chain is what the lines of a ledger so far amount to.
type chain struct {
	n      int64 // lines
	seq    int64 // that the next record must have
	bytes  int64 // with their LFs
	start  int64 // offset of the last line
	head   string
	prefix hash.Hash
	tree   tree

	caseID string
	last   imaging.Time
	wall   anchor
}

// anchor is the last moment at which wall clock and boot clock are both known
// from the ledger.
type anchor struct {
	wall imaging.Time
	boot string
	ns   int64
}

func newChain() chain { return chain{head: zeroHash, prefix: sha256.New()} }

// problems says how r does not follow the chain; line is not added yet.
func (c *chain) problems(r Record) []*lineError {
	var all []*lineError
	if r.Seq != c.seq {
		all = append(all, lineProblem(codeSeqGap, "seq is %d, want %d", r.Seq, c.seq))
	}
	if c.head != "" && r.Prev != c.head { // "" after a line that is withheld
		all = append(all, lineProblem(codeChainBreak, "prev is %s, the line before is %s", r.Prev, c.head))
	}
	if c.caseID != "" && r.Case != c.caseID {
		all = append(all, lineProblem(codeCaseMismatch, "case is %s, want %s", r.Case, c.caseID))
	}
	if c.last.Set && r.Time.Compare(c.last) < 0 {
		all = append(all, lineProblem(codeTimeOrder, "time is %s, the record before has %s", formatTime(r.Time), formatTime(c.last)))
	}
	return all
}

// add takes a line, whatever it holds, into count, length, hashes and tree.
func (c *chain) add(line []byte) {
	c.start = c.bytes
	c.n++
	c.seq++
	c.bytes += int64(len(line)) + 1
	c.head = sha256Hex(line)
	c.prefix.Write(line)
	c.prefix.Write([]byte{'\n'})
	c.tree.add(line)
}

// addLong adds a line that no record can be, of which first is the beginning
// and l has the rest, without holding it in memory.
func (c *chain) addLong(l *lineReader, first []byte) (torn bool, err error) {
	line, leaf := sha256.New(), sha256.New()
	leaf.Write([]byte{0})
	n := int64(0)
	take := func(b []byte) {
		n += int64(len(b))
		line.Write(b)
		leaf.Write(b)
		c.prefix.Write(b)
	}
	take(first)
	if torn, err = l.skip(take); torn || err != nil {
		return torn, err
	}
	c.prefix.Write([]byte{'\n'})
	c.start = c.bytes
	c.n++
	c.seq++
	c.bytes += n + 1
	c.head = hex.EncodeToString(line.Sum(nil))
	c.tree.addLeaf([sha256.Size]byte(leaf.Sum(nil)))
	return false, nil
}

// follow takes what a decoded record says into the state.
func (c *chain) follow(r Record) {
	if c.caseID == "" {
		c.caseID = r.Case
	}
	ns, err := strconv.ParseInt(r.BoottimeNS, 10, 64)
	switch {
	case err != nil:
	case r.Type == typeClockJump:
		if s, ok := r.Data["wall"].(string); ok {
			if t, err := parseTime(s); err == nil {
				c.wall = anchor{t, r.Boot, ns}
			}
		}
	case r.Time != c.last: // a repeated time is that of a clock gone back
		c.wall = anchor{r.Time, r.Boot, ns}
	}
	c.last = r.Time
	c.seq = r.Seq + 1
}

// prefixSum is the SHA-256, hex, of all bytes so far.
func (c *chain) prefixSum() string { return hex.EncodeToString(c.prefix.Sum(nil)) }

// jump is the step that the wall clock made against the boot clock since the
// anchor; with another boot only a step back can be seen.
func (c *chain) jump(now imaging.Time, boot string, ns int64) time.Duration {
	if !c.wall.wall.Set {
		return 0
	}
	passed := now.Std().Sub(c.wall.wall.Std())
	if boot != c.wall.boot {
		return min(passed, 0)
	}
	return passed - time.Duration(ns-c.wall.ns)
}

// checkpoint is the checkpoint of the chain as it is.
func (c *chain) checkpoint(prev string, now time.Time, signer string) Checkpoint {
	cp := Checkpoint{Case: c.caseID, Size: c.n, Bytes: c.bytes, PrefixSHA256: c.prefixSum(), Head: c.head, Root: c.tree.root(), Prev: prev, Time: imaging.TimeOf(now.UTC().Truncate(time.Second)), Signer: signer}
	cp.Name = fmt.Sprintf("%08d.txt", cp.Size)
	return cp
}
