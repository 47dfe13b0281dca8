// Package image opens evidence as bytes: a raw image file or a block device,
// read-only, behind imaging.Source; and writes sparse copies of such bytes.
//
// A raw image has no format: byte n of the file is byte n of the disk. Of a
// device the kernel is asked how many bytes (BLKGETSIZE64) and how large a
// logical sector (BLKSSZGET) it has.
//
// A sparse copy leaves out aligned runs of zeros of 64 KiB and more: they are
// holes, which read as zeros and take no room.
//
// # Containers
//
// OpenAny opens an image in whatever it lies in, by its content: raw, split raw,
// E01, qcow2, VMDK, VHD, VHDX and seekable zstd, each read by a package of its
// own below this one. The order is: pieces are joined, then the signature at the
// start decides, then the one at the end. Within a split or zstd file another
// container may lie; a disk that was unpacked from E01, qcow2, VMDK, VHD or VHDX
// is a disk, whatever its first bytes look like.
//
//	c, err := image.OpenAny("disk.E01") // opens disk.E02 and on too
//	c.Format, c.Segments                // "ewf", the paths
//	c.Stored["md5"], c.Header           // what the image says of itself
//	c.ReadAt(p, 0)                      // the disk
//	c.Gaps(), c.Damage                  // what is not as it was imaged
//
// Parents, backing files and extents that an image names are opened only from
// the folder of the image, and only if they are regular files.
//
// What it does not do: Open reads no container and gives the bytes as they are.
// Neither retries nor replaces what a device cannot read: the error comes back.
package image

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// File is an open raw image or block device. It is an imaging.Source; ReadAt
// is safe for concurrent use.
type File struct {
	f      *os.File
	size   int64
	sector int64
	device bool
}

// Open opens the raw image or block device at path, read-only. A folder, a
// pipe or a character device is an error that says so. The time of access of
// the file is left alone where the system allows it.
func Open(path string) (*File, error) {
	f, err := openReadOnly(path)
	if err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	i := &File{f: f}
	if err := i.measure(); err != nil {
		return nil, fmt.Errorf("open image %s: %w", path, errors.Join(err, f.Close()))
	}
	return i, nil
}

// openReadOnly does not wait for the other end of a pipe.
func openReadOnly(path string) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK
	fd, err := unix.Open(path, flags|unix.O_NOATIME, 0)
	if errors.Is(err, unix.EPERM) { // only the owner may ask for O_NOATIME
		fd, err = unix.Open(path, flags, 0)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	// Blocking again: a file or device is read, not polled.
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, errors.Join(&os.PathError{Op: "open", Path: path, Err: err}, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), path), nil
}

// measure finds the size and the sector size, and refuses what has neither.
func (i *File) measure() error {
	st, err := i.f.Stat()
	if err != nil {
		return err
	}
	switch m := st.Mode(); {
	case m.IsRegular():
		i.size = st.Size()
		return nil
	case m.IsDir():
		return errors.New("it is a folder, not an image")
	case m&os.ModeDevice != 0 && m&os.ModeCharDevice == 0:
		i.device = true
		return i.measureDevice()
	case m&os.ModeNamedPipe != 0:
		return errors.New("it is a pipe, which cannot be read twice: write it to a file first")
	}
	return fmt.Errorf("it is neither a file nor a block device (%s)", st.Mode().Type())
}

func (i *File) measureDevice() error {
	fd := int(i.f.Fd())
	size, err := unix.IoctlGetUint64(fd, unix.BLKGETSIZE64)
	if err != nil {
		return fmt.Errorf("ask the device for its size: %w", err)
	}
	if size == 0 || size > math.MaxInt64 {
		return fmt.Errorf("the device says that it has %d bytes: is a medium in it", size)
	}
	sector, err := unix.IoctlGetInt(fd, unix.BLKSSZGET)
	if err != nil {
		return fmt.Errorf("ask the device for its sector size: %w", err)
	}
	i.size, i.sector = int64(size), int64(sector)
	return nil
}

// Size is the length in bytes when the image was opened.
func (i *File) Size() int64 { return i.size }

// SectorSize is the size in bytes of a logical sector of a device, 0 for a
// file, which does not record it.
func (i *File) SectorSize() int64 { return i.sector }

// Device says whether this is a block device.
func (i *File) Device() bool { return i.device }

// Name is the path that was opened.
func (i *File) Name() string { return i.f.Name() }

// Close closes the file.
func (i *File) Close() error { return i.f.Close() }

// ReadAt reads as io.ReaderAt; io.EOF comes only at Size. A file that became
// shorter since it was opened gives io.ErrUnexpectedEOF with the place.
func (i *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read image: negative offset %d", off)
	}
	if off >= i.size {
		return 0, io.EOF
	}
	want, crosses := p, int64(len(p)) > i.size-off
	if crosses {
		want = p[:i.size-off]
	}
	n, err := i.f.ReadAt(want, off)
	switch {
	case n == len(want) && crosses:
		return n, io.EOF
	case n == len(want):
		return n, nil
	case errors.Is(err, io.EOF):
		return n, fmt.Errorf("read image: it ended at %d and had %d bytes: %w", off+int64(n), i.size, io.ErrUnexpectedEOF)
	}
	return n, fmt.Errorf("read image at %d: %w", off+int64(n), err)
}
