// Package iso9660 reads ISO 9660 images with Rock Ridge, Joliet and several
// sessions. It follows ECMA-119 (4th edition), "System Use Sharing Protocol"
// 1.12, "Rock Ridge Interchange Protocol" 1.12, the "Joliet Specification" of
// Microsoft and "El Torito" 1.0, and the Linux kernel where they are silent.
//
// # Layout
//
// Numbers are stored twice, little-endian and big-endian; the first is
// followed and a difference is damage. From byte 32,768 on stand descriptors of
// 2,048 bytes: type 1 names the volume, its size in blocks and the root
// directory, type 2 does so again for Joliet with names in UTF-16, type 0 names
// the El Torito boot catalog, 255 ends the list.
//
// A directory is an extent of records: length, first block, bytes, time, flags
// and name; none crosses a multiple of 2,048 bytes. The block 19 of an image
// with blocks of 2,048 bytes starts at byte 38,912. Behind the name Rock Ridge
// keeps mode, owner, times, long name and link target in entries of four and
// more bytes, of which CE names a block where more of them stand.
//
// # Which tree
//
// An image may have several trees over the same files. Names and attributes are
// those of Rock Ridge where there is any, else of Joliet, else the plain ones,
// without their ";1". The other trees are walked as well: a file whose extent
// the first tree does not have is given as an orphan below "/$Joliet" or
// "/$Primary", since systems that follow that tree show it.
//
// An image that was written in several sessions still holds the trees of the
// older ones. They are looked for at each 65,536 bytes, where sessions begin
// that were written to files and disks, up to the current one or 256 MiB; what
// they have and the current tree has not is given as deleted, with content.
//
// A boot image of El Torito that starts where no file does is given as an
// orphan, from "boot-catalog", with as much as the catalog says a machine loads:
// the image may go on behind.
//
// # Inode numbers
//
// ISO 9660 has no inodes. The number of an entry is the byte at which its
// directory record starts; Ref.Generation is the number of the tree.
//
// # Times and modes
//
// Times have an offset from UTC and are given in UTC, exact to the second, to
// ten milliseconds where Rock Ridge has the long form. Without Rock Ridge only
// Modified is set, which is the time of recording, the mode has read and
// execute for all, and Links is 1.
//
// # Damage
//
// Directories that lead to one another are read once. What lies past the end
// of the image reads as zeros, and Damage says so. Sparse (SF), interleaved and
// zisofs-compressed files are named: of the first two no content is given, of
// the last what is stored.
//
// # What it does not do
//
// It does not read UDF, High Sierra, the forks and types of Apple, extended
// attribute records, or sessions of a CD that begin elsewhere.
package iso9660

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// FS is an opened image. It is safe for concurrent use and holds only where
// its trees begin.
type FS struct {
	src   imaging.Source
	trees []tree // the one that is shown first
	boot  []bootImage
	info  filesystem.Info
}

// treeKind is how the names of a tree are stored.
type treeKind uint8

const (
	primary treeKind = iota
	rockRidge
	joliet
)

// tree is one root directory.
type tree struct {
	kind  treeKind
	root  int64 // where its record starts
	block int64 // bytes of a logical block
	skip  int   // bytes before the entries of Rock Ridge in a record
	older int64 // where the descriptor of an older session starts; 0: the current one
}

var (
	_ filesystem.FileSystem = (*FS)(nil)
	_ filesystem.Mapper     = (*FS)(nil)
)

// Probe says whether src has a primary volume descriptor that makes sense.
func Probe(src imaging.Source) bool {
	p := make([]byte, sector)
	n, err := readZero(src, p, firstDescriptor)
	if err != nil || n < sector {
		return false
	}
	if _, why := parsePrimary(p); why == "" {
		return true
	}
	set, err := descriptors(src, firstDescriptor)
	return err == nil && set.primary != nil
}

// Open reads the descriptors and looks for older sessions. The error is an
// *imaging.FormatError when there is no primary descriptor that makes sense,
// else a failure of the source.
func Open(src imaging.Source) (*FS, error) {
	set, err := descriptors(src, firstDescriptor)
	if err != nil {
		return nil, fmt.Errorf("open iso9660: %w", err)
	}
	if set.primary == nil {
		return nil, fmt.Errorf("open iso9660: %w", &imaging.FormatError{Format: "iso9660", Offset: firstDescriptor, Reason: set.why})
	}
	fs := &FS{src: src}
	fs.info = set.info(src.Size())
	if fs.trees, err = fs.treesOf(set, 0); err != nil {
		return nil, fmt.Errorf("open iso9660: %w", err)
	}
	if err := fs.loadBoot(set); err != nil {
		return nil, fmt.Errorf("open iso9660: %w", err)
	}
	if err := fs.findSessions(); err != nil {
		return nil, fmt.Errorf("open iso9660: %w", err)
	}
	return fs, nil
}

// Info describes the file system. The slices are shared: do not change them.
func (fs *FS) Info() filesystem.Info { return fs.info }

func (fs *FS) note(format string, args ...any) {
	fs.info.State = append(fs.info.State, fmt.Sprintf(format, args...))
}

// readZero fills p from off and gives zeros for what lies outside the source;
// n is how many bytes the source had. An error is a failure of the source.
func readZero(src imaging.Source, p []byte, off int64) (n int, err error) {
	if off >= 0 && off < src.Size() {
		n, err = src.ReadAt(p, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return n, fmt.Errorf("read %d bytes at %d: %w", len(p), off, err)
		}
	}
	clear(p[n:])
	return n, nil
}

// also joins two words of damage.
func also(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}
