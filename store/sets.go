package store

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/hashset"
)

// The digests of a list of known files lie sorted in a file of their own beside
// index.db, because a list has tens of millions of them and a question needs a
// few. The file is derived as index.db is: a header of setHeader bytes, then
// the MD5s, the SHA-1s and the SHA-256s, each ascending and once.
//
//	 0   8  "snapset1"
//	 8  32  SHA-256 of the exhibit, as in its acquisition.json
//	40   3 × 8  how many MD5s, SHA-1s, SHA-256s, big endian
const (
	setMagic  = "snapset1"
	setHeader = 64
)

// setPath is where the sorted digests of an exhibit lie.
func (c *Case) setPath(exhibit string) string {
	return filepath.Join(c.indexPath()+".sets", exhibit)
}

// setFile is the sorted digests of one exhibit. It is safe for concurrent use.
type setFile struct {
	f     *os.File
	name  string // "good:NAME" or "bad:NAME", the exhibit's label
	start [len(hashset.Algorithms)]int64
	count [len(hashset.Algorithms)]int64
}

// openSet opens the sorted digests of an exhibit.
func (c *Case) openSet(a evidence.Acquisition) (s *setFile, err error) {
	f, err := os.Open(c.setPath(a.Exhibit))
	if err != nil {
		return nil, staleSet(a.Exhibit, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	head := make([]byte, setHeader)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, staleSet(a.Exhibit, err)
	}
	if string(head[:8]) != setMagic || !bytes.Equal(head[8:40], a.SHA256[:]) {
		return nil, staleSet(a.Exhibit, errors.New("it is not of this exhibit"))
	}
	s = &setFile{f: f, name: a.Label}
	end := int64(setHeader)
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	for i, alg := range hashset.Algorithms {
		n := binary.BigEndian.Uint64(head[40+8*i:])
		if n > uint64(fi.Size()) { //nolint:gosec // not negative
			return nil, staleSet(a.Exhibit, errors.New("it is cut"))
		}
		s.start[i], s.count[i] = end, int64(n) //nolint:gosec // below the size
		end += s.count[i] * int64(alg.Size())
	}
	if end != fi.Size() {
		return nil, staleSet(a.Exhibit, errors.New("it is cut"))
	}
	return s, nil
}

func staleSet(exhibit string, err error) error {
	return evidence.WithHint(fmt.Errorf("sorted digests of %s: %w", exhibit, err), "they are derived: run snapcase index CASE --rebuild")
}

// has says whether the list holds a digest.
func (s *setFile) has(a hashset.Algorithm, sum []byte) (bool, error) {
	size := int64(a.Size())
	const page = 4096 // what is read at once in the end
	var buf [page]byte
	lo, hi := int64(0), s.count[a] // the digest can be one of these
	for hi-lo > page/size {
		mid := lo + (hi-lo)/2
		if _, err := s.f.ReadAt(buf[:size], s.start[a]+mid*size); err != nil {
			return false, err
		}
		switch c := bytes.Compare(buf[:size], sum); {
		case c == 0:
			return true, nil
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	b := buf[:(hi-lo)*size]
	if _, err := s.f.ReadAt(b, s.start[a]+lo*size); err != nil && len(b) > 0 {
		return false, err
	}
	for ; len(b) > 0; b = b[size:] {
		if bytes.Equal(b[:size], sum) {
			return true, nil
		}
	}
	return false, nil
}

// knownSets are the lists of a case.
type knownSets struct {
	all   []*setFile
	needs [len(hashset.Algorithms)]bool // which digests their questions need
}

// openSets opens the lists of the case that are indexed, by name.
func (c *Case) openSets(q *question) (*knownSets, error) {
	all, err := evidence.ReadExhibits(c.folder)
	if err != nil {
		return nil, err
	}
	k := &knownSets{}
	for _, a := range all {
		if a.Kind != evidence.KindHashset || q.known(a.Exhibit) != nil {
			continue
		}
		s, err := c.openSet(a)
		if err != nil {
			return nil, errors.Join(err, k.close())
		}
		k.all = append(k.all, s)
		for i, n := range s.count {
			k.needs[i] = k.needs[i] || n > 0
		}
	}
	slices.SortStableFunc(k.all, func(a, b *setFile) int { return cmp.Compare(a.name, b.name) })
	return k, nil
}

func (k *knownSets) close() error {
	var errs []error
	for _, s := range k.all {
		errs = append(errs, s.f.Close())
	}
	k.all = nil
	return errors.Join(errs...)
}

// names are the lists that hold one of the digests of a content, by name.
func (k *knownSets) names(sums *contentSums) ([]string, error) {
	names := []string{}
	for _, s := range k.all {
		for _, a := range hashset.Algorithms {
			sum := sums.of(a)
			if sum == nil || s.count[a] == 0 {
				continue
			}
			ok, err := s.has(a, sum)
			if err != nil {
				return nil, fmt.Errorf("look in %s: %w", s.name, err)
			}
			if ok {
				names = append(names, s.name)
				break
			}
		}
	}
	return slices.Compact(names), nil
}

// hashset sorts the digests of a list into its file.
func (l *load) hashset(ctx context.Context) (err error) {
	var sorters [len(hashset.Algorithms)]*sorter
	for i := range sorters {
		sorters[i] = newSorter(l.c.spillDir())
		defer func(s *sorter) { err = errors.Join(err, s.close()) }(sorters[i])
	}
	add := func(d *hashset.Digest) error {
		l.stats.Records++
		if l.stats.Records%65536 == 0 {
			l.step(65536)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return sorters[d.Algorithm].add(d.Bytes(), nil)
	}
	for i := range l.files {
		if err := l.readSet(ctx, i, add); err != nil {
			return err
		}
	}
	return l.writeSet(sorters[:])
}

// readSet reads one file of a list.
func (l *load) readSet(ctx context.Context, file int, add func(*hashset.Digest) error) error {
	f, err := l.open(file)
	if err != nil {
		return l.gapFile(file, err)
	}
	defer f.Close() //nolint:errcheck // read-only
	in := bufio.NewReaderSize(ctxReader{ctx, f}, 64<<10)
	if head, err := in.Peek(len(sqliteMagic)); err == nil && string(head) == sqliteMagic {
		return l.readSQLiteSet(ctx, file, add)
	}
	for d, err := range hashset.Read(in) {
		var bad *hashset.BadLine
		switch {
		case errors.As(err, &bad):
			l.bad(file, bad.N, bad.Offset, bad.Reason)
		case err != nil:
			return l.gapFile(file, err)
		default:
			if err := add(&d); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeSet writes the sorted digests whole or not at all.
func (l *load) writeSet(sorters []*sorter) (err error) {
	path := l.c.setPath(l.acq.Exhibit)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp))
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	head := make([]byte, setHeader)
	copy(head, setMagic)
	copy(head[8:], l.acq.SHA256[:])
	_, err = w.Write(head)
	for i, s := range sorters {
		var n int64
		if err == nil {
			n, err = writeSorted(w, s)
		}
		l.stats.Distinct += n
		binary.BigEndian.PutUint64(head[40+8*i:], uint64(n)) //nolint:gosec // not negative
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		_, err = f.WriteAt(head, 0)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	l.stats.Duplicates = l.stats.Records - l.stats.Distinct
	return os.Rename(tmp, path)
}

// writeSorted writes the keys of a sorter, each once, and counts them.
func writeSorted(w io.Writer, s *sorter) (n int64, err error) {
	var last []byte
	for r, err := range s.sorted() {
		if err != nil {
			return n, err
		}
		if n > 0 && bytes.Equal(r.key, last) {
			continue
		}
		n, last = n+1, append(last[:0], r.key...)
		if _, err := w.Write(r.key); err != nil {
			return n, err
		}
	}
	return n, nil
}

// The roles of a list: what its name begins with.
const (
	setGood = "good:"
	setBad  = "bad:"
)

// SetLabel is the label of the exhibit that holds a list: good:NAME or
// bad:NAME. Names are of ASCII letters, digits, ".", "_" and "-", 64 at most.
func SetLabel(name string, bad bool) (string, error) {
	switch {
	case !plainName(name):
		return "", evidence.WithHint(fmt.Errorf("name of a hash set %q: %w", name, evidence.ErrUsage), "names are of letters, digits, . _ and -, for example nsrl-2026.03")
	case bad:
		return setBad + name, nil
	}
	return setGood + name, nil
}

// plainName says whether a name of a list is of ASCII letters, digits, ".", "_"
// and "-", 64 at most.
func plainName(name string) bool {
	plain := name != "" && len(name) <= 64
	for _, r := range name {
		plain = plain && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r))
	}
	return plain
}
