// Package fat reads FAT12, FAT16 and FAT32 file systems with long names,
// allocated and deleted. It follows the Microsoft FAT Specification of 2005.
//
// # Layout
//
// All numbers are little-endian. Sector 0 is the boot sector: bytes a sector
// at 11, sectors a cluster at 13, reserved sectors at 14, number of FATs at 16,
// entries of the root folder at 17 (0 in FAT32), size of a FAT at 22 (16 bits)
// or 36 (32 bits). The FATs follow the reserved sectors, then in FAT12 and
// FAT16 the root folder, then the clusters, numbered from 2. The number of
// clusters tells the width: below 4,085 it is FAT12, below 65,525 FAT16.
//
// A folder is content of records of 32 bytes: name (8 and 3 bytes, padded with
// blanks), attributes at 11, times at 13, first cluster at 26 and 20, size at
// 28. Before it stand the parts of its long name, last part first, 13 UTF-16
// units each, with a checksum of the short name. A record whose first byte is
// E5 was deleted; 0 ends the folder. With 512-byte sectors and the root folder
// in sector 41, the second record there is inode 3 + 1.
//
// # Inodes
//
// FAT has none. As The Sleuth Kit does, the root is 2 and a record is 3 plus
// its number among all records that the area from the root folder (FAT12 and
// FAT16) or from the first cluster (FAT32) could hold. The generation is 0.
//
// # What is deleted
//
// Deleting a file frees its clusters and loses their order: the content of a
// deleted file is taken to lie in one piece from its first cluster on, up to
// its size or to the first cluster that is in use again, and Damage says how
// much of it there is. The first character of the short name is lost too; the
// checksum in the long name gives it back.
//
// Times are local time of whoever wrote them, in steps of 2 seconds (creation
// 10 ms, access a day); they are given as if they were UTC, and Info.State
// says so. Modes are made up: 0755, 0555 for read-only files.
//
// What it does not do: exFAT, extended attributes of OS/2, folders of deleted
// folders (their clusters are not searched), and records behind the end mark
// of a folder.
package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strings"
	"sync"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

var le = binary.LittleEndian

const (
	recordSize = 32
	rootInode  = 2
	maxChain   = 1 << 28 // clusters: no FAT has more
)

// FS is an opened FAT file system. It is safe for concurrent use.
type FS struct {
	src      imaging.Source
	width    int   // bits of an entry of the FAT
	sector   int64 // bytes
	cluster  int64 // bytes
	fatStart int64 // bytes
	fatSize  int64 // bytes of one FAT
	rootAt   int64 // bytes: root folder of FAT12 and FAT16
	rootSize int64
	dataAt   int64  // bytes: cluster 2
	clusters uint32 // numbered 2 to clusters+1
	rootClus uint32 // FAT32
	size     int64  // bytes, as the boot sector says
	info     filesystem.Info

	mu    sync.Mutex
	pages map[int64][]byte // of the FAT, pageSize each
}

var (
	_ filesystem.FileSystem = (*FS)(nil)
	_ filesystem.Mapper     = (*FS)(nil)
)

// Probe says whether src begins with the boot sector of a FAT file system.
func Probe(src imaging.Source) bool {
	_, err := readBoot(src)
	return err == nil
}

// Open reads the boot sector, or the backup of FAT32 where the first is bad.
// The error is an *imaging.FormatError when neither makes sense.
func Open(src imaging.Source) (*FS, error) {
	fs, err := readBoot(src)
	if err != nil {
		return nil, fmt.Errorf("open fat: %w", err)
	}
	fs.label()
	return fs, nil
}

// Info describes the file system. The slices are shared: do not change them.
func (fs *FS) Info() filesystem.Info { return fs.info }

func readBoot(src imaging.Source) (*FS, error) {
	fs, err := bootAt(src, 0)
	if err == nil {
		return fs, nil
	}
	if backup, other := bootAt(src, 6*512); other == nil && backup.width == 32 {
		backup.info.State = append(backup.info.State, "the boot sector is bad, its backup was used: "+err.Error())
		return backup, nil
	}
	return nil, err
}

func bootAt(src imaging.Source, at int64) (*FS, error) {
	b := make([]byte, 512)
	if n, err := src.ReadAt(b, at); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = &imaging.FormatError{Format: "fat", Offset: at, Reason: "the boot sector is cut"}
		}
		return nil, err
	}
	bad := func(off int64, format string, args ...any) (*FS, error) {
		return nil, &imaging.FormatError{Format: "fat", Offset: at + off, Reason: fmt.Sprintf(format, args...)}
	}
	if b[510] != 0x55 || b[511] != 0xaa {
		return bad(510, "no signature 55 AA")
	}
	if b[0] != 0xeb && b[0] != 0xe9 && b[0] != 0 {
		return bad(0, "no jump instruction")
	}
	fs := &FS{src: src, sector: int64(le.Uint16(b[11:])), pages: map[int64][]byte{}}
	perCluster, reserved, fats, rootRecords := int64(b[13]), int64(le.Uint16(b[14:])), int64(b[16]), int64(le.Uint16(b[17:]))
	if fs.sector < 512 || fs.sector > 4096 || bits.OnesCount64(uint64(fs.sector)) != 1 { //nolint:gosec // from 16 bits
		return bad(11, "%d bytes a sector", fs.sector)
	}
	if perCluster == 0 || bits.OnesCount64(uint64(perCluster)) != 1 { //nolint:gosec // from 8 bits
		return bad(13, "%d sectors a cluster", perCluster)
	}
	if reserved == 0 || fats == 0 || fats > 4 {
		return bad(14, "%d reserved sectors, %d FATs", reserved, fats)
	}
	if media := b[21]; media != 0xf0 && media < 0xf8 {
		return bad(21, "media byte %#x", media)
	}
	total, fatSectors := int64(le.Uint16(b[19:])), int64(le.Uint16(b[22:]))
	if total == 0 {
		total = int64(le.Uint32(b[32:]))
	}
	ext := 36 // where the serial number's block begins
	if fatSectors == 0 {
		fatSectors, fs.rootClus, ext = int64(le.Uint32(b[36:])), le.Uint32(b[44:]), 64
	}
	fs.cluster = perCluster * fs.sector
	fs.fatStart, fs.fatSize = reserved*fs.sector, fatSectors*fs.sector
	fs.rootAt = fs.fatStart + fats*fs.fatSize
	fs.rootSize = (rootRecords*recordSize + fs.sector - 1) / fs.sector * fs.sector
	fs.dataAt, fs.size = fs.rootAt+fs.rootSize, total*fs.sector
	if fatSectors == 0 || fs.dataAt >= fs.size {
		return bad(19, "%d sectors in all are too few for the tables", total)
	}
	n := (fs.size - fs.dataAt) / fs.cluster
	if n == 0 || n > maxChain {
		return bad(19, "%d clusters", n)
	}
	fs.clusters = uint32(n)
	switch {
	case ext == 64:
		fs.width = 32
	case n < 4085:
		fs.width = 12
	default:
		fs.width = 16
	}
	if fs.width != 32 && rootRecords == 0 {
		return bad(17, "no room for the root folder")
	}
	if fs.width == 32 && !fs.valid(fs.rootClus) {
		return bad(44, "the root folder is in cluster %d of %d", fs.rootClus, n)
	}
	if need := (n + 2) * int64(fs.width) / 8; need > fs.fatSize {
		fs.clusters = uint32(min(n, max(0, fs.fatSize*8/int64(fs.width)-2))) //nolint:gosec // below n
		fs.info.State = append(fs.info.State, fmt.Sprintf("the FAT has room for %d of %d clusters", fs.clusters, n))
	}
	fs.describe(b, ext)
	return fs, nil
}

func (fs *FS) describe(b []byte, ext int) {
	fs.info.Type, fs.info.BlockSize, fs.info.Size = "vfat", fs.cluster, fs.size
	fs.info.Features = []string{fmt.Sprintf("fat%d", fs.width)}
	if b[ext+2] == 0x29 {
		serial := le.Uint32(b[ext+3:])
		fs.info.UUID = fmt.Sprintf("%04X-%04X", serial>>16, serial&0xffff)
		if l := strings.TrimRight(string(b[ext+7:ext+18]), " "); l != "NO NAME" {
			fs.info.Label = l
		}
	}
	fs.info.State = append(fs.info.State, "times are local time of the writer, shown as if UTC")
	if fs.size > fs.src.Size() {
		fs.info.State = append(fs.info.State, fmt.Sprintf("the last %d bytes of the file system lie past the end of the volume", fs.size-fs.src.Size()))
	}
}

// label takes the label of the root folder, which is the one in force.
func (fs *FS) label() {
	for off := int64(0); off < 64<<10; off += recordSize {
		r, _, err := fs.rootRecord(off)
		if err != nil || r == nil || r[0] == 0 {
			return
		}
		if r[0] != deletedMark && r[11]&attrMask != attrLong && r[11]&attrLabel != 0 {
			fs.info.Label = strings.TrimRight(string(r[:11]), " ")
			return
		}
	}
}

// rootRecord reads one record of the first piece of the root folder.
func (fs *FS) rootRecord(off int64) (r []byte, at int64, err error) {
	at, end := fs.rootAt, fs.rootSize
	if fs.width == 32 {
		at, end = fs.offset(fs.rootClus), fs.cluster
	}
	if off >= end {
		return nil, 0, nil
	}
	r = make([]byte, recordSize)
	_, err = fs.read(r, at+off)
	return r, at + off, err
}

// read fills p from off, with zeros for what lies outside the source; n is how
// much the source had. An error is a failure of the source.
func (fs *FS) read(p []byte, off int64) (n int, err error) {
	if off >= 0 && off < fs.src.Size() {
		if n, err = fs.src.ReadAt(p, off); errors.Is(err, io.EOF) {
			err = nil
		}
	}
	clear(p[n:])
	return n, err
}

func (fs *FS) valid(c uint32) bool { return c >= 2 && c-2 < fs.clusters }

// offset is where a cluster lies, bytes.
func (fs *FS) offset(c uint32) int64 { return fs.dataAt + int64(c-2)*fs.cluster }

const pageSize = 64 << 10

// page reads a page of the first FAT.
func (fs *FS) page(n int64) ([]byte, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if p := fs.pages[n]; p != nil {
		return p, nil
	}
	if len(fs.pages) > 256 { // 16 MiB
		clear(fs.pages)
	}
	p := make([]byte, pageSize)
	if _, err := fs.read(p, fs.fatStart+n*pageSize); err != nil {
		return nil, err
	}
	fs.pages[n] = p
	return p, nil
}

func (fs *FS) byteAt(off int64) (byte, error) {
	p, err := fs.page(off / pageSize)
	if err != nil {
		return 0, err
	}
	return p[off%pageSize], nil
}

// next is the FAT's entry of a cluster: 0 free, below 2 or out of range an
// end, a bad cluster or nonsense.
func (fs *FS) next(c uint32) (uint32, error) {
	bit := int64(c) * int64(fs.width)
	var v uint32
	for i := range int64(fs.width+7) / 8 {
		b, err := fs.byteAt(bit/8 + i)
		if err != nil {
			return 0, err
		}
		v |= uint32(b) << (8 * i)
	}
	switch fs.width {
	case 12:
		if bit%8 != 0 {
			return v >> 4, nil
		}
		return v & 0xfff, nil
	case 32:
		return v & 0x0fffffff, nil
	}
	return v, nil
}

// end says that an entry of the FAT marks the last cluster of a chain.
func (fs *FS) end(v uint32) bool {
	return v >= map[int]uint32{12: 0xff8, 16: 0xfff8, 32: 0x0ffffff8}[fs.width]
}
