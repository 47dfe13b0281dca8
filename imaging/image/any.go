package image

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/image/container"
	"snapcase/imaging/image/lime"
	"snapcase/imaging/image/split"
)

// Range is bytes of an image that are not as they were imaged, and why.
type Range = container.Range

// Field is one thing that a container says of itself. Its strings come from the
// evidence: escape them.
type Field = container.Field

// UnsupportedError names a container that is recognised and cannot be read. It
// must not be taken for a raw disk; Open opens its bytes all the same.
type UnsupportedError = container.UnsupportedError

// Container is an opened image of any kind. It is an imaging.Source of the disk
// in it; ReadAt is safe for concurrent use.
type Container struct {
	Format     string            // "raw", "ewf", "qcow2 in split", …
	Segments   []string          // paths of the files, in the order of their use
	Stored     map[string]string // hashes of the whole disk that it holds, in hex: "md5", "sha1"; may be empty
	Header     []Field           // what it says of itself
	Damage     []string          // what is wrong and is no range of the disk
	Tried      []string          // every format that it is not, and why
	SectorSize int64             // bytes of a logical sector, 0 when not known
	Device     bool              // a block device
	// Memory is set where it is an image of memory: its offsets are physical
	// addresses, and what lies between the ranges of its Header reads as zeros.
	Memory bool

	src  imaging.Source
	open *opening
}

// OpenAny opens the disk image at path, whatever container it lies in, with the
// other files of the same image in the same folder. The content tells the
// format; a name only finds further pieces. What begins as no container is raw.
// A block device is always raw.
//
// A file that begins as a container and is too damaged to be opened as one is
// raw too, and Damage says so. A container that is recognised and not supported
// is an *UnsupportedError.
//
// The content may have been written by an attacker: a raw disk whose first
// sector was made to look like qcow2 opens as qcow2. Where it is known that a
// file is raw, Open reads it as that.
func OpenAny(path string) (*Container, error) {
	o := &opening{dir: filepath.Dir(path), files: map[string]*File{}, uses: map[string]int{}}
	l, err := o.layers(path)
	if err != nil {
		return nil, fmt.Errorf("open image %s: %w", path, errors.Join(err, o.close()))
	}
	top := l.flatten()
	c := &Container{
		Format: l.name(), Segments: slices.Clone(o.order), Stored: top.Stored, Header: top.Header,
		Damage: top.Damage, Tried: o.tried, SectorSize: top.SectorSize, Device: l.device, open: o,
	}
	if c.src = l.raw; l.raw == nil {
		c.src = top.Reader
		inner := l.images[len(l.images)-1].Format
		c.Memory = inner == lime.LiME || inner == lime.AVML
	}
	return c, nil
}

// Size is the length of the disk in bytes.
func (c *Container) Size() int64 { return c.src.Size() }

// ReadAt reads the disk as io.ReaderAt. Bytes that could not be had read as
// zeros, bytes that fail their checksum as found: see Gaps.
func (c *Container) ReadAt(p []byte, off int64) (int, error) { return c.src.ReadAt(p, off) }

// Gaps lists the ranges of the disk that are not as they were imaged, in order
// and without overlaps. Missing files and tables are there at once; a damaged
// piece is there after it was read. So after reading all of it the list is
// complete.
func (c *Container) Gaps() []Range {
	if r, ok := c.src.(*container.Reader); ok {
		return r.Gaps()
	}
	return nil
}

// GapsIn lists the gaps within n bytes from off, as Gaps does.
func (c *Container) GapsIn(off, n int64) []Range { return container.GapsIn(c.src, off, n) }

// Close closes all files.
func (c *Container) Close() error { return c.open.close() }

// stack is containers within one another, the outermost first.
type stack struct {
	raw    *File // set when there is none
	device bool
	sector int64
	images []*container.Image
	damage []string
}

// layers opens the file at path and the containers in it.
func (o *opening) layers(path string) (*stack, error) {
	f, err := o.open(path)
	if err != nil {
		return nil, err
	}
	l := &stack{device: f.Device(), sector: f.SectorSize()}
	if f.Device() {
		o.try("container", "%s is a block device, which is read as it is", path)
		l.raw = f
		return l, nil
	}
	var src imaging.Source = f
	joined, err := o.join(path, l)
	if err != nil {
		return nil, err
	}
	if joined != nil {
		src = joined
		l.images = append(l.images, joined)
	}
	const most = 4 // containers within one another
	for depth := 0; ; depth++ {
		if depth == most {
			return nil, container.Unsupported("image", "%d or more containers lie within one another", most)
		}
		p, err := newProbe(o, path, src, src == imaging.Source(f))
		if err != nil {
			return nil, err
		}
		img, disk, damage, err := o.detect(p)
		if err != nil {
			return nil, err
		}
		if damage != "" {
			l.damage = append(l.damage, damage)
		}
		if img == nil {
			break
		}
		src = img
		l.images = append(l.images, img)
		if disk {
			break
		}
	}
	if len(l.images) == 0 {
		l.raw = f
	}
	return l, nil
}

// join joins the pieces of a split image; nil when path is no piece of one.
func (o *opening) join(path string, l *stack) (*container.Image, error) {
	names, err := o.Names()
	if err != nil {
		o.names = []string{}
		l.damage = append(l.damage, fmt.Sprintf("the folder cannot be listed, and further pieces are not found: %v", err))
	}
	if mine := filepath.Base(path); !slices.Contains(names, mine) { // a link
		names = append(slices.Clone(names), mine)
	}
	pieces, reason, doubt := split.Find(names, filepath.Base(path))
	if reason != "" {
		o.try("split", "%s", reason)
		if doubt {
			l.damage = append(l.damage, "split: "+reason)
		}
		return nil, nil
	}
	order := slices.Clone(o.order)
	var sources []*File
	for i, p := range pieces {
		if p.Name == "" {
			continue
		}
		f, err := o.piece(path, p.Name)
		if err != nil {
			return nil, err
		}
		pieces[i].Source = f
		sources = append(sources, f)
	}
	img, err := split.Open(pieces)
	if err == nil {
		err = o.separate(sources)
	}
	var bad *imaging.FormatError
	if !errors.As(err, &bad) {
		o.sortPieces(order, pieces)
		return img, err
	}
	o.try("split", "%s", bad.Reason)
	l.damage = append(l.damage, "split: files beside it look like pieces of the same image and are not joined: "+bad.Reason)
	return nil, o.dropOthers(path, pieces)
}

// piece opens one piece; the file at path itself may be a link, as the examiner
// named it.
func (o *opening) piece(path, name string) (*File, error) {
	if name == filepath.Base(path) {
		return o.open(path)
	}
	p, err := o.beside(name)
	if err != nil {
		return nil, err
	}
	return o.open(p)
}

// separate refuses files that begin with the same signature each: they are
// images of their own.
func (o *opening) separate(files []*File) error {
	first := ""
	for i, f := range files {
		p, err := newProbe(o, f.Name(), f, true)
		if err != nil {
			return err
		}
		kind := p.kind()
		if i == 0 {
			first = kind
		} else if kind != "" && kind == first {
			return &imaging.FormatError{Format: "split", Reason: fmt.Sprintf("each file begins as %s does", kind)}
		}
	}
	return nil
}

// kind names the container that starts here, "" for none.
func (p *probe) kind() string {
	for _, f := range formats {
		ok, err := f.is(p)
		if ok || err != nil {
			return f.name
		}
	}
	if err := nameOther(p); err != nil {
		return err.Error()
	}
	return ""
}

// sortPieces lists the pieces by their numbers, not by what was opened first.
func (o *opening) sortPieces(before []string, pieces []split.Piece) {
	own := o.order[len(before)-1:]
	i := 0
	for _, p := range pieces {
		if f, ok := p.Source.(*File); ok && i < len(own) {
			own[i] = f.Name()
			i++
		}
	}
}

func (o *opening) dropOthers(path string, pieces []split.Piece) error {
	var errs []error
	for _, p := range pieces {
		if p.Name != "" && p.Name != filepath.Base(path) {
			errs = append(errs, o.Forget(p.Name))
		}
	}
	return errors.Join(errs...)
}

// name is "qcow2 in split".
func (l *stack) name() string {
	var names []string
	for _, i := range l.images {
		names = append(names, i.Format)
	}
	slices.Reverse(names)
	if len(names) == 0 {
		return "raw"
	}
	return strings.Join(names, " in ")
}

// flatten is the innermost image with the accounts of all.
func (l *stack) flatten() *container.Image {
	top := &container.Image{Format: l.name(), SectorSize: l.sector, Damage: l.damage}
	for i, img := range l.images {
		inner := i == len(l.images)-1
		for _, f := range img.Header {
			if !inner {
				f.Name = img.Format + ": " + f.Name
			}
			top.Header = append(top.Header, f)
		}
		for _, d := range img.Damage {
			top.Note("%s: %s", img.Format, d)
		}
		if inner {
			top.Reader, top.Stored, top.SectorSize = img.Reader, img.Stored, img.SectorSize
			continue
		}
		for _, kind := range img.Kinds() {
			top.Put(img.Format+": stored "+kind, img.Stored[kind])
		}
		for _, g := range img.Gaps() {
			top.Note("%s: %d bytes from %d: %s", img.Format, g.Length, g.Offset, g.Reason)
		}
	}
	if l.raw != nil {
		top.Reader = container.Plain(l.raw)
	}
	return top
}
