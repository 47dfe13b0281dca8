// Package ext4 reads ext2, ext3 and ext4 file systems, allocated and deleted.
// It follows "Ext4 Disk Layout" and "Journal (jbd2)" of the Linux kernel
// documentation.
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
// is given out with its names. What is kept in memory is 11 bytes and the name
// itself for each name, 4 bytes for each inode of a used stretch of a table,
// about 40 bytes for each directory, and 16 bytes for each older copy of a block
// in the journal. Walk gives the root, then allocated entries by inode, then
// deleted and orphaned ones by inode, then names that lead to no inode. Two
// walks give the same entries in the same order.
//
// # Status
//
// A name in a directory whose inode has a link count above zero is allocated,
// as the kernel would see it; the inode bitmap is asked only for what no live
// name leads to. A name from slack whose inode is free shows what the freed
// inode was, with the damage "partial": only the journal can say that the inode
// was not used again in between. A name from slack whose inode is in use (the
// file was renamed, or the inode was freed and taken again) is "reallocated":
// it has no sizes and no times, since they would be another file's, and its Ref
// carries the stream "reallocated", which Open refuses with ErrReused.
//
// # The journal
//
// A volume that was not unmounted, as in a snapshot of a running machine, has
// changes in its journal that are not in their place. Open replays them as the
// kernel would: for each block it keeps where the newest committed copy lies
// that was not revoked, and reads through that. OpenRaw shows the volume
// without. Inodes that were open and have no name are left as they are: orphans
// with their whole content. The journal's numbers are big-endian:
//
//	descriptor  c03b3998 00000001 sequence | tags: block, flags, checksum ...
//	copies      one block for each tag; a block that begins with c03b3998 has
//	            zeros there and a flag in its tag
//	revoke      c03b3998 00000005 sequence | bytes used | blocks
//	commit      c03b3998 00000002 sequence | checksum | seconds at byte 48
//
// Behind the log fast commits may stand, which change the volume after its last
// transaction: numbers little-endian, a tag and a length of 16 bits each, then
//
//	9 head    features, sequence      1 add     inode, extent
//	6 inode   inode, its bytes        2 delete  inode, block, count
//	3 create  directory, inode, name  4 link and 5 unlink the same
//	7 padding                         8 tail    sequence, crc32c since the last tail
//
// Open replays those of the sequence that follows the last transaction in
// memory: it changes copies of the inodes, directories, extent trees and bitmaps
// and reads through them. As the kernel does it must choose blocks for new
// directories and where a name goes, and may choose others. It gives no times of
// its own: the kernel dates the directories by the moment of its replay.
//
// A journal on a device of its own is read by OpenWithJournal; JournalUUID says
// which device it is.
//
// All of the journal's area, not only what is still to be replayed, is read for
// the past. Each copy of a block of an inode table says what 16 inodes were,
// each copy of a directory's block which names there were. When an inode is
// freed its size and its extents are cleared and its generation stays, so that
// the newest older copy with the same generation is what the file was; another
// generation is an earlier life of the inode, and an entry of its own, which
// Open opens by that generation. Which life a name belonged to follows from the
// order of the transactions: a directory's block and the inode that it names
// are changed by the same one.
//
//	transaction 7   inode 20: generation 91, 1 link, 29 bytes   "config" is 20
//	transaction 9   inode 20: generation 91, no link, 0 bytes   the name is gone
//	today           inode 20: generation 55, in use as "log"
//
// gives "log", and a deleted "config" with 29 bytes, Ref 20:91, from "journal
// seq 7". A block of its content is "reallocated" when it is in use now, and
// also when copies of the block bitmap show that it was in between. A deleted
// entry says in From where its name comes from ("dir-slack", "journal seq 7",
// "inode" when it is lost) and, behind a plus sign, which transaction told its
// content. The time of modification is that of the older copy, since freeing
// content sets it.
//
// # What it does not do
//
// It does not decrypt (names and targets of encrypted directories are given as
// stored). Older fast commits, of transactions that were committed since, tell
// nothing of the past. Blocks that were discarded (mounted with discard, fstrim)
// read as zeros, and nothing tells that from zeros that were written. What was written back and freed again
// within one transaction (some seconds), or belonged to the transaction that was
// being made when the image was, lies in blocks that no bitmap shows in use: it
// can stand in place of what a deleted file had there, and nothing tells. A file
// that was made and deleted before it was written back has the size of its last
// commit, often 0. What a journal without checksums says of a time before the
// file system was made is another one's, and left out.
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
	raw    imaging.Source      // without what the journal would change
	away   imaging.Source      // the device of an external journal; nil when it is not given
	behind map[uint32]struct{} // inodes that a fast commit changes in a way that src does not show
	sb     superblock
	groups []group
	info   filesystem.Info
	seed   uint32   // of the crc32c checksums
	log    *journal // nil when there is none that can be read
	logEnd uint32   // the first transaction that src does not show
	// logAhead is how many transactions from logEnd on are committed and not
	// shown.
	logAhead int32

	pastMutex sync.Mutex
	pastKept  *history
	viewMutex sync.Mutex
	view      *pastView
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
func Open(src imaging.Source) (*FS, error) { return open(src, nil, false) }

// OpenRaw is Open without the journal: the volume as it lies there.
func OpenRaw(src imaging.Source) (*FS, error) { return open(src, nil, true) }

// OpenWithJournal is Open of a file system whose journal lies on a device of
// its own, which JournalUUID names. Where journal is not that device Info.State
// says so, and the volume is shown without.
func OpenWithJournal(src, journal imaging.Source) (*FS, error) { return open(src, journal, false) }

func open(src, journal imaging.Source, raw bool) (*FS, error) {
	sb, err := findSuperblock(src)
	if err != nil {
		return nil, fmt.Errorf("open ext4: %w", err)
	}
	fs := &FS{src: src, raw: src, away: journal, sb: sb, seed: sb.checksumSeed()}
	fs.describe()
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

// describe sets what the superblock says.
func (fs *FS) describe() {
	fs.info = fs.sb.info(fs.src.Size())
	switch id := fs.JournalUUID(); {
	case id == "":
	case fs.away == nil:
		fs.note("the journal is on another device, with the UUID %s: it is not read", id)
	default:
		fs.note("the journal is on another device, with the UUID %s", id)
	}
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
