// Package ext4 reads ext2, ext3 and ext4 file systems, allocated and deleted.
// It follows "Ext4 Disk Layout" of the Linux kernel documentation.
//
// # Layout
//
// All numbers are little-endian. The superblock lies 1,024 bytes from the
// start; a volume is cut into groups of blocks_per_group blocks; the table of
// group descriptors follows the superblock (or, with meta_bg, lies in each
// meta group) and says where each group has its two bitmaps and its part of
// the inode table. Inode n is number (n-1) % inodes_per_group of group
// (n-1) / inodes_per_group. With 8,192 inodes a group of 256 bytes each, inode
// 12 stands 11*256 bytes behind the start of the table of group 0.
//
// An inode maps its content by extents (a tree of at most five levels below
// the inode), by a block map (12 direct pointers, then single, double, triple
// indirect ones) or holds it itself (inline_data: 60 bytes in the inode, the
// rest as the attribute system.data behind it). A directory is content that
// consists of records inode, rec_len, name_len, file_type, name; what rec_len
// covers behind a name is slack, where older names may stand.
//
// # How a walk reads
//
// The inode tables are read in disk order with large reads to find directories
// and what is in use; the directory blocks are collected, sorted by their
// place and read in that order; then the tables are read again and each inode
// is given out with its names. What is kept in memory is 16 bytes and the name
// itself for each name, 4 bytes for each inode of a used stretch of a table,
// and about 40 bytes for each directory. Walk gives the root, then allocated
// entries by inode, then deleted and orphaned ones by inode, then names that
// lead to no inode. Two walks give the same entries in the same order.
//
// # Status
//
// A name in a directory whose inode has a link count above zero is allocated,
// as the kernel would see it; the inode bitmap is asked only for what no live
// name leads to. A name from slack whose inode is free shows what the freed
// inode still says. A name from slack whose inode is in use (the file was
// renamed, or the inode was freed and taken again) is "reallocated": it has no
// sizes and no times, since they would be another file's, and its Ref carries
// the stream "reallocated", which Open refuses with ErrReused.
//
// # What it does not do
//
// It does not replay the journal and does not look into it: Info.State says
// when it should have been. It does not decrypt (names and targets of
// encrypted directories are given as stored) and does not read an external
// journal. Blocks of deleted inodes are found only
// where the inode still names them, which current kernels clear.
package ext4

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// ErrReused says that the inode which a Ref names is in use by another file
// now, or was since the Ref was made.
var ErrReused = errors.New("the inode was reused")

// reallocated is the stream of a Ref whose name is older than its inode.
const reallocated = "reallocated"

// FS is an opened ext2, ext3 or ext4 file system. It is safe for concurrent
// use and holds the superblock, the group descriptors, what a dirty journal
// would change, and where the journal has older copies of blocks.
type FS struct {
	src    imaging.Source
	raw    imaging.Source // without what the journal would change
	sb     superblock
	groups []group
	info   filesystem.Info
	seed   uint32   // of the crc32c checksums
	log    *journal // nil when there is none that can be read
	logEnd uint32   // the first transaction that src does not show

	pastMutex sync.Mutex
	pastKept  *history
}

var (
	_ filesystem.FileSystem = (*FS)(nil)
	_ filesystem.Mapper     = (*FS)(nil)
	_ filesystem.Attributer = (*FS)(nil)
)

// Open reads the superblock, what the journal says that is not in its place,
// and the group descriptors. Where the primary superblock is bad a backup is
// used and Info.State says so. Where the journal is dirty, as in every snapshot
// of a running machine, the volume is shown as the kernel would mount it, and
// Info.State says so; nothing is written. The error is an *imaging.FormatError
// when no superblock makes sense.
func Open(src imaging.Source) (*FS, error) { return open(src, false) }

// OpenRaw is Open without the journal: the volume as it lies there.
func OpenRaw(src imaging.Source) (*FS, error) { return open(src, true) }

func open(src imaging.Source, raw bool) (*FS, error) {
	sb, err := findSuperblock(src)
	if err != nil {
		return nil, fmt.Errorf("open ext4: %w", err)
	}
	fs := &FS{src: src, raw: src, sb: sb, seed: sb.checksumSeed()}
	fs.info = sb.info(src.Size())
	// The journal is found through the group descriptors, which it may replace.
	if err := fs.loadGroups(); err != nil {
		return nil, fmt.Errorf("open ext4: %w", err)
	}
	if err := fs.replay(context.Background(), raw); err != nil {
		return nil, fmt.Errorf("open ext4: %w", err)
	}
	fs.noteReserved()
	return fs, nil
}

// Info describes the file system. The slices are shared: do not change them.
func (fs *FS) Info() filesystem.Info { return fs.info }

// read fills p from off and gives zeros for what lies outside the source; n is
// how many bytes the source had. An error is a failure of the source.
func (fs *FS) read(p []byte, off int64) (n int, err error) {
	return readZero(fs.src, p, off)
}

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

// has says whether the file system has n bytes from block on inside its own
// bounds; it does not say that the image does.
func (fs *FS) inVolume(block, n uint64) bool {
	return block < fs.sb.blocks && n <= fs.sb.blocks-block
}

// inodeOffset is where inode ino lies, and whether it has a place at all.
func (fs *FS) inodeOffset(ino uint32) (int64, bool) {
	if ino == 0 {
		return 0, false
	}
	g := uint64(ino-1) / uint64(fs.sb.inodesPerGroup)
	if g >= uint64(len(fs.groups)) || fs.groups[g].noTable {
		return 0, false
	}
	i := int64(uint64(ino-1) % uint64(fs.sb.inodesPerGroup))
	return int64(fs.groups[g].table)*fs.sb.blockSize + i*int64(fs.sb.inodeSize), true
}

// readInode reads one inode; ok is false when it lies outside the image.
func (fs *FS) readInode(ino uint32) (in inode, ok bool, err error) {
	off, ok := fs.inodeOffset(ino)
	if !ok {
		return nil, false, nil
	}
	in = make(inode, fs.sb.inodeSize)
	n, err := fs.read(in, off)
	return in, n == len(in), err
}
