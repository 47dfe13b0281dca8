package acquire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"
	"snapcase/imaging/image"

	"golang.org/x/sys/unix"
)

// Input is an open image source.
type Input interface {
	imaging.Source
	io.Closer
}

// The ways in which a source is read, as acquisition.json names them.
const (
	apiFile      = "file"
	apiContainer = "container"
	apiDevice    = "block-device"
	apiFolder    = "folder"
)

// identity is what makes a source the same one as before.
type identity struct {
	API   string `json:"api"`
	Size  int64  `json:"size"`
	MTime int64  `json:"mtime_ns"` // 0 for devices and folders
	Dev   uint64 `json:"dev"`      // of the file system; for a device its own number
	Inode uint64 `json:"inode"`
	// Packed is the size of a container's own first file; Size is that of the
	// disk in it.
	Packed int64 `json:"packed,omitempty"`
	// ID names a source that is no file of this host; Block is the length of
	// its blocks.
	ID    string `json:"id,omitempty"`
	Block int64  `json:"block,omitempty"`
}

// look finds out what the source is.
func (j *Job) look(ctx context.Context) (header, error) {
	h := header{V: journalVersion, Source: strings.ToValidUTF8(j.Source, "\ufffd"), Kind: j.Kind, Label: j.Label, Hashes: j.Hashes, Started: imaging.TimeOf(j.Now())}
	if h.Source != j.Source {
		h.SourceB64 = []byte(j.Source)
	}
	if j.Remote != nil {
		return h, j.lookRemote(ctx, &h)
	}
	if j.Objects != nil {
		return h, j.lookObjects(ctx, &h)
	}
	id, blocks, err := identify(j.Source)
	if err != nil {
		return h, err
	}
	h.Identity = id
	switch {
	case id.API == apiFolder && j.Kind.Image():
		return h, evidence.WithHint(fmt.Errorf("a folder is no %s image: %w", j.Kind, evidence.ErrUsage), "name the image file, or leave out --as")
	case id.API == apiDevice && j.Kind != "" && !j.Kind.Image():
		return h, evidence.WithHint(fmt.Errorf("a block device holds no %s: %w", j.Kind, evidence.ErrUsage), "use --as disk")
	case id.API == apiFile && id.Size == 0:
		return h, evidence.WithHint(errors.New("the source is empty"), "check the path; nothing was recorded")
	}
	if id.API == apiFile && !j.Raw && (j.Kind == "" || j.Kind.Image()) {
		if err := j.contained(&h); err != nil {
			return h, err
		}
	}
	if id.API == apiDevice {
		if err := notOwnDisk(string(j.Folder), id.Dev); err != nil {
			return h, err
		}
	}
	if h.Kind == "" {
		if h.Kind, h.Detected, err = detect(j.Source, id.API); err != nil {
			return h, err
		}
	}
	if h.Format = j.Format; h.Format != "" && !h.Kind.Image() {
		return h, evidence.WithHint(fmt.Errorf("format %s of a %s exhibit: %w", h.Format, h.Kind, evidence.ErrUsage), "only a disk or memory image is packed: leave out --format")
	}
	if h.Kind.Image() && h.Format == "" {
		h.Part = partLength(h.Identity.Size)
	}
	return h, room(string(j.Folder), blocks)
}

// identify stats and opens the source; bytes is the space its data takes.
func identify(path string) (id identity, bytes int64, err error) {
	f, err := openReadOnly(path)
	if err != nil {
		return id, 0, err
	}
	defer f.Close() //nolint:errcheck // read-only
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return id, 0, err
	}
	id.Dev, id.Inode = st.Dev, st.Ino
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		id.API = apiFolder
	case unix.S_IFREG:
		id.API, id.Size, id.MTime = apiFile, st.Size, st.Mtim.Nano()
		bytes = min(st.Size, st.Blocks*512)
	case unix.S_IFBLK:
		id.API, id.Dev = apiDevice, st.Rdev
		if id.Size, err = f.Seek(0, io.SeekEnd); err != nil {
			return id, 0, err
		}
		if id.Size == 0 {
			return id, 0, evidence.WithHint(errors.New("the device has no bytes"), "is a medium in it, and the volume attached?")
		}
	default:
		return id, 0, evidence.WithHint(fmt.Errorf("neither a file, a folder nor a block device: %w", evidence.ErrUsage), "copy what it gives to a file first")
	}
	return id, bytes, nil
}

// openReadOnly opens without touching the time of access where that is allowed.
func openReadOnly(path string) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK
	fd, err := unix.Open(path, flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) {
		fd, err = unix.Open(path, flags, 0)
	}
	if err != nil {
		err = &os.PathError{Op: "open", Path: path, Err: err}
		if errors.Is(err, os.ErrPermission) {
			return nil, evidence.WithHint(err, "acquire as a user who may read it; for a device that is root or the group disk")
		}
		return nil, err
	}
	// Blocking again: a file or device is read, not polled.
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), path), nil
}

type fileInput struct {
	*os.File
	size int64
}

func (f *fileInput) Size() int64 { return f.size }

// openInput opens an image source of which id is known.
func (j *Job) openInput(id identity) (Input, error) {
	if j.Remote != nil {
		return j.Remote.input(), nil
	}
	if j.Open != nil {
		return j.Open(j.Source)
	}
	if id.API == apiContainer {
		return image.OpenAny(j.Source)
	}
	f, err := openReadOnly(j.Source)
	if err != nil {
		return nil, err
	}
	// Advice only: what it says does not matter to what is read.
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_SEQUENTIAL)
	return &fileInput{File: f, size: id.Size}, nil
}

// notOwnDisk refuses to write the image of a disk onto itself.
func notOwnDisk(folder string, rdev uint64) error {
	var st unix.Stat_t
	if err := unix.Stat(folder, &st); err != nil {
		return err
	}
	src, err := filepath.EvalSymlinks(sysfs(rdev))
	if err != nil {
		return nil //nolint:nilerr // no sysfs: nothing is known against it
	}
	cs, err := filepath.EvalSymlinks(sysfs(st.Dev))
	if err != nil {
		return nil //nolint:nilerr // the case lies on no block device
	}
	if within(src, cs) {
		return evidence.WithHint(fmt.Errorf("the case lies on the disk that is acquired: %w", evidence.ErrUsage), "make the case on another disk")
	}
	return nil
}

func sysfs(dev uint64) string {
	return fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(dev), unix.Minor(dev))
}

// room asks the case's file system for so many bytes, with some to spare.
func room(folder string, bytes int64) error {
	const spare = 1 << 20
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return err
	}
	free := int64(min(st.Bavail, 1<<40)) * st.Bsize //nolint:gosec // bounded
	if bytes > 0 && free < bytes+spare {
		return noRoom(fmt.Errorf("it takes %d bytes, %d are free: %w", bytes, free, unix.ENOSPC))
	}
	return nil
}

func noRoom(err error) error {
	return evidence.WithHint(err, "make room on the disk of the case and run the same command again: it resumes")
}

// sameSource says whether the source is the one that an acquisition began with.
func sameSource(was, is identity) error {
	switch {
	case was.API != is.API:
		return fmt.Errorf("the source was a %s and is a %s", was.API, is.API)
	case was.ID != is.ID:
		return fmt.Errorf("the source was %s and is %s", was.ID, is.ID)
	case was.Block != is.Block:
		return fmt.Errorf("the source had blocks of %d bytes and has of %d", was.Block, is.Block)
	case was.Size != is.Size:
		return fmt.Errorf("the source had %d bytes and has %d", was.Size, is.Size)
	case was.Packed != is.Packed:
		return fmt.Errorf("the source's file had %d bytes and has %d", was.Packed, is.Packed)
	case was.MTime != is.MTime:
		return errors.New("the source was written to")
	case was.Dev != is.Dev || was.Inode != is.Inode:
		return errors.New("another file lies at the source's path")
	}
	return nil
}
