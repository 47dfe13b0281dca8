package iso9660

import (
	"fmt"
	"strconv"

	"snapcase/imaging/filesystem"
)

// bootRef, plus a number, is the generation of the boot images that no tree
// has.
const bootRef = 1 << 31

// bootMost is how many entries of a boot catalog are read.
const bootMost = 60

// bootImage is the catalog, or what it names, in bytes. length is what a machine
// loads, which may be less than the image has.
type bootImage struct{ at, length int64 }

// loadBoot reads the catalog of El Torito: an entry of 32 bytes that checks it,
// the default one, then sections of more.
func (fs *FS) loadBoot(set volumeSet) error {
	if set.bootCatalog == 0 {
		return nil
	}
	b := make([]byte, sector)
	n, err := readZero(fs.src, b, set.bootCatalog*sector)
	if err != nil {
		return err
	}
	if n < sector || b[0] != 1 || b[30] != 0x55 || b[31] != 0xaa {
		fs.note("the boot catalog at block %d makes no sense", set.bootCatalog)
		return nil
	}
	fs.boot = append(fs.boot, bootImage{set.bootCatalog * sector, sector})
	platform := b[1]
	for i := 1; i < bootMost; i++ {
		e := b[32*i:][:32]
		switch e[0] {
		case 0x90, 0x91: // the head of a section
			platform = e[1]
			continue
		case 0x44: // more of the entry before
			continue
		case 0x88:
		case 0:
			if le.Uint32(e[8:]) == 0 {
				return nil
			}
		default:
			fs.note("entry %d of the boot catalog makes no sense: the rest of it is not read", i)
			return nil
		}
		at, sectors := int64(le.Uint32(e[8:]))*sector, int64(le.Uint16(e[6:]))
		fs.info.Features = append(fs.info.Features, fmt.Sprintf("El Torito: %s, %s, %s, %d sectors of 512 bytes at byte %d",
			platformName(platform), bootable(e[0]), media(e[1]), sectors, at))
		fs.boot = append(fs.boot, bootImage{at, sectors * 512})
	}
	return nil
}

func bootable(b byte) string {
	if b == 0x88 {
		return "bootable"
	}
	return "not bootable"
}

func platformName(b byte) string {
	switch b {
	case 0:
		return "x86"
	case 1:
		return "PowerPC"
	case 2:
		return "Mac"
	case 0xef:
		return "EFI"
	}
	return fmt.Sprintf("platform %d", b)
}

func media(b byte) string {
	switch b & 15 {
	case 0:
		return "no emulation"
	case 1, 2, 3:
		return "floppy emulation"
	case 4:
		return "hard disk emulation"
	}
	return fmt.Sprintf("media %d", b&15)
}

// hidden gives the boot images that start where no file does: nothing else
// would show them.
func (w *walker) hidden() error {
	for i, b := range w.fs.boot {
		if i == 0 || b.at < firstDescriptor || b.length == 0 || w.starts[b.at] {
			continue
		}
		w.starts[b.at] = true
		e := filesystem.Entry{
			Ref: filesystem.Ref{Inode: uint64(b.at), Generation: bootRef + uint32(i)}, Path: "/$Orphan/#" + strconv.FormatInt(b.at, 10),
			Type: filesystem.TypeFile, Mode: 0o100555, Size: b.length, Status: filesystem.Orphan, From: "boot-catalog", First: b.at,
		}
		n := &node{kind: filesystem.TypeFile, runs: []piece{{0, b.at, b.length}}, size: b.length}
		if rest := b.at + b.length - w.fs.src.Size(); rest > 0 {
			e.Damage = fmt.Sprintf("truncated: %d of its bytes lie past the end of the image", min(rest, b.length))
			e.First = -1
		}
		if err := w.give(e, n); err != nil {
			return err
		}
	}
	return nil
}
