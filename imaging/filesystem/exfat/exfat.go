// Package exfat reads exFAT file systems, allocated and deleted. It follows
// "exFAT file system specification" of Microsoft, 2019, revision 1.00, and the
// Linux kernel where that is silent.
//
// # Layout
//
// All numbers are little-endian. Sector 0 says how large a sector and a
// cluster are, where the FAT lies and where the cluster heap, whose first
// cluster has the number 2; the twelve sectors of the boot region end in a
// checksum and follow once more as a backup. With 512-byte sectors, 8 of them
// in a cluster, and the heap at sector 4096, cluster 5 starts at byte
// 4096*512 + (5-2)*8*512 = 2,109,440.
//
// A directory is records of 32 bytes whose first byte is the type; its top bit
// says that the record is in use, and 0 ends the directory. The root has the
// label (83), the bitmap of clusters in use (81) and the table of upper case
// (82). A file is a set of records: 85 with attributes and times, C0 with the
// first cluster and two lengths, then C1 with 15 characters of the name each.
// The set has a checksum. Deletion clears the top bits and nothing else: 05,
// 40, 41.
//
// A file whose record says so has no chain in the FAT: its clusters follow one
// another. Of the two lengths the valid one is how much was ever written: what
// lies behind reads as zeros, as systems give it, and the bytes that the
// clusters hold there are left from before.
//
// # Inode numbers
//
// exFAT has no inodes. The number of an entry is that of The Sleuth Kit: 2 is
// the root, and a file has 3 plus the place of its first record, counted in
// records from the heap. Clusters that no record leads to have 1<<50 plus
// their first. In Ref.Generation bit 0 is set for what is not in use; bit 1
// says that the set goes on in the cluster behind, whatever the FAT says; of
// what no record leads to the bits above bit 0 count the clusters.
//
// # Names and times
//
// Names are given in UTF-8; a surrogate without its other half gives the three
// bytes that UTF-8 would have for it. Modified and Born are exact to ten
// milliseconds, Accessed to two seconds; Changed is never set. A record may say
// how far its times are from UTC, and then they are given in UTC. Where it does
// not, they are local times of the system that wrote them, given as if they
// were UTC; Info.State counts those records.
//
// exFAT has no owners and permissions: Mode has the type, and read and execute
// for all, and write for all where the file is not marked read-only. Links
// is 1.
//
// # What was deleted
//
// A deleted set keeps all it had, and its checksum still tells. The content is
// what its clusters hold now: where they followed one another this is exact,
// else the FAT mostly still has the chain, and where it does not the clusters
// behind are taken and Damage says so. Damage counts the clusters that the
// bitmap says are in use again; what they hold is another file's. Of a set that
// was overwritten in part the rest is given: a C0 record without its 85 has
// name and content and no times.
//
// Records behind the end mark are given as deleted, from "dir-slack", where
// their checksum is right; likewise those of a deleted directory, from
// "deleted-dir", and of clusters that begin like a directory and belong to
// none, from "stray-block". Clusters in use that nothing claims are orphans.
//
// # What it does not do
//
// It does not read the second bitmap of TexFAT beyond choosing the active one,
// and does not check the hash of names. A directory of several clusters that
// nothing leads to is found when its first cluster begins with a set.
package exfat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

var le = binary.LittleEndian

const (
	rootInode  = 2
	firstInode = 3
	lostInode  = 1 << 50 // plus the first cluster
	recordSize = 32
)

// FS is an opened exFAT file system. It is safe for concurrent use. It holds
// the bitmap of clusters in use.
type FS struct {
	src     imaging.Source
	g       geometry
	info    filesystem.Info
	used    *set // nil: there is no bitmap
	bitmap  []run
	tables  []run // of upper case, and the bitmap that is not followed
	scanned bool  // whether free clusters are searched for directories
}

var (
	_ filesystem.FileSystem = (*FS)(nil)
	_ filesystem.Mapper     = (*FS)(nil)
)

// strayMost is up to how many clusters a volume may have to be searched for
// directories that nothing leads to.
const strayMost = 1 << 25

// Open reads the boot region, the bitmap and the label. Where the boot sector
// is bad and its backup is not, that is used and Info.State says so. The error
// is an *imaging.FormatError when no boot sector makes sense, else a failure of
// the source.
func Open(src imaging.Source) (*FS, error) {
	g, err := findBoot(src)
	if err != nil {
		return nil, fmt.Errorf("open exfat: %w", err)
	}
	fs := &FS{src: src, g: g, info: g.info(src.Size()), scanned: g.clusters <= strayMost}
	if err := fs.checkBoot(); err != nil {
		return nil, fmt.Errorf("open exfat: %w", err)
	}
	if err := fs.readRoot(); err != nil {
		return nil, fmt.Errorf("open exfat: %w", err)
	}
	if err := fs.countZones(); err != nil {
		return nil, fmt.Errorf("open exfat: %w", err)
	}
	if !fs.scanned {
		fs.note("it has %d clusters: they were not searched for directories that nothing leads to", g.clusters)
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

// inodeAt is the number of the record at a byte of the volume.
func (fs *FS) inodeAt(off int64) uint64 {
	return uint64(off-fs.g.heap)/recordSize + firstInode
}

// recordAt is where the record of an inode lies, and whether it has a place.
func (fs *FS) recordAt(ino uint64) (int64, bool) {
	if ino < firstInode || ino >= lostInode {
		return 0, false
	}
	off := int64(ino-firstInode) * recordSize
	if off > fs.g.end()-fs.g.heap-recordSize {
		return 0, false
	}
	return fs.g.heap + off, true
}
