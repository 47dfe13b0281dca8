package ntfs

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// maxUnit bounds a compression unit; Windows makes them of 64 KiB at most.
const maxUnit = 1 << 20

// Content is what Open gives. It is safe for concurrent use.
type Content struct {
	fs     *FS
	small  []byte // a value in its record; nil: in runs
	runs   []run
	size   int64
	init   int64 // bytes that were ever written: what follows reads as zeros
	unit   int64 // bytes of a compression unit; 0: not compressed
	damage string

	mu   sync.Mutex
	at   int64  // unit that was unpacked last
	last []byte // its bytes; nil: none yet
}

var _ imaging.Source = (*Content)(nil)

// Packed says whether the content is compressed: its bytes do not lie in the
// volume as they are read.
func (c *Content) Packed() bool { return c.unit != 0 }

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// Open gives the content of a stream: of a file its unnamed $DATA or, with
// ref.Stream, the one of that name; of a directory its index blocks. What lies
// outside the volume or the image reads as zeros, and Damage says so. A
// compressed unit that cannot be unpacked is an *imaging.FormatError of the
// reads that touch it. For a deleted file it is what its clusters hold now:
// Damage says when they are in use again. Where the sequence number of the
// record is not ref.Generation the error is ErrReused.
func (fs *FS) Open(ref filesystem.Ref) (imaging.Source, error) {
	if ref.Inode >= fs.records {
		return nil, fmt.Errorf("open record %d: the MFT has %d", ref.Inode, fs.records)
	}
	budget := int64(maxList)
	f, err := fs.file(ref.Inode, &budget)
	if err != nil {
		return nil, fmt.Errorf("open record %d: %w", ref.Inode, err)
	}
	if f == nil {
		return nil, fmt.Errorf("open record %d: %w", ref.Inode,
			&imaging.FormatError{Format: "ntfs", Offset: int64(ref.Inode) * fs.boot.record, Reason: "no record stands there in the MFT"}) //nolint:gosec // inside the MFT
	}
	if uint32(f.seq) != ref.Generation {
		return nil, fmt.Errorf("open record %d: sequence number is %d, asked for %d: %w", ref.Inode, f.seq, ref.Generation, ErrReused)
	}
	s := f.main()
	if ref.Stream != "" {
		if s = f.stream(typeData, ref.Stream); s == nil {
			return nil, fmt.Errorf("open record %d: no stream %q", ref.Inode, ref.Stream)
		}
	}
	if s == nil {
		return &Content{fs: fs, small: []byte{}, damage: f.damage}, nil
	}
	c := fs.content(s)
	if !f.inUse {
		reused, err := (&bitmap{c: fs.bitmap}).reused(s)
		if err != nil {
			return nil, fmt.Errorf("open record %d: %w", ref.Inode, err)
		}
		if reused != "" {
			join(&c.damage, "%s", reused)
		}
	}
	return c, nil
}

// main is the stream without a name: content, or the index of a directory.
func (f *file) main() *stream {
	if s := f.stream(typeData, ""); s != nil || !f.dir {
		return s
	}
	if s := f.stream(typeIndex, indexName); s != nil {
		return s
	}
	return f.stream(typeIndexRoot, indexName)
}

// content makes a stream readable.
func (fs *FS) content(s *stream) *Content {
	c := &Content{fs: fs, small: s.resident, runs: s.runs, damage: s.damage}
	if s.resident != nil {
		c.size, c.init = int64(len(s.resident)), int64(len(s.resident))
		return c
	}
	room := s.mapped * uint64(fs.boot.cluster) //nolint:gosec // below 2^32 times 2^21
	if s.size > room {
		if !s.sizeless {
			join(&c.damage, "range: the stored size %d is more than its %d bytes of clusters", s.size, room)
		}
		s.size = room
	}
	c.size = int64(s.size)              //nolint:gosec // at most room
	c.init = int64(min(s.init, s.size)) //nolint:gosec // at most room
	if s.flags&flagCompressed != 0 && s.unit != 0 {
		if s.unit > 16 || fs.boot.cluster<<s.unit > maxUnit {
			join(&c.damage, "range: compression units of 2^%d clusters: the content reads as zeros", s.unit)
			c.init = 0
			return c
		}
		c.unit = fs.boot.cluster << s.unit
	}
	for _, r := range c.runs {
		end := r.lcn + int64(r.n) //nolint:gosec // inside the volume
		if r.lcn >= 0 && end*fs.boot.cluster > fs.src.Size() {
			join(&c.damage, "truncated: clusters up to %d lie past the end of the image and read as zeros", end-1)
			break
		}
	}
	return c
}

// Size is the length in bytes.
func (c *Content) Size() int64 { return c.size }

// Damage is "" or what is wrong with the content, in the words of Entry.Damage.
func (c *Content) Damage() string { return c.damage }

// ReadAt reads the content; holes and what was never written are zeros.
func (c *Content) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read content: negative offset")
	}
	if off >= c.size {
		return 0, io.EOF
	}
	var eof error
	if rest := c.size - off; int64(len(p)) > rest {
		p, eof = p[:rest], io.EOF
	}
	if c.small != nil {
		copy(p, c.small[off:])
		return len(p), eof
	}
	known := p[:max(0, min(int64(len(p)), c.init-off))]
	clear(p[len(known):])
	read := c.plain
	if c.unit > 0 {
		read = c.packed
	}
	if n, err := read(known, off); err != nil {
		return n, err
	}
	return len(p), eof
}

// plain reads clusters as they are.
func (c *Content) plain(p []byte, off int64) (int, error) {
	cs := c.fs.boot.cluster
	i := c.find(off / cs)
	for done := 0; done < len(p); {
		pos, rest := off+int64(done), p[done:]
		if i == len(c.runs) {
			clear(rest)
			break
		}
		r := c.runs[i]
		in := pos - int64(r.vcn)*cs //nolint:gosec // bounded by maxClusters
		n := min(int64(len(rest)), int64(r.n)*cs-in)
		if r.lcn < 0 {
			clear(rest[:n])
		} else if _, err := readZero(c.fs.src, rest[:n], r.lcn*cs+in); err != nil {
			return done, err
		}
		done += int(n)
		i++
	}
	return len(p), nil
}

// find is the index of the run that has a cluster; runs have no gaps.
func (c *Content) find(vcn int64) int {
	return sort.Search(len(c.runs), func(i int) bool { return int64(c.runs[i].vcn+c.runs[i].n) > vcn }) //nolint:gosec // bounded by maxClusters
}

// packed reads through the compression units.
func (c *Content) packed(p []byte, off int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for done := 0; done < len(p); {
		pos := off + int64(done)
		if k := pos / c.unit; c.last == nil || c.at != k {
			if err := c.unpack(k); err != nil {
				c.last = nil
				return done, err
			}
		}
		done += copy(p[done:], c.last[pos%c.unit:])
	}
	return len(p), nil
}

// unpack reads unit k into last.
func (c *Content) unpack(k int64) error {
	cs := c.fs.boot.cluster
	want := c.unit / cs
	first, have := k*want, int64(0)
	for i := c.find(first); i < len(c.runs) && int64(c.runs[i].vcn) < first+want; i++ { //nolint:gosec // bounded
		r := c.runs[i]
		if r.lcn < 0 {
			break
		}
		have += min(first+want, int64(r.vcn+r.n)) - max(first, int64(r.vcn)) //nolint:gosec // bounded
	}
	if c.last == nil {
		c.last = make([]byte, c.unit)
	}
	c.at = k
	switch have {
	case 0:
		clear(c.last)
		return nil
	case want:
		_, err := c.plain(c.last, k*c.unit)
		return err
	}
	in := make([]byte, have*cs)
	if _, err := c.plain(in, k*c.unit); err != nil {
		return err
	}
	if n, ok := lznt1(c.last, in); !ok {
		return &imaging.FormatError{Format: "ntfs", Offset: k * c.unit, Reason: fmt.Sprintf("the compressed unit breaks off after %d bytes", n)}
	}
	return nil
}
