package fat

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

var le = binary.LittleEndian

const bootSize = 512

// geometry is what the boot sector says, in bytes from the start of the
// volume.
type geometry struct {
	raw         []byte
	at          int64 // of the boot sector that is used
	kind        int   // bits of a FAT entry: 12, 16, 32
	sector      int64
	cluster     int64
	fatStart    int64 // of the first copy
	fatBytes    int64 // of one copy
	fats        int64
	active      int64 // number of the copy that is followed
	mirrored    bool
	rootStart   int64 // FAT12 and FAT16
	rootBytes   int64
	rootCluster uint32 // FAT32
	data        int64  // of cluster 2
	base        int64  // from where records are numbered
	clusters    uint32 // they have the numbers 2 to clusters+1
	size        int64  // of the volume, as it says
	notes       []string
}

// parseBoot reads a boot sector and says why it cannot be one.
func parseBoot(p []byte, at int64) (geometry, string) {
	if len(p) < bootSize {
		return geometry{}, "the volume is shorter than a boot sector"
	}
	g := geometry{raw: p, at: at, sector: int64(le.Uint16(p[11:])), fats: int64(p[16]), mirrored: true}
	per, reserved, roots := int64(p[13]), int64(le.Uint16(p[14:])), int64(le.Uint16(p[17:]))
	switch {
	case g.sector < 512 || g.sector > 4096 || bits.OnesCount64(uint64(g.sector)) != 1:
		return g, fmt.Sprintf("sectors of %d bytes", g.sector)
	case bits.OnesCount64(uint64(per)) != 1:
		return g, fmt.Sprintf("clusters of %d sectors", per)
	case reserved == 0:
		return g, "no reserved sector"
	case g.fats == 0 || g.fats > 4:
		return g, fmt.Sprintf("%d copies of the FAT", g.fats)
	case p[21] != 0xf0 && p[21] < 0xf8:
		return g, fmt.Sprintf("media byte 0x%02x", p[21])
	case !bytes.Equal(p[510:512], []byte{0x55, 0xaa}) && !bytes.HasPrefix(p[54:], []byte("FAT")) && !bytes.HasPrefix(p[82:], []byte("FAT")):
		return g, "neither the signature 55 AA nor the word FAT"
	}
	length, total := int64(le.Uint16(p[22:])), int64(le.Uint16(p[19:]))
	if total == 0 {
		total = int64(le.Uint32(p[32:]))
	}
	wide := length == 0
	if wide {
		length = int64(le.Uint32(p[36:]))
	}
	if length == 0 || total == 0 {
		return g, fmt.Sprintf("%d sectors, of which a FAT has %d", total, length)
	}
	g.cluster, g.size = per*g.sector, total*g.sector
	g.fatStart, g.fatBytes = reserved*g.sector, length*g.sector
	g.rootStart = g.fatStart + g.fats*g.fatBytes
	g.rootBytes = (roots*recordSize + g.sector - 1) / g.sector * g.sector
	g.data = g.rootStart + g.rootBytes
	return g, g.finish(wide)
}

// finish counts the clusters and decides how wide the entries of the FAT are.
func (g *geometry) finish(wide bool) string {
	if g.data >= g.size {
		return fmt.Sprintf("the volume has %d bytes, and its clusters start at byte %d", g.size, g.data)
	}
	count := (g.size - g.data) / g.cluster
	switch {
	case wide:
		g.kind = 32
	case count > 4084:
		g.kind = 16
	default:
		g.kind = 12
	}
	room := g.fatBytes*8/int64(g.kind) - 2
	top := int64(1)<<min(g.kind, 28) - 16 - 2 // what the numbers reach
	if most := min(room, top); count > most {
		g.notes = append(g.notes, fmt.Sprintf("the volume has room for %d clusters, the FAT for %d: the rest is out of reach", count, most))
		count = most
	}
	if count <= 0 {
		return "it has no cluster"
	}
	g.clusters = uint32(count)
	g.base = g.rootStart
	if !wide {
		if g.rootBytes == 0 {
			return "it has no root directory"
		}
		return ""
	}
	g.base = g.data
	g.rootCluster = le.Uint32(g.raw[44:]) & 0x0fffffff
	if flags := le.Uint16(g.raw[40:]); flags&0x80 != 0 {
		g.mirrored = false
		if a := int64(flags & 15); a < g.fats {
			g.active = a
		}
	}
	if g.rootBytes > 0 {
		g.notes = append(g.notes, fmt.Sprintf("the boot sector keeps room for a fixed root directory of %d bytes, which FAT32 does not have", g.rootBytes))
	}
	return ""
}

// end is where the last cluster ends.
func (g *geometry) end() int64 { return g.data + int64(g.clusters)*g.cluster }

// valid says whether c is the number of a cluster.
func (g *geometry) valid(c uint32) bool { return c >= 2 && c-2 < g.clusters }

// offset is where cluster c starts.
func (g *geometry) offset(c uint32) int64 { return g.data + int64(c-2)*g.cluster }

func readBoot(src imaging.Source, at int64) (geometry, string, error) {
	p := make([]byte, bootSize)
	n, err := readZero(src, p, at)
	if err != nil {
		return geometry{}, "", err
	}
	g, why := parseBoot(p[:n], at)
	return g, why, nil
}

// findBoot gives the boot sector, or the backup of FAT32 where it is bad.
func findBoot(src imaging.Source) (geometry, error) {
	g, why, err := readBoot(src, 0)
	if err != nil || why == "" {
		return g, err
	}
	backup, ok, err := findBackup(src)
	switch {
	case err != nil:
		return g, err
	case !ok:
		return g, &imaging.FormatError{Format: "fat", Offset: 0, Reason: why}
	}
	backup.notes = append(backup.notes, fmt.Sprintf("the boot sector is bad (%s): the backup at byte %d is used", why, backup.at))
	return backup, nil
}

// findBackup looks in sector 6, of each sector size. Only FAT32 keeps one.
func findBackup(src imaging.Source) (geometry, bool, error) {
	for _, sector := range []int64{512, 1024, 2048, 4096} {
		g, why, err := readBoot(src, 6*sector)
		if err != nil {
			return g, false, err
		}
		if why == "" && g.kind == 32 && g.sector == sector {
			return g, true, nil
		}
	}
	return geometry{}, false, nil
}

// Probe says whether src looks like FAT: a boot sector that makes sense, or
// the backup of FAT32 unless the start of src carries the signature of another
// format, whose owner came later.
func Probe(src imaging.Source) bool {
	_, why, err := readBoot(src, 0)
	if err != nil || why == "" {
		return err == nil
	}
	if foreign(src) {
		return false
	}
	_, ok, err := findBackup(src)
	return err == nil && ok
}

// foreign knows the formats that are likely to have followed a FAT volume.
func foreign(src imaging.Source) bool {
	p := make([]byte, 4096)
	if _, err := readZero(src, p, 0); err != nil {
		return true
	}
	for _, s := range []struct {
		off  int
		text string
	}{
		{0, "XFSB"},
		{0, "LUKS\xba\xbe"},
		{3, "NTFS    "},
		{3, "EXFAT   "},
		{3, "-FVE-FS-"},
		{0, "hsqs"},
		{1080, "\x53\xef"},
		{4086, "SWAPSPACE2"},
		{1024, "\x10\x20\xf5\xf2"},
		{0, "LABELONE"},
		{512, "LABELONE"},
		{1024, "LABELONE"},
		{1536, "LABELONE"},
		{512, "EFI PART"},
		{32, "NXSB"},
	} {
		if bytes.HasPrefix(p[s.off:], []byte(s.text)) {
			return true
		}
	}
	return false
}

// info is Info as far as the boot sector knows it.
func (g *geometry) info(source int64) filesystem.Info {
	serial, label, dirty := g.raw[39:43], g.raw[43:54], g.raw[37]
	if g.kind == 32 {
		serial, label, dirty = g.raw[67:71], g.raw[71:82], g.raw[65]
	}
	n := le.Uint32(serial)
	i := filesystem.Info{
		Type: "vfat", UUID: fmt.Sprintf("%04X-%04X", n>>16, n&0xffff), BlockSize: g.cluster, Size: g.size,
		Features: []string{fmt.Sprintf("FAT%d", g.kind)}, State: slices.Clone(g.notes),
	}
	if s := strings.TrimRight(string(label), " \x00"); s != "NO NAME" {
		i.Label = s
	}
	if dirty&1 != 0 {
		i.State = append(i.State, "it was not unmounted cleanly, or the image was taken while it was mounted")
	}
	if !g.mirrored {
		i.State = append(i.State, fmt.Sprintf("the copies of the FAT are not kept equal: copy %d is followed", g.active+1))
	}
	if g.size > source {
		i.State = append(i.State, fmt.Sprintf("the image is cut: the file system has %d bytes, the image %d", g.size, source))
	}
	return i
}
