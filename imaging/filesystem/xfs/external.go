package xfs

import (
	"bytes"
	"fmt"

	"snapcase/imaging"
)

// OpenWithLog is Open of a file system whose log lies on a device of its own,
// whose records carry LogUUID. Where log is not that device, or not all of it,
// Info.State says so, and the volume is shown without. A log within the volume
// goes before one that is given.
func OpenWithLog(src, log imaging.Source) (*FS, error) { return open(src, log, true) }

// LogUUID is the UUID that the records of the log carry when it lies on a
// device of its own: that of the file system. It is "" when the log lies in the
// volume.
func (fs *FS) LogUUID() string {
	if fs.sb.logStart != 0 {
		return ""
	}
	return uuidText(fs.sb.raw[32:48])
}

func uuidText(p []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", p[:4], p[4:6], p[6:8], p[8:10], p[10:16])
}

// noteLog says where the log lies when that is not in the volume. A superblock
// does not say whether the volume was unmounted: that stands in the log alone.
func (fs *FS) noteLog() {
	id := fs.LogUUID()
	switch {
	case id == "":
	case fs.away == nil:
		fs.note("the log is on another device, where its records have the UUID %s: it is not read, and whether changes stand in it that are missing here is not known", id)
	default:
		fs.note("the log is on another device, where its records have the UUID %s", id)
	}
}

// external gives the log on the device that was given. It begins with the
// device; what lies behind it there is not part of it.
func (fs *FS) external() (j *journal, damage string) {
	size := int64(fs.sb.logBlocks) * fs.sb.blockSize
	switch {
	case size == 0 || size > maxLog:
		return nil, fmt.Sprintf("range: the superblock says that the log has %d bytes", size)
	case size > fs.away.Size():
		return nil, fmt.Sprintf("truncated: the log has %d bytes, the device that was given for it has %d", size, fs.away.Size())
	}
	return &journal{fs: fs, src: fs.away, size: size / basic}, ""
}

// own says that a record is one of this file system. The zeros are what IRIX
// wrote.
func (j *journal) own(r *logRecord) bool {
	return r.uuid == [16]byte{} || bytes.Equal(r.uuid[:], j.fs.sb.raw[32:48])
}

// foreign says why the log, whose last record is r, is not the one that
// belongs to the volume as it lies there. The kernel would not mount either.
func (j *journal) foreign(r *logRecord) string {
	if !j.own(r) {
		return fmt.Sprintf("range: its last record has the UUID %s, of another file system", uuidText(r.uuid[:]))
	}
	if !j.fs.sb.crc() || len(j.fs.sb.raw) < minSuper {
		return ""
	}
	cycle, unit := r.lsn>>32, r.at+r.units
	if unit >= j.size {
		cycle, unit = cycle+1, unit-j.size
	}
	if lsn := be.Uint64(j.fs.sb.raw[240:]); lsn != ^uint64(0) && lsn > cycle<<32|uint64(unit) {
		return fmt.Sprintf("range: it ends at %d:%d and the superblock was written at %d:%d, later: the log is older than the volume", cycle, unit, lsn>>32, uint32(lsn))
	}
	return ""
}
