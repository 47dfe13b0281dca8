package exfat

import (
	"bytes"
	"fmt"
	"slices"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

const (
	bootSize    = 512
	bootSectors = 12 // of one copy of the boot region
	// heapMost bounds the heap, so that every number of a record is below
	// lostInode. It is 16 PiB.
	heapMost = 1 << 54
)

// geometry is what the boot sector says, in bytes from the start of the
// volume.
type geometry struct {
	at       int64 // of the boot sector that is used
	sector   int64
	cluster  int64
	fat      int64 // of the FAT that is followed
	fatBytes int64
	heap     int64  // of cluster 2
	clusters uint32 // they have the numbers 2 to clusters+1
	root     uint32
	size     int64 // of the volume, as it says
	serial   uint32
	flags    uint16
	version  uint16
	notes    []string
}

// parseBoot reads a boot sector and says why it cannot be one.
func parseBoot(p []byte, at int64) (g geometry, why string) {
	if len(p) < bootSize {
		return g, "the volume is shorter than a boot sector"
	}
	length, fatOff, fatLen := le.Uint64(p[72:]), int64(le.Uint32(p[80:])), int64(le.Uint32(p[84:]))
	heapOff, sectorShift, clusterShift, fats := int64(le.Uint32(p[88:])), p[108], p[109], p[110]
	switch {
	case string(p[3:11]) != "EXFAT   ":
		return g, "no name EXFAT"
	case sectorShift < 9 || sectorShift > 12:
		return g, fmt.Sprintf("sectors of 2^%d bytes", sectorShift)
	case clusterShift > 25-sectorShift:
		return g, fmt.Sprintf("clusters of 2^%d sectors", clusterShift)
	case fats != 1 && fats != 2:
		return g, fmt.Sprintf("%d FATs", fats)
	case length == 0 || length > 1<<62>>sectorShift:
		return g, fmt.Sprintf("%d sectors", length)
	case fatOff < bootSectors || fatLen == 0:
		return g, fmt.Sprintf("a FAT of %d sectors at sector %d", fatLen, fatOff)
	case heapOff < fatOff+fatLen*int64(fats):
		return g, fmt.Sprintf("the heap at sector %d begins within the FAT", heapOff)
	}
	g = geometry{
		at: at, sector: 1 << sectorShift, cluster: 1 << (sectorShift + clusterShift), fat: fatOff << sectorShift,
		fatBytes: fatLen << sectorShift, heap: heapOff << sectorShift, root: le.Uint32(p[96:]), size: int64(length) << sectorShift,
		serial: le.Uint32(p[100:]), version: le.Uint16(p[104:]), flags: le.Uint16(p[106:]),
	}
	if g.flags&1 != 0 && fats == 2 {
		g.fat += g.fatBytes
	}
	room := min(g.size-g.heap, heapMost) / g.cluster
	count := int64(le.Uint32(p[92:]))
	if room <= 0 || count == 0 {
		return g, fmt.Sprintf("%d clusters in %d bytes behind byte %d", count, g.size, g.heap)
	}
	if count > room || count > 0xfffffff5 {
		most := min(room, 0xfffffff5)
		g.notes = append(g.notes, fmt.Sprintf("the boot sector counts %d clusters and has room for %d: the rest is out of reach", count, most))
		count = most
	}
	g.clusters = uint32(count)
	return g, ""
}

// end is where the last cluster ends.
func (g *geometry) end() int64 { return g.heap + int64(g.clusters)*g.cluster }

// valid says whether c is the number of a cluster.
func (g *geometry) valid(c uint32) bool { return c >= 2 && c-2 < g.clusters }

// offset is where cluster c starts.
func (g *geometry) offset(c uint32) int64 { return g.heap + int64(c-2)*g.cluster }

// clusterAt is the cluster that holds a byte of the heap.
func (g *geometry) clusterAt(off int64) uint32 { return uint32((off-g.heap)/g.cluster) + 2 }

// clustersOf is how many clusters hold size bytes, at most all there are.
func (g *geometry) clustersOf(size int64) uint32 {
	n := size / g.cluster
	if size%g.cluster != 0 {
		n++
	}
	return uint32(min(n, int64(g.clusters)))
}

func readBoot(src imaging.Source, at int64) (geometry, string, error) {
	p := make([]byte, bootSize)
	n, err := readZero(src, p, at)
	if err != nil {
		return geometry{}, "", err
	}
	g, why := parseBoot(p[:n], at)
	return g, why, nil
}

// findBoot gives the boot sector, or its backup where it is bad.
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
		return g, &imaging.FormatError{Format: "exfat", Offset: 0, Reason: why}
	}
	backup.notes = append(backup.notes, fmt.Sprintf("the boot sector is bad (%s): the backup at byte %d is used", why, backup.at))
	return backup, nil
}

// findBackup looks in sector 12, of each sector size.
func findBackup(src imaging.Source) (geometry, bool, error) {
	for _, sector := range []int64{512, 1024, 2048, 4096} {
		g, why, err := readBoot(src, bootSectors*sector)
		if err != nil {
			return g, false, err
		}
		if why == "" && g.sector == sector {
			return g, true, nil
		}
	}
	return geometry{}, false, nil
}

// Probe says whether src looks like exFAT: a boot sector that makes sense, or
// its backup unless the start of src carries the signature of another format,
// whose owner came later.
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

// foreign knows the formats that are likely to have followed an exFAT volume.
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
		{3, "-FVE-FS-"},
		{54, "FAT1"},
		{82, "FAT32"},
		{0, "hsqs"},
		{1080, "\x53\xef"},
		{4086, "SWAPSPACE2"},
		{512, "LABELONE"},
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
	i := filesystem.Info{
		Type: "exfat", UUID: fmt.Sprintf("%04X-%04X", g.serial>>16, g.serial&0xffff), BlockSize: g.cluster, Size: g.size,
		Features: []string{fmt.Sprintf("version %d.%02d", g.version>>8, g.version&0xff)}, State: slices.Clone(g.notes),
	}
	if g.flags&2 != 0 {
		i.State = append(i.State, "it was not unmounted cleanly, or the image was taken while it was mounted")
	}
	if g.flags&4 != 0 {
		i.State = append(i.State, "its boot sector says that the medium had errors")
	}
	if g.size > source {
		i.State = append(i.State, fmt.Sprintf("the image is cut: the file system has %d bytes, the image %d", g.size, source))
	}
	return i
}

// checkBoot notes where the checksum of the boot region is wrong, and where
// the backup is not as the region itself.
func (fs *FS) checkBoot() error {
	n := int64(bootSectors) * fs.g.sector
	p := make([]byte, 2*n)
	have, err := readZero(fs.src, p, 0)
	if err != nil {
		return err
	}
	if have < len(p) {
		return nil // Info says that the image is cut
	}
	for i, name := range []string{"the boot region", "the backup of the boot region"} {
		b := p[int64(i)*n:][:n]
		if stored := le.Uint32(b[n-fs.g.sector:]); stored != bootSum(b[:n-fs.g.sector]) {
			fs.note("the checksum of %s is wrong", name)
		}
	}
	for _, b := range [][]byte{p[:n], p[n:]} {
		b[106], b[107], b[112] = 0, 0, 0 // flags and share in use may differ
	}
	if fs.g.at == 0 && !bytes.Equal(p[:n-fs.g.sector], p[n:2*n-fs.g.sector]) {
		fs.note("the boot region and its backup differ")
	}
	return nil
}

// bootSum is the checksum of the first eleven sectors.
func bootSum(b []byte) (sum uint32) {
	for i, c := range b {
		if i == 106 || i == 107 || i == 112 {
			continue
		}
		sum = sum<<31 | sum>>1
		sum += uint32(c)
	}
	return sum
}
