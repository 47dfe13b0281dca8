// Package container holds what the readers of image containers share: where
// the bytes of an image lie in its files, and what is not as it was imaged.
//
// # Span
//
// A format answers one question, Map.Find: where are the bytes from offset o
// on? The answer is a Span. It has one of four forms:
//
//	zeros       {Length: 65536}                    nothing is stored
//	plain       {Length: 65536, From: f, At: 4096}  bytes of f from 4096
//	packed      {Length: 32768, Packed: true, Key: 7, Size: 32768}
//	gap         {Length: 32768, Reason: "segment E02 is missing"}
//
// A Reader turns the answers into an imaging.Source. It joins plain spans that
// follow one another, unpacks packed ones on several cores, keeps the last of
// them, and unpacks ahead of a reader that goes on where it stopped.
//
// # Gaps
//
// A byte that could not be had reads as zero, and a byte that fails its
// checksum reads as it was found; either is listed in Gaps with its range in
// the image and the reason. Whoever reads an image must look at Gaps
// afterwards: damage to a packed piece is seen when that piece is read. Only a
// failure of the files themselves (an I/O error) is an error of ReadAt.
//
// Where a container lies within another, or upon a parent, the gaps of what is
// below are carried over when their bytes are read.
//
// # Bounds
//
// Images over MaxSize are refused; the caches of a Reader hold 32 MiB, those of
// Pages 8 MiB; a list of gaps ends at 65,536 and says so.
//
// What it does not do: it knows no format and opens no file.
package container

import (
	"fmt"
	"maps"
	"slices"

	"snapcase/imaging"
)

// MaxSize is the largest image that is opened, in bytes: 1 PiB. A container of
// a few bytes can claim any size, and whoever reads it would never end.
const MaxSize = 1 << 50

// Field is one thing that a container says of itself. Both strings come from
// the file and may hold any bytes; they are cut at 64 KiB.
type Field struct{ Name, Value string }

// UnsupportedError names a container, or a feature of one, that is recognised
// and cannot be read. Its raw bytes are not those of a disk.
type UnsupportedError struct {
	Format string // "qcow2"
	Reason string // lower case, no full stop
}

func (e *UnsupportedError) Error() string { return e.Format + ": " + e.Reason }

// Unsupported makes an UnsupportedError.
func Unsupported(format, reason string, args ...any) error {
	return &UnsupportedError{Format: format, Reason: fmt.Sprintf(reason, args...)}
}

// Image is an opened container: the bytes of the disk in it, and its account of
// itself.
type Image struct {
	*Reader
	Format     string            // "ewf", "qcow2"
	SectorSize int64             // bytes of a logical sector; 0 when the container does not say
	Header     []Field           // in the order of the file
	Stored     map[string]string // hashes the container holds of the whole image: "md5" to hex
	Damage     []string          // what is wrong and has no range in the image
}

// Put appends a field; an empty value is left out.
func (i *Image) Put(name, value string) {
	const most = 64 << 10
	if value != "" {
		i.Header = append(i.Header, Field{Name: name, Value: value[:min(len(value), most)]})
	}
}

// Note adds to Damage, which ends at 1,000 lines.
func (i *Image) Note(format string, args ...any) {
	switch n := len(i.Damage); {
	case n < 1000:
		i.Damage = append(i.Damage, fmt.Sprintf(format, args...))
	case n == 1000:
		i.Damage = append(i.Damage, "further damage is not listed")
	}
}

// Store keeps a hash in hex. A second one of the same kind that differs is
// damage.
func (i *Image) Store(kind, hex string) {
	if i.Stored == nil {
		i.Stored = map[string]string{}
	}
	if old := i.Stored[kind]; old != "" && old != hex {
		i.Note("two different stored hashes: %s %s and %s", kind, old, hex)
		return
	}
	i.Stored[kind] = hex
}

// Kinds lists the kinds of stored hashes, sorted.
func (i *Image) Kinds() []string { return slices.Sorted(maps.Keys(i.Stored)) }

// Folder is where the other files of an image are: only the folder that the
// image lies in, never where a name in the evidence points to.
type Folder interface {
	// Names lists the regular files, sorted.
	Names() ([]string, error)
	// File opens the file of that name as the bytes that it is.
	File(name string) (imaging.Source, error)
	// Image opens the container of that name, or raw bytes where it is none.
	Image(name string) (*Image, error)
	// Forget takes one File back: what it opened does not belong to the image.
	Forget(name string) error
}
