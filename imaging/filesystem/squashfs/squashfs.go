// Package squashfs reads squashfs 4.0 images: snaps, live systems, container
// layers. It follows "Squashfs 4.0 Filesystem" of the Linux kernel
// documentation, and the kernel where that is silent.
//
// # Layout
//
// All numbers are little-endian. A superblock of 96 bytes names a compression,
// the size of a data block (4 KiB to 1 MiB) and where the tables start. Data
// blocks come first, then the tables: inodes, directories, fragments, an index
// of inodes by number ("export"), owners, attributes. Tables are cut in pieces
// of 8,192 bytes that are compressed one by one, each behind two bytes with its
// stored length, whose top bit says that it is not compressed. An inode is
// named by the byte at which its piece starts, from the start of the table, and
// the byte in it: 0x23f0_0080 is the piece at 0x23f0 and byte 128 of what it
// unpacks to.
//
// A file has a list of the stored lengths of its blocks, which follow one
// another from its start; length 0 is a hole. Its last bytes may lie in a
// fragment: a block that several files share. A directory is a list of runs
// behind a head that names the piece of their inodes.
//
// # Inode numbers and times
//
// The number of an entry is that of the inode, as the kernel gives it. Where
// the index leads to another inode than the directory does, Ref.Stream names
// the place, so that Open gives what was listed. Modified is exact to the
// second; there are no other times. Owners are those of the table of owners.
//
// # Damage
//
// What does not unpack, or lies past the end of the image, is an error of the
// read that meets it, with its place; the rest can be read. An inode that no
// directory leads to is given as an orphan. A directory whose list was read
// already is not entered again.
//
// # What it does not do
//
// It does not read versions before 4.0 and files packed by xz with a filter for
// machine code. It counts the sets of extended attributes and does not read
// them. There are no deleted entries: a squashfs image is written once.
package squashfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

var le = binary.LittleEndian

const (
	superSize = 96
	none      = 0xffffffff // no fragment, no attributes
	noTable   = 0xffffffffffffffff
)

// superblock is what the first 96 bytes say.
type superblock struct {
	inodes, made, block, fragments uint32
	compression, flags, ids        uint16
	root, used                     uint64
	idTable, xattrTable            uint64
	inodeTable, dirTable           uint64
	fragTable, exportTable         uint64
}

// FS is an opened image. It is safe for concurrent use. It holds the table of
// owners and some pieces and blocks that were unpacked last.
type FS struct {
	src    imaging.Source
	sb     superblock
	info   filesystem.Info
	ids    []uint32
	unpack unpacker
	pieces cache // by where they start
	blocks cache

	scan  sync.Once
	index map[uint32]uint64 // where inodes lie, of an image without an export table
}

var (
	_ filesystem.FileSystem = (*FS)(nil)
	_ filesystem.Mapper     = (*FS)(nil)
)

// parseSuper reads a superblock and says why it cannot be one.
func parseSuper(p []byte) (s superblock, why string) {
	if len(p) < superSize || string(p[:4]) != "hsqs" {
		return s, "no magic number hsqs"
	}
	if major, minor := le.Uint16(p[28:]), le.Uint16(p[30:]); major != 4 || minor != 0 {
		return s, fmt.Sprintf("version %d.%d: only 4.0 is read", major, minor)
	}
	s = superblock{
		inodes: le.Uint32(p[4:]), made: le.Uint32(p[8:]), block: le.Uint32(p[12:]), fragments: le.Uint32(p[16:]),
		compression: le.Uint16(p[20:]), flags: le.Uint16(p[24:]), ids: le.Uint16(p[26:]),
		root: le.Uint64(p[32:]), used: le.Uint64(p[40:]), idTable: le.Uint64(p[48:]), xattrTable: le.Uint64(p[56:]),
		inodeTable: le.Uint64(p[64:]), dirTable: le.Uint64(p[72:]), fragTable: le.Uint64(p[80:]), exportTable: le.Uint64(p[88:]),
	}
	switch {
	case s.block < 4096 || s.block > 1<<20 || s.block&(s.block-1) != 0 || s.block != 1<<(le.Uint16(p[22:])&31):
		return s, fmt.Sprintf("data blocks of %d bytes", s.block)
	case s.used < superSize || s.used > 1<<62:
		return s, fmt.Sprintf("%d bytes", s.used)
	case s.inodeTable < superSize || s.inodeTable >= s.dirTable || s.dirTable > s.used:
		return s, fmt.Sprintf("inodes at byte %d, directories at byte %d of %d", s.inodeTable, s.dirTable, s.used)
	}
	return s, ""
}

// Probe says whether src has a superblock that makes sense.
func Probe(src imaging.Source) bool {
	p := make([]byte, superSize)
	n, err := readAll(src, p, 0)
	_, why := parseSuper(p[:n])
	return err == nil && why == ""
}

// Open reads the superblock and the table of owners. The error is an
// *imaging.FormatError when the superblock makes no sense or names a
// compression that is not read, else a failure of the source.
func Open(src imaging.Source) (*FS, error) {
	p := make([]byte, superSize)
	n, err := readAll(src, p, 0)
	if err != nil {
		return nil, fmt.Errorf("open squashfs: %w", err)
	}
	sb, why := parseSuper(p[:n])
	if why != "" {
		return nil, fmt.Errorf("open squashfs: %w", bad(0, "%s", why))
	}
	fs := &FS{src: src, sb: sb}
	fs.pieces.most, fs.blocks.most = 4<<20, 8<<20
	name := ""
	if fs.unpack, name, err = unpackerOf(sb.compression); err != nil {
		return nil, fmt.Errorf("open squashfs: %w", bad(20, "%s", err))
	}
	fs.info = filesystem.Info{Type: "squashfs", BlockSize: int64(sb.block), Size: int64(sb.used), Features: []string{
		"compression " + name, "made at " + time.Unix(int64(sb.made), 0).UTC().Format(time.RFC3339),
	}}
	if sb.used > uint64(src.Size()) {
		fs.note("the image is cut: the file system has %d bytes, the image %d", sb.used, src.Size())
	}
	if err := fs.loadTables(); err != nil {
		return nil, fmt.Errorf("open squashfs: %w", err)
	}
	return fs, nil
}

// loadTables reads the table of owners and counts attributes.
func (fs *FS) loadTables() error {
	if fs.sb.exportTable != noTable {
		fs.info.Features = append(fs.info.Features, "exportable")
	}
	fs.ids = make([]uint32, 0, fs.sb.ids)
	b := make([]byte, 4)
	for i := range int(fs.sb.ids) {
		if err := fs.tableEntry(fs.sb.idTable, uint64(i), b); err != nil {
			if !isDamage(err) {
				return err
			}
			fs.note("the table of owners is damaged: %v", err)
			break
		}
		fs.ids = append(fs.ids, le.Uint32(b))
	}
	if fs.sb.xattrTable != noTable {
		head := make([]byte, 16)
		n, err := readAll(fs.src, head, int64(min(fs.sb.xattrTable, 1<<62)))
		if err != nil {
			return err
		}
		if n == len(head) {
			fs.info.Features = append(fs.info.Features, fmt.Sprintf("%d sets of extended attributes", le.Uint32(head[8:])))
		}
	}
	return nil
}

// Info describes the file system. The slices are shared: do not change them.
func (fs *FS) Info() filesystem.Info { return fs.info }

func (fs *FS) note(format string, args ...any) {
	fs.info.State = append(fs.info.State, fmt.Sprintf(format, args...))
}

// readAll fills p from off as far as the source goes. An error is a failure of
// the source.
func readAll(src imaging.Source, p []byte, off int64) (n int, err error) {
	if off < 0 || off >= src.Size() {
		return 0, nil
	}
	n, err = src.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("read %d bytes at %d: %w", len(p), off, err)
	}
	return n, nil
}

// bad is damage at a byte of the image.
func bad(at int64, format string, args ...any) error {
	return &imaging.FormatError{Format: "squashfs", Offset: at, Reason: fmt.Sprintf(format, args...)}
}

// isDamage tells damage from a failure of the source.
func isDamage(err error) bool {
	var f *imaging.FormatError
	return errors.As(err, &f)
}

// reason is what damage is, in the words of Entry.Damage.
func reason(err error) string {
	var f *imaging.FormatError
	if errors.As(err, &f) {
		return fmt.Sprintf("partial: byte %d: %s", f.Offset, f.Reason)
	}
	return err.Error()
}

// also joins two words of damage.
func also(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}
