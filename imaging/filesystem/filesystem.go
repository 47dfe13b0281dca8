// Package filesystem is the contract of every file-system reader: what an
// entry is, how entries are walked, how content is opened. The readers lie in
// the folders beside this file, each with Probe and Open; fstest is the suite
// that each of them runs.
//
// A reader never stops at damage: it yields what it could read, and for what
// it could not an Entry whose Damage says so, or an error that comes with the
// entry it belongs to. Only failure of the source or cancellation ends a walk.
package filesystem

import (
	"context"
	"iter"

	"snapcase/imaging"
)

// FileSystem is one opened file system, read-only, safe for concurrent use.
type FileSystem interface {
	// Info describes the file system; it does no input or output.
	Info() Info
	// Walk yields every entry: one per name of an allocated inode (hard links
	// give several), then deleted names, deleted inodes without a name and
	// orphans. An error comes with the entry it belongs to (which may be
	// otherwise empty) and the walk goes on; after a source failure or
	// cancellation it is the last thing yielded.
	Walk(ctx context.Context) iter.Seq2[Entry, error]
	// Open gives the content that ref names. Holes and unwritten extents read
	// as zeros. The size is the entry's own, bounded by what the format allows.
	Open(ref Ref) (imaging.Source, error)
}

// Mapper is the optional second view: who owns which bytes of the volume.
type Mapper interface {
	// Extents yields every extent that an inode, allocated or deleted, claims.
	// Offsets are from the start of the volume. Order is not promised.
	Extents(ctx context.Context) iter.Seq2[Extent, error]
}

// FileNamer is the optional view of names that have times of their own, as
// those of NTFS do.
type FileNamer interface {
	// FileNames gives the names of the file that ref names, in the order on disk.
	FileNames(ref Ref) ([]FileName, error)
}

// FileName is a name in a directory with its own times and sizes, which Windows
// sets when the name is made or moved and programs cannot: where they differ
// from those of the entry, those may have been set by hand.
type FileName struct {
	Parent    uint64 // inode of the directory
	ParentSeq uint16 // its generation
	Name      string // UTF-8; not a path
	Short     bool   // 8.3 form beside a long name

	Born, Modified, Changed, Accessed imaging.Time

	Size int64 // bytes, as it was when the times were set
}

// Extent is a run of bytes of the volume with its owner.
type Extent struct {
	Start, Length int64     // bytes from the start of the volume
	Kind          OwnerKind // what lies there
	Ref           Ref       // the owner, for content, directories, links and attributes
	FileOffset    int64     // where the run stands in the owner's content, bytes
	Size          int64     // the owner's content length: bytes of the run behind it are slack
	Status        Status    // Allocated or Deleted: a deleted claim loses to an allocated one
}

// OwnerKind says what a run of bytes is used for.
type OwnerKind uint8

// The kinds of owner.
const (
	OwnContent OwnerKind = iota + 1 // file content
	OwnDir                          // directory blocks
	OwnMeta                         // superblock, bitmaps, tables, extent and indirect blocks
	OwnJournal                      // the journal
	OwnXattr                        // extended attributes
	OwnFree                         // unallocated according to the bitmap
)

// Info describes a file system.
type Info struct {
	Type      string // "ext4", "ext3", "ext2", "vfat", …: the name the kernel uses
	Label     string // as stored, may be any bytes
	UUID      string // canonical text; for FAT the serial as XXXX-XXXX
	BlockSize int64  // bytes
	Size      int64  // bytes that the file system says it has
	Features  []string
	State     []string // what an examiner must know: "needs journal recovery", "backup superblock used", …
}

// Ref names content: the inode, its generation, and the stream for file
// systems that have several (empty otherwise). Ref is comparable.
type Ref struct {
	Inode      uint64
	Generation uint32
	Stream     string
}

// Entry is the metadata of one name of one inode.
type Entry struct {
	Ref    Ref
	Parent uint64 // inode of the directory, 0 when not known
	// Path is absolute within the volume, begins with "/", parts are raw bytes
	// as stored, never cleaned; "/$Orphan/…" when the parent is gone. A name
	// that was not recovered is "/$Orphan/#<inode>".
	Path string
	Type Type
	Mode uint32 // as stat(2): type and permission bits
	UID  uint32
	GID  uint32
	// Links is the stored link count, Size the content length in bytes.
	Links  uint32
	Size   int64
	Status Status

	Modified, Accessed, Changed, Born, Deleted imaging.Time

	Link   string // target of a symbolic link, raw bytes
	Damage string // "" or a code and a short sentence: "range: block 991 lies outside the volume"
	From   string // how a recovered thing was found: "inode", "dir-slack", …; "" for allocated
	Rdev   uint32 // device number of char and block entries, as the kernel packs it

	// First is where the content's first block lies, bytes from the start of
	// the volume, -1 when there is none: a hint for reading in disk order.
	First int64
}

// Type is the kind of an entry.
type Type uint8

// The types of entry, with the words that the command line uses.
const (
	TypeUnknown Type = iota
	TypeFile
	TypeDir
	TypeSymlink
	TypeFIFO
	TypeSocket
	TypeChar
	TypeBlock
)

// String is the word of CLI.md: file, dir, symlink, fifo, socket, char, block.
func (t Type) String() string {
	switch t {
	case TypeFile:
		return "file"
	case TypeDir:
		return "dir"
	case TypeSymlink:
		return "symlink"
	case TypeFIFO:
		return "fifo"
	case TypeSocket:
		return "socket"
	case TypeChar:
		return "char"
	case TypeBlock:
		return "block"
	case TypeUnknown:
	}
	return "unknown"
}

// Status says whether an entry is in use.
type Status uint8

// The states of an entry.
const (
	Allocated Status = iota
	Deleted          // its name or its inode is freed
	Orphan           // an inode in use that no name leads to
)

// String is the word of CLI.md.
func (s Status) String() string {
	switch s {
	case Deleted:
		return "deleted"
	case Orphan:
		return "orphan"
	case Allocated:
	}
	return "allocated"
}
