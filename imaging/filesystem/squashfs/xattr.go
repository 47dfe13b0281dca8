package squashfs

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// setsMost is how many sets of extended attributes are looked at for their
	// names, and namesMost how many names are kept.
	setsMost  = 4096
	namesMost = 64
	outOfLine = 0x100 // of the type: the value stands elsewhere
)

// countXattrs tells which extended attributes files have. A set may belong to
// several files.
func (fs *FS) countXattrs() error {
	if fs.sb.xattrTable == noTable {
		return nil
	}
	head := make([]byte, 16)
	n, err := readAll(fs.src, head, int64(min(fs.sb.xattrTable, 1<<62)))
	if err != nil || n < len(head) {
		return err
	}
	table, sets := le.Uint64(head), le.Uint32(head[8:])
	names := map[string]int{}
	for i := range min(sets, setsMost) {
		if err := fs.xattrSet(table, i, names); err != nil {
			if !isDamage(err) {
				return err
			}
			fs.note("the extended attributes are damaged: %v", err)
			break
		}
	}
	list := make([]string, 0, len(names))
	for name, n := range names {
		list = append(list, fmt.Sprintf("%q in %d", name, n))
	}
	slices.Sort(list)
	fs.info.Features = append(fs.info.Features, fmt.Sprintf("%d sets of extended attributes: %s", sets, strings.Join(list, ", ")))
	return nil
}

// xattrSet counts the names of one set: entries of type, length of the name,
// name, length of the value, value.
func (fs *FS) xattrSet(table uint64, i uint32, names map[string]int) error {
	b := make([]byte, 16)
	if err := fs.tableEntry(fs.sb.xattrTable+16, uint64(i), b); err != nil {
		return err
	}
	ref, count := le.Uint64(b), le.Uint32(b[8:])
	c := fs.cursor(table, fs.sb.xattrTable, ref>>16, int(ref&0xffff))
	for range min(count, namesMost) {
		if err := c.read(b[:4]); err != nil {
			return err
		}
		kind, size := le.Uint16(b), le.Uint16(b[2:])
		if size > 255 {
			return bad(c.at, "the name of an attribute has %d bytes", size)
		}
		name := make([]byte, size)
		if err := c.read(name); err != nil {
			return err
		}
		if full := xattrPrefix(kind) + string(name); names[full] > 0 || len(names) < namesMost {
			names[full]++
		}
		if err := c.read(b[:4]); err != nil {
			return err
		}
		value := le.Uint32(b)
		if value > 1<<16 || kind&outOfLine != 0 && value != 8 {
			return bad(c.at, "the value of an attribute has %d bytes", value)
		}
		if err := c.read(make([]byte, value)); err != nil {
			return err
		}
	}
	return nil
}

func xattrPrefix(kind uint16) string {
	switch kind & 0xff {
	case 0:
		return "user."
	case 1:
		return "trusted."
	case 2:
		return "security."
	}
	return fmt.Sprintf("(%d).", kind&0xff)
}
