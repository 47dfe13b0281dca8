package ntfs

import (
	"fmt"

	"snapcase/imaging/filesystem"
)

const (
	modeFile     = 0o100000
	modeDir      = 0o040000
	modeLink     = 0o120000
	modeFIFO     = 0o010000
	modeSocket   = 0o140000
	modeChar     = 0o020000
	modeBlock    = 0o060000
	attrReadOnly = 0x1
	attrSystem   = 0x4
	maxStreams   = 1024 // listed of one file
)

// entry is what a file's record says, without its names.
func (w *walker) entry(f *file) (filesystem.Entry, error) {
	e := filesystem.Entry{
		Ref:  filesystem.Ref{Inode: f.number, Generation: uint32(f.seq)},
		Type: filesystem.TypeFile, Links: uint32(f.links), First: -1, Damage: f.damage,
	}
	if f.dir {
		e.Type = filesystem.TypeDir
	}
	attrs := uint32(0)
	if s := f.stream(typeStandard, ""); s != nil && len(s.resident) >= 36 {
		v := s.resident
		e.Born, e.Modified, e.Changed, e.Accessed = moment(v), moment(v[8:]), moment(v[16:]), moment(v[24:])
		attrs = le.Uint32(v[32:])
	}
	s := f.main()
	if err := w.content(&e, f, s); err != nil {
		return e, err
	}
	if r := f.stream(typeReparse, ""); r != nil {
		p := r.resident
		if p == nil {
			var err error
			if p, err = w.fs.value(r); err != nil {
				return e, err
			}
		}
		reparse(&e, p)
	} else if attrs&attrSystem != 0 && !f.dir {
		if err := w.fs.interix(&e, s); err != nil {
			return e, err
		}
	}
	e.Mode = mode(e.Type, attrs)
	return e, nil
}

// value reads a small value that lies in clusters.
func (fs *FS) value(s *stream) ([]byte, error) {
	c := fs.content(s)
	p := make([]byte, min(c.size, maxValue))
	_, err := c.ReadAt(p, 0)
	if isEOF(err) || isFormat(err) {
		err = nil
	}
	return p, err
}

// mode is made up: NTFS has none.
func mode(t filesystem.Type, attrs uint32) uint32 {
	perm := uint32(0o777)
	if attrs&attrReadOnly != 0 {
		perm = 0o555
	}
	switch t {
	case filesystem.TypeDir:
		return modeDir | perm
	case filesystem.TypeSymlink:
		return modeLink | 0o777
	case filesystem.TypeFIFO:
		return modeFIFO | perm
	case filesystem.TypeSocket:
		return modeSocket | perm
	case filesystem.TypeChar:
		return modeChar | perm
	case filesystem.TypeBlock:
		return modeBlock | perm
	case filesystem.TypeFile, filesystem.TypeUnknown:
	}
	return modeFile | perm
}

// content sets what depends on a stream: size, place, damage.
func (w *walker) content(e *filesystem.Entry, f *file, s *stream) error {
	if s == nil {
		e.Size, e.First = 0, -1
		return nil
	}
	c := w.fs.content(s)
	e.Size, e.First = c.size, -1
	if c.damage != "" {
		join(&e.Damage, "%s", c.damage)
	}
	if s.flags&flagEncrypted != 0 {
		join(&e.Damage, "encrypted: the content is as stored")
	}
	if len(s.resident) > 0 {
		e.First = w.fs.mftPlace(int64(s.record)*w.fs.boot.record + int64(s.at)) //nolint:gosec // inside the MFT
	}
	for _, r := range s.runs {
		if r.lcn >= 0 {
			e.First = r.lcn * w.fs.boot.cluster
			break
		}
	}
	if f.inUse {
		return nil
	}
	again, err := w.clusters.reused(s)
	if again != "" {
		join(&e.Damage, "%s", again)
	}
	return err
}

// mftPlace is where a byte of the MFT lies, -1 for nowhere.
func (fs *FS) mftPlace(off int64) int64 {
	cs := fs.boot.cluster
	i := fs.mft.find(off / cs)
	if i == len(fs.mft.runs) || fs.mft.runs[i].lcn < 0 {
		return -1
	}
	return fs.mft.runs[i].lcn*cs + off - int64(fs.mft.runs[i].vcn)*cs //nolint:gosec // bounded
}

// FileName is one $FILE_NAME of a file.
type FileName = filesystem.FileName

// FileNames gives the $FILE_NAMEs of a record, the short ones too, in the
// order on disk. ref.Stream is not looked at.
func (fs *FS) FileNames(ref filesystem.Ref) ([]FileName, error) {
	budget := int64(maxList)
	f, err := fs.file(ref.Inode, &budget)
	if err != nil {
		return nil, fmt.Errorf("names of record %d: %w", ref.Inode, err)
	}
	if f == nil || uint32(f.seq) != ref.Generation {
		return nil, fmt.Errorf("names of record %d: %w", ref.Inode, ErrReused)
	}
	var all []FileName
	for _, a := range f.attrs {
		if a.kind != typeFileName || a.runs != nil {
			continue
		}
		n, ok := parseName(a.value)
		if !ok {
			continue
		}
		v := n.value
		all = append(all, FileName{
			Parent: n.parent, ParentSeq: n.seq, Name: n.name, Short: n.space == nameDOS,
			Born: moment(v[8:]), Modified: moment(v[16:]), Changed: moment(v[24:]), Accessed: moment(v[32:]),
			Size: int64(min(le.Uint64(v[48:]), 1<<62)), //nolint:gosec // bounded
		})
	}
	return all, nil
}
