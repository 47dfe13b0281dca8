package filesystem

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Attributer is the optional view of extended attributes.
type Attributer interface {
	// Attributes gives the extended attributes of the inode that ref names,
	// sorted by name. damage says what could not be read; an error is a failure
	// of the source, or a ref that names nothing.
	Attributes(ref Ref) (list []Attribute, damage string, err error)
}

// MaxAttributes bounds how many attributes of one inode are given, and
// MaxAttribute how many bytes of one value: the kernel's own bound.
const (
	MaxAttributes = 1 << 16
	MaxAttribute  = 64 << 10
)

// Attribute is one extended attribute as listxattr(2) and getxattr(2) give it:
// the name with its namespace in front, the value's bytes. Access control lists
// have the kernel's form whatever the volume's.
type Attribute struct {
	Name   string // raw bytes
	Value  []byte
	Damage string // "" or why the value is not whole
}

// Names that mean the same on every file system.
const (
	ACLAccess  = "system.posix_acl_access"
	ACLDefault = "system.posix_acl_default"
	Capability = "security.capability"
)

// SortAttributes puts attributes in the order of their names.
func SortAttributes(list []Attribute) {
	slices.SortStableFunc(list, func(a, b Attribute) int { return cmp.Compare(a.Name, b.Name) })
}

// ACLEntry is a line of an access control list: tag, permission bits, and the
// user or group that it is about, all ones where it is about none.
type ACLEntry struct {
	Tag, Perm uint16
	ID        uint32
}

// NoID is the ID of entries that name nobody.
const NoID = ^uint32(0)

// ACLValue is the kernel's form of a list: version 2, then 8 bytes a line, all
// little-endian.
func ACLValue(entries []ACLEntry) []byte {
	p := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		p = binary.LittleEndian.AppendUint16(p, e.Tag)
		p = binary.LittleEndian.AppendUint16(p, e.Perm)
		p = binary.LittleEndian.AppendUint32(p, e.ID)
	}
	return p
}

// Text is the meaning of an attribute whose value is no text: a list as
// getfacl(1) writes it in short form, capabilities as getcap(8) does; "" for
// others and for values that make no sense.
func (a Attribute) Text() string {
	switch a.Name {
	case ACLAccess, ACLDefault:
		return aclText(a.Value)
	case Capability:
		return capText(a.Value)
	}
	return ""
}

func aclText(p []byte) string {
	le := binary.LittleEndian
	if len(p) < 4 || le.Uint32(p) != 2 || len(p)%8 != 4 {
		return ""
	}
	tags := map[uint16]string{1: "user:", 2: "user:", 4: "group:", 8: "group:", 16: "mask:", 32: "other:"}
	var lines []string
	for p = p[4:]; len(p) > 0; p = p[8:] {
		tag, perm, id := le.Uint16(p), le.Uint16(p[2:]), le.Uint32(p[4:])
		name, known := tags[tag]
		if !known {
			return ""
		}
		if tag == 2 || tag == 8 {
			name += fmt.Sprint(id)
		}
		bits := []byte("rwx")
		for i := range bits {
			if perm&(4>>i) == 0 {
				bits[i] = '-'
			}
		}
		lines = append(lines, name+":"+string(bits))
	}
	return strings.Join(lines, ",")
}

// capNames are the capabilities of Linux by their number (capability.h).
const capNames = "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable " +
	"net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace " +
	"sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control " +
	"setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"

// capText reads struct vfs_cap_data, versions 1 to 3: permitted and inheritable
// sets, one flag for effective, in version 3 the user that is root there.
func capText(p []byte) string {
	le := binary.LittleEndian
	if len(p) < 4 {
		return ""
	}
	magic := le.Uint32(p)
	words, ok := map[uint32]int{0x01000000: 1, 0x02000000: 2, 0x03000000: 2}[magic&0xff000000]
	root := magic&0xff000000 == 0x03000000
	if want := 4 + 8*words; !ok || len(p) != want && !root || root && len(p) != want+4 {
		return ""
	}
	var permitted, inheritable uint64
	for i := range words {
		permitted |= uint64(le.Uint32(p[4+8*i:])) << (32 * i)
		inheritable |= uint64(le.Uint32(p[8+8*i:])) << (32 * i)
	}
	names := strings.Fields(capNames)
	sets := map[string][]string{}
	for i := range 64 {
		flags := ""
		if permitted>>i&1 != 0 {
			flags = "p"
		}
		if inheritable>>i&1 != 0 {
			flags = "i" + flags
		}
		if flags == "" {
			continue
		}
		if magic&1 != 0 {
			flags = "e" + flags
		}
		name := fmt.Sprint(i)
		if i < len(names) {
			name = "cap_" + names[i]
		}
		sets[flags] = append(sets[flags], name)
	}
	var parts []string
	for _, flags := range []string{"p", "i", "ip", "ep", "ei", "eip"} {
		if len(sets[flags]) > 0 {
			parts = append(parts, strings.Join(sets[flags], ",")+"="+flags)
		}
	}
	if root && le.Uint32(p[len(p)-4:]) != 0 {
		parts = append(parts, fmt.Sprintf("[rootid=%d]", le.Uint32(p[len(p)-4:])))
	}
	return strings.Join(parts, " ")
}
