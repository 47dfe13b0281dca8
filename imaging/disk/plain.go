package disk

import (
	"fmt"
	"strconv"
)

// plain is a format that is known by bytes at a fixed place. The places of the
// other fields are in bytes from the magic; 0 says that there is none, since
// the magic itself stands there.
type plain struct {
	kind      string
	magic     string
	at        []int64
	uuid      int64 // 16 bytes
	uuidText  int64 // as text, up to 36 bytes
	label     int64
	labelSize int64
	container bool
	version   func(p *probe, at int64) string // at is where the magic stands
}

// dec16 and the others read a number at an offset from the magic as text.
func dec16(off int64) func(*probe, int64) string {
	return func(p *probe, at int64) string {
		if b := p.at(at+off, 2); b != nil {
			return strconv.Itoa(int(le.Uint16(b)))
		}
		return ""
	}
}

func dec32(off int64) func(*probe, int64) string {
	return func(p *probe, at int64) string {
		if b := p.at(at+off, 4); b != nil {
			return strconv.FormatUint(uint64(le.Uint32(b)), 10)
		}
		return ""
	}
}

// pair16 is two numbers of 16 bits with a dot between.
func pair16(off int64) func(*probe, int64) string {
	return func(p *probe, at int64) string {
		if b := p.at(at+off, 4); b != nil {
			return fmt.Sprintf("%d.%d", le.Uint16(b), le.Uint16(b[2:]))
		}
		return ""
	}
}

func word(s string) func(*probe, int64) string { return func(*probe, int64) string { return s } }

func bcachefsVersion(p *probe, at int64) string {
	b := p.at(at-8, 2)
	if b == nil {
		return ""
	}
	v := le.Uint16(b)
	return fmt.Sprintf("%d.%d", v>>10, v&0x3ff)
}

func cramfsVersion(p *probe, at int64) string {
	if b := p.at(at, 12); b != nil && (b[0] == 0x45 && b[8]&1 != 0 || b[0] == 0x28 && b[11]&1 != 0) {
		return "2"
	}
	return "1"
}

// containers are the plain formats in which the bytes of volumes lie.
func containers() []plain {
	return []plain{
		{kind: "cs_fvault2", magic: "CS", at: []int64{88}, uuid: 216, container: true, version: dec16(-80)},
		{kind: "bcachefs", magic: bcachefsMagic, at: []int64{4096 + 24}, uuid: 32, label: 48, labelSize: 32, version: bcachefsVersion},
		{kind: "mpool", magic: "mpoolDev", uuid: 40, label: 8, labelSize: 32, at: []int64{0}},
		{kind: "stratis", magic: "!Stra0tis\x86\xff\x02^\x41rh", at: []int64{516, 4612}, container: true},
		{kind: "vdo", magic: "dmvdo001", at: []int64{0}, uuid: 40, container: true},
		{kind: "ceph_bluestore", magic: "bluestore block device\n", at: []int64{0}, uuidText: 23},
		{kind: "DM_verity_hash", magic: "verity\x00\x00", at: []int64{0}, uuid: 16, version: dec32(8)},
		{kind: "DM_integrity", magic: "integrt\x00", at: []int64{0}},
		{kind: "DM_snapshot_cow", magic: "SnAp", at: []int64{0}, version: dec32(8)},
		{kind: "oracleasm", magic: "ORCLDISK", at: []int64{32}, label: 8, labelSize: 24},
		{kind: "drbdmanage_control_volume", magic: "$DRBDmgr=q", at: []int64{0}, uuidText: 11},
		{kind: "drbdproxy_datalog", magic: "DRBDdlh*", at: []int64{16}, uuid: 8},
		{kind: "hpt37x_raid_member", magic: "\xf0\x16\x78\x5a", at: []int64{4640}},
		{kind: "hpt37x_raid_member", magic: "\xfd\x16\x78\x5a", at: []int64{4640}},
		{kind: "ubi", magic: "UBI#", at: []int64{0}},
	}
}

// fileSystems are the plain formats with files in them.
func fileSystems() []plain {
	return []plain{
		{kind: "btrfs", magic: "_BHRfS_M", at: []int64{0x10040}, uuid: -0x20, label: 0xeb, labelSize: 256},
		{kind: "jfs", magic: "JFS1", at: []int64{32768}, uuid: 136, label: 152, labelSize: 16, version: dec32(4)},
		{kind: "reiserfs", magic: "ReIsErFs", at: []int64{8192 + 52, 65536 + 52}, version: word("3.5")},
		{kind: "reiserfs", magic: "ReIsEr2Fs", at: []int64{8192 + 52, 65536 + 52}, uuid: 32, label: 48, labelSize: 16, version: word("3.6")},
		{kind: "reiserfs", magic: "ReIsEr3Fs", at: []int64{8192 + 52, 65536 + 52}, uuid: 32, label: 48, labelSize: 16, version: word("JR")},
		{kind: "reiser4", magic: "ReIsEr4", at: []int64{65536}, uuid: 20, label: 36, labelSize: 16, version: word("4")},
		{kind: "squashfs", magic: "hsqs", at: []int64{0}, version: pair16(28)},
		{kind: "squashfs", magic: "sqsh", at: []int64{0}, version: pair16(28)},
		{kind: "cramfs", magic: "\x45\x3d\xcd\x28", at: []int64{0}, label: 48, labelSize: 16, version: cramfsVersion},
		{kind: "cramfs", magic: "\x28\xcd\x3d\x45", at: []int64{0}, label: 48, labelSize: 16, version: cramfsVersion},
		{kind: "erofs", magic: "\xe2\xe1\xf5\xe0", at: []int64{1024}, uuid: 48, label: 64, labelSize: 16},
		{kind: "romfs", magic: "-rom1fs-", at: []int64{0}, label: 16, labelSize: 16},
		{kind: "apfs", magic: "NXSB", at: []int64{32}, uuid: 40},
		{kind: "ocfs2", magic: "OCFSV2", at: []int64{1024, 2048, 4096, 8192}, uuid: 336, label: 272, labelSize: 64},
		{kind: "zonefs", magic: "SFOZ", at: []int64{0}, uuid: 72, label: 8, labelSize: 64},
		{kind: "VMFS", magic: "\x5e\xf1\xab\x2f", at: []int64{2 << 20}, label: 29, labelSize: 128},
		{kind: "vxfs", magic: "\xf5\xfc\x01\xa5", at: []int64{1024}, version: dec32(4)},
		{kind: "vxfs", magic: "\xa5\x01\xfc\xf5", at: []int64{8192}},
		{kind: "nss", magic: "SPB5", at: []int64{4096}, version: pair16(4)},
		{kind: "bfs", magic: "\xce\xfa\xad\x1b", at: []int64{0}},
		{kind: "ReFS", magic: "ReFS", at: []int64{3}},
	}
}

const (
	bcacheMagic   = "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"
	bcachefsMagic = "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"
)

// find looks for one plain format.
func (f plain) find(p *probe) (Signature, bool) {
	for _, at := range f.at {
		if !p.has(at, f.magic) {
			continue
		}
		s := Signature{Type: f.kind, Offset: at, container: f.container}
		if f.uuid != 0 {
			s.UUID = uuid(p.at(at+f.uuid, 16))
		}
		if f.uuidText != 0 {
			for n := 36; n >= 32 && s.UUID == ""; n -= 4 {
				s.UUID = hexText(p.at(at+f.uuidText, n))
			}
		}
		if f.label != 0 {
			s.Label = padded(p.at(at+f.label, int(f.labelSize)))
		}
		if f.version != nil {
			s.Version = f.version(p, at)
		}
		return s, true
	}
	return Signature{}, false
}

// hexText is b where it has nothing but hexadecimal digits and dashes.
func hexText(b []byte) string {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') && c != '-' {
			return ""
		}
	}
	return string(b)
}
