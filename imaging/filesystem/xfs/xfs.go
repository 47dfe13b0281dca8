package xfs

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// ErrReused says that the inode which a Ref names is in use by another file
// now, or was since the Ref was made.
var ErrReused = errors.New("the inode was reused")

// reallocated is the stream of a Ref whose name is older than its inode.
const reallocated = "reallocated"

// FS is an opened XFS file system. It is safe for concurrent use and holds
// the superblock, the headers of the groups, what a dirty log would change, the
// places of the inodes and what the log tells of deleted files.
type FS struct {
	src    imaging.Source
	sb     superblock
	groups []group
	info   filesystem.Info
	deep   bool           // walks read the free space
	raw    imaging.Source // without what the log would change
	away   imaging.Source // the device of an external log; nil when it is not given
	// freeing has by group the extents that the log says were to be freed.
	freeing map[uint32][]extentOf

	tableMutex sync.Mutex
	tableKept  *chunkTable
	pastMutex  sync.Mutex
	pastKept   *history
}

var (
	_ filesystem.FileSystem = (*FS)(nil)
	_ filesystem.Mapper     = (*FS)(nil)
	_ filesystem.Attributer = (*FS)(nil)
)

// Open reads the superblock, what the log says that is not in its place, and
// the headers of the groups. Where the primary superblock is bad a copy is used
// and Info.State says so. Where the log is dirty, as in every snapshot of a
// running machine, the volume is shown as the kernel would mount it, and
// Info.State says so; nothing is written. The error is an *imaging.FormatError
// when no superblock makes sense.
func Open(src imaging.Source) (*FS, error) { return open(src, nil, true) }

// OpenRaw is Open without the log: the volume as it lies there.
func OpenRaw(src imaging.Source) (*FS, error) { return open(src, nil, false) }

func open(src, log imaging.Source, replay bool) (*FS, error) {
	sb, err := findSuper(src)
	if err != nil {
		return nil, fmt.Errorf("open xfs: %w", err)
	}
	fs := &FS{src: src, raw: src, away: log, sb: sb}
	fs.info = sb.info()
	fs.noteLog()
	if replay {
		if err := fs.replay(context.Background()); err != nil {
			return nil, fmt.Errorf("open xfs: %w", err)
		}
	}
	if err := fs.loadGroups(); err != nil {
		return nil, fmt.Errorf("open xfs: %w", err)
	}
	return fs, nil
}

// Info describes the file system. The slices are shared: do not change them.
func (fs *FS) Info() filesystem.Info { return fs.info }

// read fills p from off and gives zeros for what lies outside the source; n is
// how many bytes the source had. An error is a failure of the source.
func (fs *FS) read(p []byte, off int64) (n int, err error) {
	return readZero(fs.src, p, off)
}

// offset is where a block of a group lies, bytes from the start.
func (fs *FS) offset(ag uint32, agbno uint64) int64 {
	return int64(uint64(ag)*fs.sb.groupSize+agbno) * fs.sb.blockSize
}

// imageBlocks is how many blocks the image has, one more than that to be sure.
func (fs *FS) imageBlocks() int64 { return fs.src.Size()/fs.sb.blockSize + 1 }
