package digest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"snapcase/imaging"
)

// state is how far a digest is proved.
type state int

const (
	unproved state = iota // no key or no signature: it was not checked
	proved                // its own signature holds
	broken                // it is not what was signed
)

// node is one digest: a content at a place. Copies of it in several exhibits are
// one.
type node struct {
	file   *File
	slot   slot // by where it lies, or where it says that it should
	d      *Digest
	sum    [sha256.Size]byte
	sig    string // of the metadata
	claims []claim
	own    state // by its own signature: what it says of others counts by that
	state  state // with what others say of it
}

// claim is what a digest says of the one before it.
type claim struct {
	by        *node
	hash, sig string
	// weak says that by is broken: a signature that it has proves what it fits,
	// and one that does not fit says nothing.
	weak bool
}

// span is the time that a digest covers. A broken one is believed only to stand
// for the hour in its name.
func (n *node) span() (from, to time.Time) {
	if n.state == broken || n.d == nil {
		return n.slot.end.Add(-time.Hour), n.slot.end
	}
	return n.d.Start, n.d.End
}

// fail notes a failure of a digest, and how far it is proved with that.
func (v *validator) fail(n *node, code string, s state, reason string) {
	if s == broken {
		if doubt := v.in.doubt(n.file); doubt != "" {
			reason += "; " + doubt
		}
	}
	from, to := n.span()
	v.failure(code, n.file.Address, reason, from, to)
	n.state = max(n.state, s)
}

// read reads every digest file.
func (v *validator) read(ctx context.Context) error {
	type identity struct {
		sum   [sha256.Size]byte
		where string
	}
	known := map[identity]*node{}
	for i := range v.in.Files {
		f := &v.in.Files[i]
		if f.Older || !IsDigest(f.Key) {
			continue
		}
		n := &node{file: f, sig: strings.TrimSpace(f.Metadata["signature"])}
		var named bool
		n.slot, named = slotOf(f.Key)
		code, bad, err := v.open(ctx, n)
		if err != nil {
			return err
		}
		v.step("digests")
		if bad == nil {
			id := identity{n.sum, tail(n.d.Object)}
			if was := known[id]; was != nil {
				if was.sig == "" {
					was.sig = n.sig
				}
				v.nodeOf[f] = was
				continue
			}
			known[id] = n
		}
		if !named && n.d != nil {
			n.slot, _ = slotOf(n.d.Object)
		}
		v.nodeOf[f] = n
		v.chains[n.slot.chainID] = append(v.chains[n.slot.chainID], n)
		if bad != nil {
			n.own = broken
			v.fail(n, code, broken, bad.Error())
		}
	}
	return nil
}

// open reads one digest file. err ends everything, bad is of this one.
func (v *validator) open(ctx context.Context, n *node) (code string, bad, err error) {
	r, err := v.in.Open(n.file)
	if err != nil {
		return "", nil, fmt.Errorf("read %s: %w", n.file.Address, err)
	}
	text, sum, bad := Unpack(ctx, r)
	var failed readFailure
	if err := r.Close(); err != nil || errors.As(bad, &failed) {
		return "", nil, fmt.Errorf("read %s: %w", n.file.Address, errors.Join(bad, err))
	}
	if errors.Is(bad, errTrailing) {
		return CodeDigestTrailing, bad, nil
	}
	if bad != nil {
		return CodeDigestFormat, bad, nil
	}
	d, bad := Parse(text)
	if bad != nil {
		return CodeDigestFormat, bad, nil
	}
	n.sum, n.d = sum, d
	d.LogFiles = nil // they are read again when they are checked: many digests fit in memory so
	if algorithm, ok := n.file.Metadata["signature-algorithm"]; ok && algorithm != signatureAlgorithm {
		return CodeDigestFormat, fmt.Errorf("the metadata name the signature algorithm %q", algorithm), nil
	}
	if !n.file.at(d.Bucket, d.Object) {
		return CodeDigestMoved, fmt.Errorf("it says that it is s3://%s/%s", d.Bucket, d.Object), nil
	}
	if _, ok := slotOf(d.Object); !ok {
		return CodeDigestFormat, fmt.Errorf("digestS3Object %q is no name of a digest", d.Object), nil
	}
	return "", nil, nil
}

// before gives the digests that lie where a digest says its predecessor does.
func (v *validator) before(n *node) []*node {
	if n.d == nil || n.d.first() {
		return nil
	}
	var all []*node
	for _, f := range v.index.now.find(*n.d.PreviousBucket, *n.d.PreviousObject) {
		if p := v.nodeOf[f]; p != nil && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// newestFirst sorts digests.
func newestFirst(nodes []*node) {
	slices.SortStableFunc(nodes, func(a, b *node) int {
		_, x := a.span()
		_, y := b.span()
		return cmp.Or(y.Compare(x), strings.Compare(a.file.Address, b.file.Address))
	})
}

// sign checks the signatures of a chain, newest first: where the metadata were
// lost, the signature is also in the digest after it.
func (v *validator) sign(nodes []*node) {
	newestFirst(nodes)
	for _, n := range nodes {
		if n.own != broken {
			n.own = v.signature(n)
			n.state = max(n.state, n.own)
		}
		for _, p := range v.before(n) {
			p.claims = append(p.claims, claim{n, *n.d.PreviousHash, *n.d.PreviousSignature, n.own == broken})
		}
	}
}

// signature checks the signature of one digest.
func (v *validator) signature(n *node) state {
	key, unknown := v.keys.find(n.d.Fingerprint)
	sigs, where := []string{n.sig}, "its metadata"
	if n.sig == "" {
		sigs, where = nil, "the digest after it"
		for _, c := range n.claims {
			if !c.weak || unknown == nil && n.d.Verify(n.sum, c.sig, key.Public) == nil {
				sigs = append(sigs, c.sig)
			}
		}
	}
	if len(sigs) == 0 {
		v.fail(n, CodeSignatureMissing, unproved, "no metadata with its signature, and no digest after it that has it: it was not checked")
		return unproved
	}
	if unknown != nil {
		v.fail(n, CodeKeyUnknown, unproved, unknown.Error()+": it was not checked")
		return unproved
	}
	v.used[key] = true
	for _, s := range sigs {
		err := n.d.Verify(n.sum, s, key.Public)
		if err == nil {
			continue
		}
		reason := fmt.Sprintf("the signature in %s does not hold: %v", where, err)
		for _, c := range n.claims {
			if n.sig != "" && n.d.Verify(n.sum, c.sig, key.Public) == nil {
				reason += "; that in the digest after it does, so that the metadata were changed and not the digest"
				break
			}
		}
		v.fail(n, CodeDigestSignature, broken, reason)
		return broken
	}
	return proved
}

// links compares a digest with what the digest after it says of it.
func (v *validator) links(n *node) {
	for _, c := range n.claims {
		what := ""
		switch {
		case c.weak:
			continue
		case n.d == nil || !strings.EqualFold(c.hash, fmt.Sprintf("%x", n.sum)):
			what = "hash"
		case n.sig != "" && !strings.EqualFold(c.sig, n.sig):
			what = "signature"
		default:
			continue
		}
		if n.own == proved && c.by.own != proved {
			v.fail(c.by, CodeDigestHash, broken, fmt.Sprintf("its predecessor %s is signed, and has another %s than it says", n.file.Address, what))
			continue
		}
		v.fail(n, CodeDigestHash, broken, fmt.Sprintf("%s, the digest after it, has another %s of it", c.by.file.Address, what))
	}
}

func stamp(t time.Time) imaging.Time {
	if t.IsZero() {
		return imaging.Time{}
	}
	return imaging.TimeOf(t)
}
