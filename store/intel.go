package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"snapcase/evidence"
	"snapcase/evidence/intel"
	"snapcase/imaging"
)

// A list of hostile addresses is small, and is read out of its exhibit by the
// first question that asks for it: nothing of it lies in the index.

// mostListed is how many entries the lists of a case may have together; those
// beyond are told as an error, since an address that is not looked up would
// look like one that no list has.
const mostListed = 8_000_000

// ref is where an entry stands.
type ref struct {
	list, file  int32
	n           int64
	from, until imaging.Time
}

// listFile is a file of a list.
type listFile struct{ exhibit, name string }

// intelLists are the addresses of all lists of a case, by network.
type intelLists struct {
	names []string // of the lists
	files []listFile
	nets  map[netip.Prefix][]ref
	bits  [2][]int // lengths of the networks that there are, the longest first: IPv4, IPv6
}

// intelCache keeps the lists while the exhibits stay the same.
type intelCache struct {
	mu    sync.Mutex
	of    string // the exhibits
	lists *intelLists
}

// lists reads the lists of the case that are indexed.
func (q *question) lists(ctx context.Context) (*intelLists, error) {
	all, err := evidence.ReadExhibits(q.c.folder)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(a evidence.Acquisition) bool {
		return a.Kind != evidence.KindIntel || q.known(a.Exhibit) != nil
	})
	var of strings.Builder
	for _, a := range all {
		fmt.Fprintf(&of, "%s %s %s\n", a.Exhibit, a.SHA256, a.Label)
	}
	c := &q.c.intel
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lists != nil && c.of == of.String() {
		return c.lists, nil
	}
	l := &intelLists{nets: map[netip.Prefix][]ref{}}
	for _, a := range all {
		if err := l.add(ctx, q.c, a); err != nil {
			return nil, fmt.Errorf("read the list %s (%s): %w", a.Label, a.Exhibit, err)
		}
	}
	l.finish()
	c.of, c.lists = of.String(), l
	return l, nil
}

// add reads the files of a list.
func (l *intelLists) add(ctx context.Context, c *Case, a evidence.Acquisition) error {
	list := slices.Index(l.names, a.Label)
	if list < 0 {
		list = len(l.names)
		l.names = append(l.names, a.Label)
	}
	files, err := exhibitFiles(c.folder, a.Exhibit)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := c.sealed.check(c, a.Exhibit, f.path); err != nil {
			return err
		}
		l.files = append(l.files, listFile{a.Exhibit, f.name})
		err := eachListed(ctx, f.path, func(e intel.Entry) error {
			if !e.Prefix.IsValid() {
				return nil
			}
			if len(l.nets) == mostListed {
				return fmt.Errorf("the lists of the case have more than %d entries", mostListed)
			}
			l.nets[e.Prefix] = append(l.nets[e.Prefix], ref{int32(list), int32(len(l.files) - 1), e.N, e.From, e.Until}) //nolint:gosec // few lists and files
			return nil
		}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// eachListed reads the entries of a file; bad is told of what is none. JSON that
// does not hold ends it, as the index told, and is no error.
func eachListed(ctx context.Context, path string, f func(intel.Entry) error, bad func(n, offset int64, reason string)) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read-only
	for e, err := range intel.Read(ctxReader{ctx, in}) {
		var no *intel.BadEntry
		var io *os.PathError
		switch {
		case errors.As(err, &no):
			if bad != nil {
				bad(no.N, no.Offset, no.Reason)
			}
		case evidence.Canceled(err) || errors.As(err, &io):
			return err
		case err != nil:
			if bad != nil {
				bad(0, 0, err.Error())
			}
		default:
			if err := f(e); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (l *intelLists) finish() {
	have := [2]map[int]bool{{}, {}}
	for p := range l.nets {
		have[ipVersion(p.Addr())][p.Bits()] = true
	}
	for i, m := range have {
		for b := range m {
			l.bits[i] = append(l.bits[i], b)
		}
		slices.SortFunc(l.bits[i], func(a, b int) int { return b - a })
	}
}

func ipVersion(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// of gives the entries that list an address: of each list the narrowest one, by
// the names of the lists.
func (l *intelLists) of(ip string) (names []string, listed []evidence.Listed) {
	names = []string{}
	a, err := netip.ParseAddr(ip)
	if err != nil || len(l.nets) == 0 {
		return names, nil
	}
	a = a.Unmap().WithZone("")
	for _, bits := range l.bits[ipVersion(a)] {
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		for _, r := range l.nets[p] {
			name := l.names[r.list]
			if slices.Contains(names, name) {
				continue
			}
			names = append(names, name)
			f := l.files[r.file]
			listed = append(listed, evidence.Listed{List: name, Entry: p.String(), From: r.from, Until: r.until, Record: evidence.Record{Exhibit: f.exhibit, File: f.name, N: r.n}})
		}
	}
	slices.Sort(names)
	slices.SortFunc(listed, func(a, b evidence.Listed) int { return cmp.Compare(a.List, b.List) })
	return names, listed
}

// listPeers names the lists that peers of flows are on.
func (q *question) listPeers(ctx context.Context, peers []evidence.FlowPeer) error {
	l, err := q.lists(ctx)
	if err != nil {
		return err
	}
	for i := range peers {
		peers[i].Lists, peers[i].Listed = l.of(peers[i].Peer)
	}
	return nil
}

// listTrace names the lists that the addresses of a trace are on.
func (q *question) listTrace(ctx context.Context, t *evidence.Trace) error {
	l, err := q.lists(ctx)
	if err != nil {
		return err
	}
	for i := range t.Peers {
		t.Peers[i].Lists, t.Peers[i].Listed = l.of(t.Peers[i].IP)
	}
	for i := range t.Addresses {
		_, t.Addresses[i].Listed = l.of(t.Addresses[i].IP)
	}
	return nil
}

// intelList reads a list for the figures of its exhibit: entries, and what is
// none.
func (l *load) intelList(ctx context.Context) error {
	seen := map[string]bool{}
	for i := range l.files {
		err := eachListed(ctx, l.files[i].path, func(e intel.Entry) error {
			if l.stats.Records++; l.stats.Records > mostListed {
				return fmt.Errorf("a list has more than %d entries", mostListed)
			}
			what := e.Name
			if e.Prefix.IsValid() {
				what = e.Prefix.String()
			}
			if seen[what] {
				l.stats.Duplicates++
			}
			seen[what] = true
			return nil
		}, func(n, offset int64, reason string) { l.bad(i, n, offset, reason) })
		if err != nil {
			if err := l.gapFile(i, err); err != nil {
				return err
			}
		}
	}
	l.stats.Distinct = int64(len(seen))
	return nil
}

// ListFigures is what a list of hostile addresses holds.
type ListFigures struct {
	Exhibit   string
	Addresses int64 // and networks
	Names     int64 // of domains, which nothing is matched with
	Private   int64 // addresses that are not of the Internet
}

// ListFigures counts what the list of an exhibit holds.
func (c *Case) ListFigures(ctx context.Context, exhibit string) (f ListFigures, err error) {
	f.Exhibit = exhibit
	files, err := exhibitFiles(c.folder, exhibit)
	if err != nil {
		return f, err
	}
	for _, file := range files {
		err := eachListed(ctx, file.path, func(e intel.Entry) error {
			switch {
			case !e.Prefix.IsValid():
				f.Names++
			case !public(e.Prefix.Addr()):
				f.Private++
				fallthrough
			default:
				f.Addresses++
			}
			return nil
		}, nil)
		if err != nil {
			return f, fmt.Errorf("count the list %s: %w", exhibit, err)
		}
	}
	return f, nil
}

// ListLabel is the label of the exhibit that holds a list of hostile addresses:
// its name, of ASCII letters, digits, ".", "_" and "-", 64 at most.
func ListLabel(name string) (string, error) {
	if !plainName(name) {
		return "", evidence.WithHint(fmt.Errorf("name of a list %q: %w", name, evidence.ErrUsage), "names are of letters, digits, . _ and -, for example feodo-2026.03")
	}
	return name, nil
}
