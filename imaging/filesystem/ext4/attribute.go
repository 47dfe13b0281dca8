package ext4

import (
	"errors"
	"fmt"
	"io"

	"snapcase/imaging/filesystem"
)

const (
	magicAttr     = 0xea020000
	attrHeader    = 32 // bytes before the entries of a block
	attrEntry     = 16 // bytes of an entry before its name
	indexSystem   = 7
	indexEncrypt  = 9
	indexACL      = 2
	indexACLOther = 3
)

// attrPrefix is the namespace of an attribute by its number.
var attrPrefix = map[byte]string{
	0: "", 1: "user.", indexACL: filesystem.ACLAccess, indexACLOther: filesystem.ACLDefault, 4: "trusted.",
	6: "security.", indexSystem: "system.", 8: "system.richacl", indexEncrypt: "encryption.", 10: "hurd.",
}

// attrReader collects the attributes of one inode.
type attrReader struct {
	fs     *FS
	list   []filesystem.Attribute
	damage string
}

func (r *attrReader) note(format string, args ...any) {
	if r.damage == "" {
		r.damage = fmt.Sprintf(format, args...)
	}
}

// Attributes gives what stands behind the inode's fields, then what stands in
// its attribute block. Values of their own inodes (ea_inode) are read from
// there. system.data is content, not an attribute, and not given; the context
// of an encrypted file is, as "encryption.c", though the kernel hides it.
func (fs *FS) Attributes(ref filesystem.Ref) ([]filesystem.Attribute, string, error) {
	in, err := fs.inodeOf(ref)
	if err != nil {
		return nil, "", fmt.Errorf("attributes of inode %d: %w", ref.Inode, err)
	}
	r := &attrReader{fs: fs}
	start := 128 + in.extraSize()
	if in.extraSize() != 0 && start+4 <= len(in) && le.Uint32(in[start:]) == magicAttr {
		if err := r.entries(in[start+4:], 0); err != nil {
			return nil, "", fmt.Errorf("attributes of inode %d: %w", ref.Inode, err)
		}
	}
	if err := r.block(in.acl()); err != nil {
		return nil, "", fmt.Errorf("attributes of inode %d: %w", ref.Inode, err)
	}
	filesystem.SortAttributes(r.list)
	return r.list, r.damage, nil
}

func (r *attrReader) block(b uint64) error {
	switch {
	case b == 0:
		return nil
	case !r.fs.inVolume(b, 1):
		r.note("range: the attribute block %d lies outside the volume", b)
		return nil
	}
	p := make([]byte, r.fs.sb.blockSize)
	if _, err := r.fs.read(p, int64(b)*r.fs.sb.blockSize); err != nil {
		return err
	}
	if le.Uint32(p) != magicAttr {
		r.note("range: block %d holds no attributes", b)
		return nil
	}
	return r.entries(p, attrHeader)
}

// entries reads entries from p[at:]; values stand at their offset in p.
func (r *attrReader) entries(p []byte, at int) error {
	for at+4 <= len(p) && le.Uint32(p[at:]) != 0 {
		if at+attrEntry > len(p) || at+attrEntry+int(p[at]) > len(p) {
			r.note("range: an entry at byte %d leaves the place of the attributes", at)
			return nil
		}
		if len(r.list) >= filesystem.MaxAttributes {
			r.note("range: more than %d attributes", filesystem.MaxAttributes)
			return nil
		}
		e := p[at:]
		end := at + attrEntry + int(e[0])
		name := string(p[at+attrEntry : end])
		at = (end + 3) &^ 3
		if e[1] == indexSystem && name == "data" {
			continue
		}
		prefix, known := attrPrefix[e[1]]
		if !known {
			prefix = fmt.Sprintf("%d.", e[1])
		}
		a := filesystem.Attribute{Name: prefix + name}
		if err := r.value(&a, p, int64(le.Uint16(e[2:])), le.Uint32(e[4:]), int64(le.Uint32(e[8:]))); err != nil {
			return err
		}
		if a.Damage == "" && (e[1] == indexACL || e[1] == indexACLOther) {
			if list, ok := storedACL(a.Value); ok {
				a.Value = filesystem.ACLValue(list)
			} else {
				a.Damage = "range: the access control list makes no sense; its bytes are given as stored"
			}
		}
		r.list = append(r.list, a)
	}
	return nil
}

// value reads what an entry points to: size bytes at off of p, or the content
// of the inode ino.
func (r *attrReader) value(a *filesystem.Attribute, p []byte, off int64, ino uint32, size int64) error {
	switch {
	case size > filesystem.MaxAttribute:
		a.Damage = fmt.Sprintf("range: the value has %d bytes, at most %d can be", size, filesystem.MaxAttribute)
		return nil
	case ino != 0:
		return r.inode(a, ino, size)
	case size > 0 && off+size > int64(len(p)):
		a.Damage = fmt.Sprintf("range: the value of %d bytes at %d leaves the place of the attributes", size, off)
		return nil
	case size > 0:
		a.Value = append([]byte(nil), p[off:off+size]...)
	}
	return nil
}

// inode reads a value that has an inode of its own.
func (r *attrReader) inode(a *filesystem.Attribute, ino uint32, size int64) error {
	in, ok, err := namedInode(r.fs, ino)
	if err != nil {
		return err
	}
	if !ok || in.flags()&flagEAInode == 0 {
		a.Damage = fmt.Sprintf("range: inode %d holds no value of an attribute", ino)
		return nil
	}
	c, err := r.fs.content(ino, in)
	if err != nil {
		return err
	}
	a.Damage = c.Damage()
	a.Value = make([]byte, size)
	n, err := c.ReadAt(a.Value, 0)
	if errors.Is(err, io.EOF) || err == nil {
		if a.Value = a.Value[:n]; int64(n) < size && a.Damage == "" {
			a.Damage = fmt.Sprintf("truncated: inode %d has %d bytes of the value's %d", ino, n, size)
		}
		return nil
	}
	return err
}

// namedInode reads an inode whose number the volume gave.
func namedInode(fs *FS, ino uint32) (inode, bool, error) {
	if ino == 0 || uint64(ino) > uint64(fs.sb.maxInode()) {
		return nil, false, nil
	}
	return fs.readInode(ino)
}

// storedACL reads a list as the volume has it: version 1, then 4 bytes a line,
// 8 where the line names a user or a group.
func storedACL(p []byte) (list []filesystem.ACLEntry, ok bool) {
	if len(p) < 4 || le.Uint32(p) != 1 {
		return nil, false
	}
	for p = p[4:]; len(p) >= 4; {
		e := filesystem.ACLEntry{Tag: le.Uint16(p), Perm: le.Uint16(p[2:]), ID: filesystem.NoID}
		p = p[4:]
		if e.Tag == 2 || e.Tag == 8 {
			if len(p) < 4 {
				return nil, false
			}
			e.ID = le.Uint32(p)
			p = p[4:]
		}
		list = append(list, e)
	}
	return list, len(p) == 0
}
