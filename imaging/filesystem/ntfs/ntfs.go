// Package ntfs reads NTFS, allocated and deleted. It follows libfsntfs' "New
// Technologies File System (NTFS)" and [MS-FSCC].
//
// # Layout
//
// All numbers are little-endian. The boot sector has "NTFS    " at byte 3,
// bytes per sector at 11, sectors per cluster at 13, sectors at 40, the first
// cluster of the MFT at 48; its copy is the last sector. The MFT is a file of
// records (1,024 bytes as a rule) whose own first record says where it lies.
//
// A record is "FILE", the place and count of its fixups, a sequence number at
// 16 (one more each time the record is freed), links at 18, the first
// attribute at 20, flags at 22 (1 in use, 2 directory), the base record at 32.
// The last two bytes of each 512 are kept in the fixups. Attributes follow:
// type, length, whether the value lies elsewhere, name, flags, then the value
// or its runs. A run is a byte with two lengths, then a count of clusters and
// the signed distance from the run before, without which it is a hole: 31 08
// 00 10 00 is 8 clusters from cluster 4,096. An $ATTRIBUTE_LIST names further
// records that hold attributes of this one.
//
// A compressed value is cut into units of 16 clusters. One that has all its
// clusters is plain, one that has none is zeros, else its clusters hold chunks
// of LZNT1, each 4,096 bytes when unpacked.
//
// # Entries
//
// There is one entry for each $FILE_NAME but the short ones (8.3) that stand
// beside a long one, and one more, path:stream, for each named $DATA (of a file
// with several names under the first). The inode is the number of the record, the generation its sequence number. The
// times are those of $STANDARD_INFORMATION; FileNames gives those of the
// $FILE_NAMEs, which are harder to forge. Names are UTF-16 on disk and given
// as UTF-8, a half surrogate as its three bytes. The root comes first, then
// what is allocated by record, then what is deleted or orphaned by record.
//
// Names that no record has any more come last, from the slack of the index
// blocks of their directory, with the sizes and times that stood beside them.
//
// Then come the files whose records were used again and that only the change
// journal ($Extend/$UsnJrnl) names: under the last name that it has of them, in
// the directory that this record says, with the times of their making and
// deletion where it has those. Size and content are not known. Changes gives
// the journal itself; what a deleted journal leaves in its clusters is read too.
//
// A freed record keeps its attributes until it is used again. Its path is
// rebuilt from the parent that its name has, if that record still is the same
// directory or was freed once since; else it is /$Orphan/name. Damage says
// when its clusters are in use again.
//
// NTFS has no mode: directories and links are 0777, files 0777, without the
// write bits (0555) where the read-only attribute is set. UID and GID are 0.
// Links counts the short names too. A symbolic link or a junction has the
// substitute name as its Link, which is the one that is followed; links of
// WSL and Interix have their own target. FIFOs and sockets of Interix are
// empty files.
//
// # Why not a library
//
// The one that exists in Go loses content without an error where a compressed
// file has holes (it gave 181,956 of 3,000,004 bytes), where a
// value has more than 20 parts and behind the initialised size, and its times
// wrap outside of 1678 to 2262.
//
// # What it does not do
//
// It does not replay $LogFile (Info.State says when it was in use), reads no
// slack of records, no security descriptors and no extended attributes. Content
// that Windows packs by its overlay filter (CompactOS), deduplicates or keeps
// in the cloud is not in the file's own stream: Damage says so, and the stream
// that holds the packed bytes is an entry. Encrypted content is as stored.
package ntfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

var le = binary.LittleEndian

// ErrReused says that the record which a Ref names was freed or used again
// since the Ref was made.
var ErrReused = errors.New("the record was reused")

// Records of the MFT with a meaning of their own.
const (
	recMFT     = 0
	recMirror  = 1
	recLogFile = 2
	recVolume  = 3
	recRoot    = 5
	recBitmap  = 6
	firstUser  = 24
)

// FS is an opened NTFS volume. It is safe for concurrent use.
type FS struct {
	src     imaging.Source
	boot    boot
	mft     *Content
	records uint64
	bitmap  *Content // of clusters; nil when it cannot be read
	used    *Content // of records; nil when it cannot be read
	info    filesystem.Info
	parts   parts
	noUSN   atomic.Bool // the MFT was read and has no change journal
}

var (
	_ filesystem.FileSystem = (*FS)(nil)
	_ filesystem.Mapper     = (*FS)(nil)
	_ filesystem.FileNamer  = (*FS)(nil)
	_ filesystem.Changer    = (*FS)(nil)
)

// Probe says whether src has a boot sector of NTFS that makes sense, at its
// start or as the copy at its end.
func Probe(src imaging.Source) bool {
	_, _, err := findBoot(src)
	return err == nil
}

// Open reads the boot sector and finds the MFT. Where the primary boot sector
// or the first record of the MFT is bad its copy is used, and Info.State says
// so. The error is an *imaging.FormatError when that fails.
func Open(src imaging.Source) (*FS, error) {
	b, state, err := findBoot(src)
	if err != nil {
		return nil, fmt.Errorf("open ntfs: %w", err)
	}
	fs := &FS{src: src, boot: b}
	fs.info = filesystem.Info{
		Type: "ntfs", UUID: fmt.Sprintf("%016X", b.serial), BlockSize: b.cluster,
		Size: int64(b.sectors) * b.sector, State: state, //nolint:gosec // checked by parseBoot
	}
	if err := fs.loadMFT(); err != nil {
		return nil, fmt.Errorf("open ntfs: %w", err)
	}
	if err := fs.loadVolume(); err != nil {
		return nil, fmt.Errorf("open ntfs: %w", err)
	}
	return fs, nil
}

// Info describes the file system. The slices are shared: do not change them.
func (fs *FS) Info() filesystem.Info { return fs.info }

func (fs *FS) state(format string, args ...any) {
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

// loadMFT finds the runs of the MFT, from its first record or from the copy.
func (fs *FS) loadMFT() error {
	b := &fs.boot
	var first error
	for i, lcn := range []uint64{b.mft, b.mirror} {
		if lcn >= b.clusters {
			continue
		}
		at := int64(lcn) * b.cluster //nolint:gosec // inside the volume
		raw := make([]byte, b.record)
		n, err := readZero(fs.src, raw, at)
		if err != nil {
			return err
		}
		r := parseRecord(recMFT, raw)
		if n < len(raw) || !r.file || r.torn || r.part() {
			first = cmpError(first, &imaging.FormatError{Format: "ntfs", Offset: at, Reason: "the first record of the MFT is damaged"})
			continue
		}
		if err := fs.bootstrap(r); err != nil {
			first = cmpError(first, err)
			continue
		}
		if i == 1 {
			fs.state("the first record of the MFT is damaged, its copy at byte %d is used", at)
		}
		return nil
	}
	return cmpError(first, &imaging.FormatError{Format: "ntfs", Offset: 48, Reason: "the MFT lies outside the volume"})
}

// cmpError keeps the first error.
func cmpError(first, next error) error {
	if first != nil {
		return first
	}
	return next
}

// bootstrap reads the MFT's own attributes: those in the first record are
// enough to read the further records that may hold more of its runs.
func (fs *FS) bootstrap(r *record) error {
	for round := range 2 {
		f := &file{record: r, attrs: r.attrs, clusters: fs.boot.clusters}
		if round == 1 {
			var err error
			budget := int64(maxList)
			if f, err = fs.gather(r, &budget); err != nil {
				return err
			}
		}
		s := f.stream(typeData, "")
		if s == nil || s.resident != nil {
			return &imaging.FormatError{Format: "ntfs", Offset: int64(fs.boot.mft) * fs.boot.cluster, Reason: "the MFT has no runs"} //nolint:gosec // inside the volume
		}
		fs.mft = fs.content(s)
		fs.records = uint64(fs.mft.size / fs.boot.record) //nolint:gosec // not negative
		// a walk takes time and memory for each record, also those in holes
		if room := fs.boot.clusters * uint64(fs.boot.cluster) / uint64(fs.boot.record); fs.records > room { //nolint:gosec // positive
			return &imaging.FormatError{Format: "ntfs", Offset: int64(fs.boot.mft) * fs.boot.cluster, Reason: fmt.Sprintf("the MFT says that it has %d records, the volume has room for %d", fs.records, room)} //nolint:gosec // inside the volume
		}
		fs.used = nil
		if u := f.stream(typeBitmap, ""); u != nil {
			fs.used = fs.content(u)
		}
	}
	fs.parts.by = nil // it was made of the first part
	if d := fs.mft.damage; d != "" {
		fs.state("the MFT: %s", d)
	}
	return nil
}

// loadVolume reads the label, the version, whether the volume is dirty, and
// finds the bitmap of clusters.
func (fs *FS) loadVolume() error {
	budget := int64(maxList)
	v, err := fs.file(recVolume, &budget)
	if err != nil {
		return err
	}
	if v != nil {
		if s := v.stream(typeVolumeName, ""); s != nil {
			fs.info.Label = utf8Of(s.resident)
		}
		if s := v.stream(typeVolumeInfo, ""); s != nil && len(s.resident) >= 12 {
			fs.info.Features = append(fs.info.Features, fmt.Sprintf("version %d.%d", s.resident[8], s.resident[9]))
			if le.Uint16(s.resident[10:])&1 != 0 {
				fs.state("marked dirty: it was to be checked when it was next used")
			}
		}
	}
	if err := fs.loadLog(&budget); err != nil {
		return err
	}
	f, err := fs.file(recBitmap, &budget)
	if err != nil {
		return err
	}
	if f != nil && f.inUse {
		if s := f.stream(typeData, ""); s != nil && s.resident == nil {
			fs.bitmap = fs.content(s)
		}
	}
	if fs.bitmap == nil {
		fs.state("the bitmap of clusters cannot be read: what is free is not known")
	}
	return nil
}
