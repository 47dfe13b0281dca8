package ntfs

import (
	"bytes"
	"fmt"

	"snapcase/imaging/filesystem"
)

// reparse reads a $REPARSE_POINT into the entry: tag at 0, length at 4, data
// at 8. Links of Windows have places and lengths of the substitute name and of
// the printed one from 8 on (symbolic links have flags behind them).
func reparse(e *filesystem.Entry, p []byte) {
	if len(p) < 8 {
		join(&e.Damage, "range: the reparse point has %d bytes", len(p))
		return
	}
	names := 0
	switch tag := le.Uint32(p); tag {
	case 0xa000000c: // symbolic link
		names = 20
	case 0xa0000003: // mount point, junction
		names = 16
	case 0xa000001d: // WSL symbolic link: a version, then UTF-8
		e.Type = filesystem.TypeSymlink
		if len(p) >= 12 {
			e.Link = string(p[12:])
		}
	case 0x80000023:
		e.Type = filesystem.TypeSocket
	case 0x80000024:
		e.Type = filesystem.TypeFIFO
	case 0x80000025:
		e.Type = filesystem.TypeChar
	case 0x80000026:
		e.Type = filesystem.TypeBlock
	case 0x80000017:
		join(&e.Damage, "partial: Windows packed the content into the stream WofCompressedData; its own stream reads as zeros")
	case 0x80000013:
		join(&e.Damage, "partial: the content is deduplicated and kept in the chunk store; its own stream reads as zeros")
	default:
		if tag&0xffff0fff == 0x9000001a {
			join(&e.Damage, "partial: the content may be in the cloud and not here")
		} else {
			join(&e.Damage, "partial: a driver with the reparse tag 0x%08x gives the content", tag)
		}
	}
	if names == 0 {
		return
	}
	e.Type = filesystem.TypeSymlink
	if len(p) < names {
		join(&e.Damage, "range: the link has %d bytes", len(p))
		return
	}
	off, n := names+int(le.Uint16(p[8:])), int(le.Uint16(p[10:]))
	if off+n > len(p) {
		join(&e.Damage, "range: the target of the link leaves it")
		return
	}
	e.Link = utf8Of(p[off : off+n])
}

// interix reads the files by which Interix and ntfs-3g keep links and devices:
// system files that begin with a word.
func (fs *FS) interix(e *filesystem.Entry, s *stream) error {
	if s == nil || s.size < 8 || s.size > maxValue {
		return nil
	}
	c := fs.content(s)
	p := make([]byte, c.size)
	if _, err := c.ReadAt(p, 0); err != nil && !isEOF(err) {
		if isFormat(err) {
			return nil
		}
		return err
	}
	switch {
	case bytes.HasPrefix(p, []byte("IntxLNK\x01")):
		e.Type, e.Link = filesystem.TypeSymlink, utf8Of(p[8:])
	case bytes.HasPrefix(p, []byte("IntxCHR\x00")) && len(p) >= 24:
		e.Type, e.Rdev = filesystem.TypeChar, device(p)
	case bytes.HasPrefix(p, []byte("IntxBLK\x00")) && len(p) >= 24:
		e.Type, e.Rdev = filesystem.TypeBlock, device(p)
	}
	return nil
}

// device packs major and minor number as the kernel does.
func device(p []byte) uint32 {
	major, minor := uint32(le.Uint64(p[8:])), uint32(le.Uint64(p[16:])) //nolint:gosec // 12 and 20 bits
	return minor&0xff | major&0xfff<<8 | minor&^0xff<<12
}

func recordName(n uint64) string { return fmt.Sprintf("/$Orphan/#%d", n) }
