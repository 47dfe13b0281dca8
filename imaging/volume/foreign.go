package volume

import (
	"bytes"
	"encoding/binary"

	"snapcase/imaging"
)

// foreignTable names a partition table of another kind, "" when there is none.
func foreignTable(src imaging.Source) string {
	p, err := read(src, 0, 8192+512)
	if err != nil || len(p) < 512 {
		return ""
	}
	be := binary.BigEndian
	has := func(off int, s string) bool { return off < len(p) && bytes.HasPrefix(p[off:], []byte(s)) }
	switch {
	case has(0, "ER") && (has(512, "PM\x00\x00") || has(2048, "PM\x00\x00") || has(4096, "PM\x00\x00")):
		return "Apple"
	case be.Uint16(p[508:]) == 0xdabe && sunSum(p[:512]) == 0:
		return "Sun"
	case be.Uint32(p) == 0x0be5a941:
		return "SGI"
	case has(512, "WEV\x82") || has(64, "WEV\x82"):
		return "BSD"
	case has(1024, "\xd3\xd5\xe7\xf1") || has(8192, "\xd3\xd5\xe7\xf1") || has(4096, "\xd3\xd5\xe7\xf1"):
		return "DASD"
	}
	return ""
}

// sunSum is zero where the label is whole.
func sunSum(p []byte) uint16 {
	var x uint16
	for i := 0; i < len(p); i += 2 {
		x ^= binary.BigEndian.Uint16(p[i:])
	}
	return x
}
