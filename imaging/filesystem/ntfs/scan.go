package ntfs

import (
	"context"
	"slices"
)

const (
	// stretchBytes is how much of the MFT is read at once.
	stretchBytes = 1 << 20
	// maxPath bounds the path of a directory, maxUp how many parents are
	// followed: what goes beyond is given as an orphan.
	maxPath, maxUp = 64 << 10, 1024
	// keptPaths is how many paths of directories are kept.
	keptPaths = 1024
)

// dir is a directory that some record is, or was.
type dir struct {
	parent    uint64
	parentSeq uint16
	seq       uint16
	inUse     bool
	name      string
}

// scanner reads the MFT in order.
type scanner struct {
	fs     *FS
	ctx    context.Context
	budget int64 // bytes of attribute lists
	buf    []byte
	usn    []uint64 // records that have the name of the change journal
}

func (fs *FS) newScanner(ctx context.Context) *scanner {
	return &scanner{fs: fs, ctx: ctx, budget: fs.src.Size()/4 + 64<<20, buf: make([]byte, max(min(stretchBytes, fs.mft.size), fs.boot.record))}
}

// each calls do with every record from first to before last; those that the
// image lacks come without signature. The record is valid during the call.
func (s *scanner) each(first, last uint64, do func(*record) error) error {
	size := uint64(s.fs.boot.record) //nolint:gosec // positive
	per := uint64(len(s.buf)) / size
	for n := first; n < last; n += per {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		count := min(per, last-n)
		p := s.buf[:count*size]
		if _, err := s.fs.mft.ReadAt(p, int64(n*size)); err != nil && !isEOF(err) { //nolint:gosec // inside the MFT
			return err
		}
		for i := range count {
			if err := do(parseRecord(n+i, p[i*size:][:size:size])); err != nil {
				return err
			}
		}
	}
	return nil
}

// names are the $FILE_NAMEs of a file that are shown: all but the short ones,
// unless there is no other.
func (f *file) names() []fileName {
	var long, short []fileName
	for _, a := range f.attrs {
		if a.kind != typeFileName || a.runs != nil {
			continue
		}
		n, ok := parseName(a.value)
		switch {
		case !ok:
			join(&f.damage, "range: a name of %d bytes", len(a.value))
		case n.space == nameDOS:
			short = append(short, n)
		default:
			long = append(long, n)
		}
	}
	if len(long) == 0 {
		return short
	}
	return long
}

// directories collects all directories with the first name of each, and notes
// the change journals.
func (s *scanner) directories() (map[uint64]dir, error) {
	dirs := make(map[uint64]dir)
	s.usn = nil
	err := s.each(0, s.fs.records, func(r *record) error {
		if r.file && isJournal(r) && len(s.usn) < maxJournals && !slices.Contains(s.usn, r.base) {
			s.usn = append(s.usn, r.base)
		}
		if !r.file || !r.dir || r.part() {
			return nil
		}
		f, err := s.fs.gather(r, &s.budget)
		if err != nil {
			return err
		}
		d := dir{seq: r.seq, inUse: r.inUse}
		if names := f.names(); len(names) > 0 {
			d.parent, d.parentSeq, d.name = names[0].parent, names[0].seq, names[0].name
		}
		dirs[r.number] = d
		return nil
	})
	if err == nil {
		s.fs.noUSN.Store(len(s.usn) == 0)
	}
	return dirs, err
}
