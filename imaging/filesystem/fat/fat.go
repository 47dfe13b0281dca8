// Package fat reads FAT12, FAT16 and FAT32 file systems, allocated and
// deleted, with long names. It follows "Microsoft Extensible Firmware
// Initiative FAT32 File System Specification" 1.03, and the Linux kernel where
// that is silent.
//
// # Layout
//
// All numbers are little-endian. Sector 0 says how large a sector, a cluster,
// the reserved area and each copy of the FAT are. Behind the reserved area
// follow the copies of the FAT, then (FAT12 and FAT16 only) the root directory,
// then the clusters, of which the first has the number 2. The FAT has one
// number for each cluster: 0 when it is free, the next cluster of the same
// file, or an end mark. With 512-byte sectors, 32 reserved, two FATs of 1,009
// sectors and clusters of 8 sectors, cluster 5 starts at byte
// (32 + 2*1009 + (5-2)*8) * 512 = 1,061,888.
//
// Below 4,085 clusters the FAT has 12 bits for each, else 16; it has 32 where
// the boot sector says that a FAT has no 16-bit length, as the kernel decides.
//
// A directory is a chain of records of 32 bytes: name 8+3, attributes, times,
// first cluster, size. A long name stands before its record in records of 13
// UTF-16 units each, the last part first, with a checksum of the short name.
// The first byte of a deleted record, long name or not, is E5.
//
// # Inode numbers
//
// FAT has no inodes. The number of an entry is that of The Sleuth Kit: 2 is
// the root, and a record has 3 plus its place, counted in records from the end
// of the FATs (FAT12, FAT16) or from cluster 2 (FAT32). A chain that no record
// leads to, which that tool does not number, has 1<<40 plus its first cluster.
// Ref.Generation is 1 for what is not in use, 0 otherwise: the same record is
// read in two ways.
//
// # Names and times
//
// Long names are given in UTF-8; a surrogate without its other half gives the
// three bytes that UTF-8 would have for it. Short names are given as stored,
// in lower case where the record says so. Of a deleted record the first byte
// of the short name is lost: with a long name the checksum gives it back, and
// must fit; else it is shown as "_" and Damage says so.
//
// Times are local times of the system that wrote them, which FAT does not
// record; they are given as if they were UTC, and Info.State says so. Modified
// is exact to two seconds, Born to ten milliseconds, Accessed to the day.
// Changed is never set.
//
// FAT has no owners and permissions: Mode has the type, and read and execute
// for all, and write for all where the record is not marked read-only. Links
// is 1.
//
// # What was deleted
//
// Deletion clears the chain in the FAT. The content of a deleted file is taken
// to be the free clusters that follow one another from the first on, as far as
// its size goes. Where one of them is in use Damage says "partial", and Open
// gives what comes before it: then the content is shorter than Entry.Size,
// which is what the record says. Where the first is in use Damage says
// "reallocated" and Open gives ErrReused. Whether a free cluster was used by
// another file in between cannot be known.
//
// Records behind the end mark of a directory are given as deleted, from
// "dir-slack"; those in the blocks of a deleted directory from "deleted-dir".
//
// # What it does not do
//
// It does not undo what some systems do on deletion: the upper half of the
// first cluster of a FAT32 record may have been cleared. It does not guess the
// code page of short names and does not read extended attributes of OS/2.
package fat

import (
	"errors"
	"fmt"
	"io"
	"math"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// ErrReused says that the first cluster of a deleted file is in use by
// another one.
var ErrReused = errors.New("its clusters are in use by another file")

const (
	rootInode  = 2
	firstInode = 3
	lostInode  = 1 << 40 // plus the first cluster: a chain without a record
	recordSize = 32
)

// FS is an opened FAT file system. It is safe for concurrent use and holds
// only the boot sector's numbers.
type FS struct {
	src  imaging.Source
	g    geometry
	info filesystem.Info
}

var (
	_ filesystem.FileSystem = (*FS)(nil)
	_ filesystem.Mapper     = (*FS)(nil)
)

// Open reads the boot sector, compares the copies of the FAT and looks for the
// label. Where the boot sector is bad and the backup of FAT32 is not, that is
// used and Info.State says so. The error is an *imaging.FormatError when no
// boot sector makes sense, else a failure of the source.
func Open(src imaging.Source) (*FS, error) {
	g, err := findBoot(src)
	if err != nil {
		return nil, fmt.Errorf("open fat: %w", err)
	}
	fs := &FS{src: src, g: g}
	fs.info = g.info(src.Size())
	if err := fs.survey(); err != nil {
		return nil, fmt.Errorf("open fat: %w", err)
	}
	if err := fs.findLabel(); err != nil {
		return nil, fmt.Errorf("open fat: %w", err)
	}
	fs.note("times are local times of the system that wrote them; the zone is not recorded")
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

// inodeAt is the number of the record at a byte of the volume.
func (fs *FS) inodeAt(off int64) uint64 {
	return uint64(off-fs.g.base)/recordSize + firstInode
}

// recordAt is where the record of an inode lies, and whether it has a place.
func (fs *FS) recordAt(ino uint64) (int64, bool) {
	if ino < firstInode || ino-firstInode > math.MaxInt64/recordSize {
		return 0, false
	}
	off := int64(ino-firstInode) * recordSize
	if off > fs.g.end()-fs.g.base-recordSize {
		return 0, false
	}
	return fs.g.base + off, true
}
