package xfs

import (
	"fmt"

	"snapcase/imaging/filesystem"
)

// Flags of an attribute: where its value stands, its namespace, and that the
// kernel had not finished writing it.
const (
	attrLocal      = 0x01
	attrRoot       = 0x02
	attrSecure     = 0x04
	attrParent     = 0x08
	attrIncomplete = 0x80
)

// Magic numbers of the blocks of an attribute fork: version 4, version 5.
const (
	magicAttrLeaf  = 0xfbee
	magicAttrLeaf5 = 0x3bee
	magicAttrNode  = 0xfebe
	magicAttrNode5 = 0x3ebe
	magicAttrValue = 0x5841524d // XARM
	valueHeader    = 56
)

// maxAttrBlocks bounds how many blocks of one attribute fork are read.
const maxAttrBlocks = 1 << 16

// attrReader collects the attributes of one inode.
type attrReader struct {
	fs     *FS
	tree   blockMap
	list   []filesystem.Attribute
	damage string
	read   int
}

func (r *attrReader) note(format string, args ...any) {
	if r.damage == "" {
		r.damage = fmt.Sprintf(format, args...)
	}
}

// Attributes gives the attributes in any form: in the inode, in a leaf, in a
// tree, values in blocks of their own. Access control lists are given under the
// kernel's names; "parent." and what names a directory are parent pointers,
// which the kernel hides.
func (fs *FS) Attributes(ref filesystem.Ref) ([]filesystem.Attribute, string, error) {
	in, err := fs.inodeOf(ref)
	if err != nil {
		return nil, "", fmt.Errorf("attributes of inode %d: %w", ref.Inode, err)
	}
	r := &attrReader{fs: fs}
	if in[82] != 0 && in.split() < len(in) && in.live() {
		if in[83] == formatLocal {
			r.short(in.attr())
		} else if err := r.fork(ref.Inode, in); err != nil {
			return nil, "", fmt.Errorf("attributes of inode %d: %w", ref.Inode, err)
		}
	}
	filesystem.SortAttributes(r.list)
	return r.list, r.damage, nil
}

// short reads the form in the inode: size and count, then of each attribute
// the lengths of name and value, the flags, name, value.
func (r *attrReader) short(p []byte) {
	if len(p) < 4 || be.Uint16(p) < 4 || int(be.Uint16(p)) > len(p) {
		r.note("range: the attributes in the inode leave it")
		return
	}
	count := int(p[2])
	for p = p[4:be.Uint16(p)]; count > 0; count-- {
		if len(p) < 3 || 3+int(p[0])+int(p[1]) > len(p) {
			r.note("range: the attributes in the inode end too early")
			return
		}
		name, end := p[3:3+int(p[0])], 3+int(p[0])+int(p[1])
		r.add(p[2], name, p[3+len(name):end], "")
		p = p[end:]
	}
}

// add keeps an attribute under the name that the kernel gives it.
func (r *attrReader) add(flags uint8, name, value []byte, damage string) {
	a := filesystem.Attribute{Name: "user." + string(name), Value: append([]byte(nil), value...), Damage: damage}
	switch {
	case flags&attrParent != 0:
		a.Name = "parent." + string(name)
	case flags&attrRoot != 0:
		a.Name = "trusted." + string(name)
	case flags&attrSecure != 0:
		a.Name = "security." + string(name)
	}
	if flags&attrIncomplete != 0 && damage == "" {
		a.Damage = "partial: the kernel had not finished this attribute"
	}
	if kernel := map[string]string{"trusted.SGI_ACL_FILE": filesystem.ACLAccess, "trusted.SGI_ACL_DEFAULT": filesystem.ACLDefault}[a.Name]; kernel != "" && a.Damage == "" {
		if list, ok := storedACL(value); ok {
			a.Name, a.Value = kernel, filesystem.ACLValue(list)
		}
	}
	r.list = append(r.list, a)
}

// storedACL reads a list as the volume has it: a count, then for each line tag,
// id, permissions and two bytes of nothing.
func storedACL(p []byte) (list []filesystem.ACLEntry, ok bool) {
	if len(p) < 4 || uint64(be.Uint32(p))*12 != uint64(len(p)-4) {
		return nil, false
	}
	for p = p[4:]; len(p) > 0; p = p[12:] {
		e := filesystem.ACLEntry{Tag: uint16(be.Uint32(p)), Perm: be.Uint16(p[8:]), ID: be.Uint32(p[4:])}
		if e.Tag != 2 && e.Tag != 8 {
			e.ID = filesystem.NoID
		}
		list = append(list, e)
	}
	return list, true
}

// fork reads the leaves: down the left side of the tree, then from each leaf to
// the next. Blocks of values are never taken for leaves, whatever they hold.
func (r *attrReader) fork(ino uint64, in inode) error {
	r.tree = blockMap{fs: r.fs, spend: r.fs.newBudget()}
	if err := r.tree.loadAttr(ino, in); err != nil {
		return err
	}
	if r.tree.damage != "" {
		r.note("%s", r.tree.damage)
	}
	if len(r.tree.runs) == 0 {
		return nil // a fork without attributes, as the kernel leaves one
	}
	p := make([]byte, r.fs.sb.blockSize)
	seen := map[uint32]bool{}
	for at := uint32(0); ; {
		if seen[at] {
			r.note("loop: block %d of the attributes comes twice", at)
			return nil
		}
		seen[at] = true
		ok, err := r.block(p, uint64(at))
		if err != nil || !ok {
			return err
		}
		var next uint32
		switch magic := be.Uint16(p[8:]); magic {
		case magicAttrNode, magicAttrNode5:
			next = nodeFirst(p, magic == magicAttrNode5)
		case magicAttrLeaf, magicAttrLeaf5:
			if err := r.leaf(p, magic == magicAttrLeaf5); err != nil {
				return err
			}
			next = be.Uint32(p)
		default:
			r.note("range: block %d of the attributes is none", at)
			return nil
		}
		if next == 0 {
			return nil
		}
		at = next
	}
}

// nodeFirst is the first child of a node: pairs of a hash and a block behind
// a header of 16 or 64 bytes.
func nodeFirst(p []byte, v5 bool) uint32 {
	count, first := be.Uint16(p[12:]), 16
	if v5 {
		count, first = be.Uint16(p[56:]), 64
	}
	if count == 0 || first+8 > len(p) {
		return 0
	}
	return be.Uint32(p[first+4:])
}

// block reads a block of the fork.
func (r *attrReader) block(p []byte, at uint64) (bool, error) {
	if r.read++; r.read > maxAttrBlocks {
		r.note("range: more than %d blocks of attributes", maxAttrBlocks)
		return false, nil
	}
	for _, m := range r.tree.runs {
		if at >= m.at && at-m.at < uint64(m.n) {
			_, err := r.fs.read(p, int64(m.block()+at-m.at)*r.fs.sb.blockSize)
			return err == nil, err
		}
	}
	r.note("range: block %d of the attributes is not there", at)
	return false, nil
}

// leaf reads the entries of a leaf: a hash, where the name stands, flags.
func (r *attrReader) leaf(p []byte, v5 bool) error {
	count, first := int(be.Uint16(p[12:])), 32
	if v5 {
		count, first = int(be.Uint16(p[56:])), 80
	}
	if first+8*count > len(p) {
		r.note("range: a leaf of %d attributes has no room for them", count)
		count = (len(p) - first) / 8
	}
	for i := range count {
		if len(r.list) >= filesystem.MaxAttributes {
			r.note("range: more than %d attributes", filesystem.MaxAttributes)
			return nil
		}
		e := p[first+8*i:]
		at, flags := int(be.Uint16(e[4:])), e[6]
		if flags&attrLocal != 0 {
			r.local(p, at, flags)
		} else if err := r.remote(p, at, flags); err != nil {
			return err
		}
	}
	return nil
}

func (r *attrReader) local(p []byte, at int, flags uint8) {
	if at+3 > len(p) || at+3+int(p[at+2])+int(be.Uint16(p[at:])) > len(p) {
		r.note("range: an attribute at byte %d leaves its block", at)
		return
	}
	value, name := int(be.Uint16(p[at:])), int(p[at+2])
	r.add(flags, p[at+3:at+3+name], p[at+3+name:at+3+name+value], "")
}

func (r *attrReader) remote(p []byte, at int, flags uint8) error {
	if at+9 > len(p) || at+9+int(p[at+8]) > len(p) {
		r.note("range: an attribute at byte %d leaves its block", at)
		return nil
	}
	block, size := be.Uint32(p[at:]), int(be.Uint32(p[at+4:]))
	name := append([]byte(nil), p[at+9:at+9+int(p[at+8])]...)
	if size > filesystem.MaxAttribute || size < 0 {
		r.add(flags, name, nil, fmt.Sprintf("range: the value has %d bytes, at most %d can be", uint32(size), filesystem.MaxAttribute))
		return nil
	}
	value, damage, err := r.value(uint64(block), size)
	if err != nil {
		return err
	}
	r.add(flags, name, value, damage)
	return nil
}

// value reads a value from blocks of its own, which in version 5 have a header.
func (r *attrReader) value(block uint64, size int) (value []byte, damage string, err error) {
	p := make([]byte, r.fs.sb.blockSize)
	for ; len(value) < size; block++ {
		ok, err := r.block(p, block)
		if err != nil {
			return nil, "", err
		}
		if !ok {
			return value, fmt.Sprintf("truncated: %d bytes of the value's %d", len(value), size), nil
		}
		part := p
		if r.fs.sb.crc() {
			if be.Uint32(p) != magicAttrValue || int64(be.Uint32(p[4:])) != int64(len(value)) {
				return value, fmt.Sprintf("truncated: %d bytes of the value's %d", len(value), size), nil
			}
			part = p[valueHeader:]
		}
		value = append(value, part[:min(len(part), size-len(value))]...)
	}
	return value, "", nil
}
