package image

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"snapcase/imaging"
	"snapcase/imaging/image/container"
	"snapcase/imaging/image/ewf"
	"snapcase/imaging/image/lime"
	"snapcase/imaging/image/qcow2"
	"snapcase/imaging/image/vhd"
	"snapcase/imaging/image/vhdx"
	"snapcase/imaging/image/vmdk"
	"snapcase/imaging/image/zst"
)

// probe is what the formats are told by: the file's two ends.
type probe struct {
	o    *opening
	path string
	src  imaging.Source
	head []byte // the first 4 KiB
	tail []byte // the last 1 KiB
	file bool   // src is the file at path itself
}

// format is one kind of container.
type format struct {
	name string
	// is tells it by content; an error names one that cannot be read.
	is   func(p *probe) (bool, error)
	open func(p *probe) (*container.Image, error)
	disk bool // it holds a disk, or memory: what lies in that is no container
}

// formats in the order they are tried: signatures at the start, strongest
// first, then those at the end of the file.
var formats = []format{
	{name: "ewf", is: isEWF, open: openEWF, disk: true},
	{
		name: "qcow2", disk: true,
		is:   func(p *probe) (bool, error) { return qcow2.Is(p.head), nil },
		open: func(p *probe) (*container.Image, error) { return qcow2.Open(p.src, p.o) },
	},
	{
		name: "vmdk", disk: true,
		is:   func(p *probe) (bool, error) { return vmdk.Is(p.head) },
		open: func(p *probe) (*container.Image, error) { return vmdk.Open(p.src, p.o) },
	},
	{
		name: "vhdx", disk: true,
		is:   func(p *probe) (bool, error) { return vhdx.Is(p.head), nil },
		open: func(p *probe) (*container.Image, error) { return vhdx.Open(p.src) },
	},
	{
		name: lime.LiME, disk: true,
		is:   func(p *probe) (bool, error) { return lime.Is(p.head), nil },
		open: func(p *probe) (*container.Image, error) { return lime.Open(p.src) },
	},
	{
		name: "zst",
		is:   func(p *probe) (bool, error) { return zst.Is(p.head, p.tail) },
		open: func(p *probe) (*container.Image, error) { return zst.Open(p.src) },
	},
	{
		name: "vhd", disk: true,
		is:   func(p *probe) (bool, error) { return vhd.Is(p.head, p.tail), nil },
		open: func(p *probe) (*container.Image, error) { return vhd.Open(p.src, p.o) },
	},
}

func newProbe(o *opening, path string, src imaging.Source, file bool) (*probe, error) {
	p := &probe{o: o, path: path, src: src, file: file}
	p.head = make([]byte, min(src.Size(), 4096))
	if err := container.ReadFull(src, p.head, 0); err != nil {
		return nil, err
	}
	p.tail = make([]byte, min(src.Size(), 1024))
	return p, container.ReadFull(src, p.tail, src.Size()-int64(len(p.tail)))
}

// named are containers that are recognised by their first bytes and not read.
var named = []struct{ magic, what string }{
	{"\x1f\x8b\x08", "a gzip file: decompress it first"},
	{"\xfd7zXZ\x00", "an xz file: decompress it first"},
	{"BZh", "a bzip2 file: decompress it first"},
	{"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"},
	{"\x04\x22\x4d\x18", "an lz4 file: decompress it first"},
	{"AFF10\r\n\x00", "an AFF image is not supported"},
	{"AFFKEY", "an AFF image is not supported"},
	{"QED\x00", "a QED image is not supported"},
	{"WithoutFreeSpace", "a Parallels image is not supported"},
	{"WithouFreSpacExt", "a Parallels image is not supported"},
	{"ADSEGMENTEDFILE\x00", "an AD1 file holds files, not a disk: it is not supported"},
}

// nameOther recognises what none of the formats reads.
func nameOther(p *probe) error {
	for _, n := range named {
		if bytes.HasPrefix(p.head, []byte(n.magic)) {
			return container.Unsupported("image", "it is %s", n.what)
		}
	}
	switch {
	case len(p.head) >= 0x44 && bytes.Equal(p.head[0x40:0x44], []byte{0x7f, 0x10, 0xda, 0xbe}):
		return container.Unsupported("vdi", "a VirtualBox VDI image is not supported: convert it to raw")
	case bytes.HasPrefix(p.head, []byte("PK\x03\x04")) && bytes.Contains(p.head, []byte("container.description")):
		return container.Unsupported("aff4", "an AFF4 image is not supported")
	case len(p.tail) >= 512 && bytes.HasPrefix(p.tail[len(p.tail)-512:], []byte("koly")):
		return container.Unsupported("dmg", "an Apple disk image (UDIF) is not supported")
	}
	return nil
}

// detect opens what src is by its content: nil when it is no container. A
// damaged one that cannot be opened is nil with the reason in damage.
func (o *opening) detect(p *probe) (img *container.Image, disk bool, damage string, err error) {
	for _, f := range formats {
		ok, err := f.is(p)
		var no *container.UnsupportedError
		switch {
		case errors.As(err, &no):
			return nil, false, "", err
		case err != nil:
			return nil, false, "", fmt.Errorf("%s: %w", f.name, err)
		case !ok:
			o.try(f.name, "%s has no signature of it", filepath.Base(p.path))
			continue
		}
		before := len(o.order)
		img, err := f.guarded(p)
		if err == nil {
			return img, f.disk, "", nil
		}
		var bad *imaging.FormatError
		if !errors.As(err, &bad) {
			return nil, false, "", err
		}
		if err := o.rewind(before); err != nil {
			return nil, false, "", err
		}
		o.try(f.name, "%v", err)
		if damage == "" {
			damage = fmt.Sprintf("%s begins or ends as %s does and cannot be opened as that (%v): its bytes are given as they are", filepath.Base(p.path), f.name, err)
		}
	}
	return nil, false, damage, nameOther(p)
}

// guarded turns a panic into a reason.
func (f *format) guarded(p *probe) (img *container.Image, err error) {
	defer func() {
		if r := recover(); r != nil {
			img, err = nil, &imaging.FormatError{Format: f.name, Reason: fmt.Sprintf("the reader failed: %v", r)}
		}
	}()
	return f.open(p)
}

func isEWF(p *probe) (bool, error) { return ewf.Is(p.head) }

// openEWF opens the segments that lie beside the file.
func openEWF(p *probe) (*container.Image, error) {
	segments := []ewf.Segment{{Name: filepath.Base(p.path), Source: p.src}}
	if !p.file {
		return ewf.Open(segments)
	}
	names, err := p.o.Names()
	if err != nil {
		return nil, err
	}
	mine, own := filepath.Base(p.path), len(p.o.order)-1
	for _, name := range ewf.SegmentNames(names, mine) {
		if name == mine {
			continue
		}
		src, err := p.o.File(name)
		if err != nil {
			return nil, err
		}
		if ewf.Number(src) == 0 {
			if err := p.o.Forget(name); err != nil {
				return nil, err
			}
			continue
		}
		segments = append(segments, ewf.Segment{Name: name, Source: src})
	}
	slices.Sort(p.o.order[own:]) // E01, …, E99, EAA, …
	return ewf.Open(segments)
}
