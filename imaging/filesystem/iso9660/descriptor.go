package iso9660

import (
	"fmt"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

const (
	sector          = 2048
	firstDescriptor = 16 * sector
	// descriptorsMost is how many descriptors of a list are looked at.
	descriptorsMost = 64
	// sessionStep is where sessions begin that were not written to a CD, and
	// sessionsMost how many older ones are kept.
	sessionStep  = 32 * sector
	sessionsMost = 64
	placesMost   = 1 << 18 // of them looked at: 16 GiB
	placesBehind = 1 << 12 // where the current session lies before: 256 MiB
)

// volumeSet is a list of descriptors.
type volumeSet struct {
	at                      int64
	primary, joliet         []byte
	primaryAt, jolietAt     int64
	bootCatalog, enhancedAt int64
	others                  []string
	why                     string // primary is nil: why
}

// parsePrimary reads the size of a block and says why b is no descriptor of a
// volume.
func parsePrimary(b []byte) (block int64, why string) {
	block = int64(le.Uint16(b[128:]))
	root := b[156:190]
	switch {
	case string(b[1:6]) != "CD001":
		return 0, "no name CD001"
	case block != 512 && block != 1024 && block != 2048:
		return 0, fmt.Sprintf("logical blocks of %d bytes", block)
	case le.Uint32(b[80:]) == 0 && be.Uint32(b[84:]) == 0:
		return 0, "a volume of no blocks"
	case root[0] < 34 || root[25]&flagDir == 0:
		return 0, "no root directory"
	}
	return block, ""
}

// descriptors reads the list that starts at a byte of the image.
func descriptors(src imaging.Source, at int64) (set volumeSet, err error) {
	set = volumeSet{at: at, why: "no volume descriptor"}
	for i := range int64(descriptorsMost) {
		b := make([]byte, sector)
		off := at + i*sector
		n, err := readZero(src, b, off)
		if err != nil {
			return set, err
		}
		if n < sector || string(b[1:6]) != "CD001" || b[0] == 255 {
			if i > 0 && b[0] != 255 {
				set.others = append(set.others, "the list of volume descriptors has no end")
			}
			return set, nil
		}
		switch b[0] {
		case 0:
			if strings.HasPrefix(string(b[7:39]), "EL TORITO SPECIFICATION") && set.bootCatalog == 0 {
				set.bootCatalog = int64(le.Uint32(b[71:]))
			}
		case 1:
			_, why := parsePrimary(b)
			switch {
			case why != "":
				set.why = why
			case set.primary == nil:
				set.primary, set.primaryAt = b, off
			default:
				set.others = append(set.others, fmt.Sprintf("a further primary descriptor stands at byte %d", off))
			}
		case 2:
			_, why := parsePrimary(b)
			switch {
			case why != "":
				set.others = append(set.others, fmt.Sprintf("the descriptor at byte %d makes no sense: %s", off, why))
			case b[6] == 1 && set.joliet == nil && jolietEscape(b):
				set.joliet, set.jolietAt = b, off
			case b[6] == 2 && set.enhancedAt == 0:
				set.enhancedAt = off
			default:
				set.others = append(set.others, fmt.Sprintf("a further descriptor stands at byte %d: its tree is not read", off))
			}
		case 3:
			set.others = append(set.others, fmt.Sprintf("a volume partition descriptor stands at byte %d: it is not read", off))
		}
	}
	return set, nil
}

func jolietEscape(b []byte) bool {
	switch string(b[88:91]) {
	case "%/@", "%/C", "%/E":
		return true
	}
	return false
}

// info is Info as far as the descriptors know it.
func (set *volumeSet) info(source int64) filesystem.Info {
	b := set.primary
	block, _ := parsePrimary(b)
	blocks := int64(le.Uint32(b[80:]))
	i := filesystem.Info{Type: "iso9660", Label: set.label(), UUID: stampID(b), BlockSize: block}
	if other := int64(be.Uint32(b[84:])); other != blocks {
		i.State = append(i.State, fmt.Sprintf("the two copies of its size differ: %d and %d blocks", blocks, other))
		blocks = max(blocks, other)
	}
	i.Size = blocks * block
	for _, f := range []struct {
		name string
		at   int
		n    int
	}{{"system", 8, 32}, {"volume set", 190, 128}, {"publisher", 318, 128}, {"prepared by", 446, 128}, {"application", 574, 128}} {
		if s := strings.Trim(string(b[f.at:f.at+f.n]), " \x00"); s != "" {
			i.Features = append(i.Features, fmt.Sprintf("%s %q", f.name, s))
		}
	}
	if set.enhancedAt != 0 {
		i.Features = append(i.Features, "ISO 9660:1999")
	}
	i.State = append(i.State, set.others...)
	if i.Size > source {
		i.State = append(i.State, fmt.Sprintf("the image is cut: the file system has %d bytes, the image %d", i.Size, source))
	}
	return i
}

// label is the name of the volume as blkid(8) gives it. Joliet has it in 16
// characters, the primary descriptor in 32 bytes: where the first is full and
// the second goes on with the same, they are joined.
func (set *volumeSet) label() string {
	long := strings.TrimRight(string(set.primary[40:72]), " \x00")
	if set.joliet == nil {
		return long
	}
	short := []rune(strings.TrimRight(plainName(string(set.joliet[40:72]), joliet), " \x00"))
	if len(short) == 0 {
		return long
	}
	if len(short) < 16 || len(long) <= len(short) {
		return string(short)
	}
	for i, c := range short {
		if c < 0x80 && !strings.EqualFold(string(c), long[i:i+1]) && long[i] != '_' {
			return string(short)
		}
	}
	return string(short) + long[len(short):]
}

// stampID is when the volume was changed, else made, which serves as its UUID:
// "2014-04-27-13-43-00-00"; "" where it is not recorded.
func stampID(b []byte) string {
	for _, off := range []int{830, 813} {
		d := string(b[off : off+16])
		if strings.Trim(d, "0123456789") == "" && strings.Trim(d, "0") != "" {
			return fmt.Sprintf("%s-%s-%s-%s-%s-%s-%s", d[:4], d[4:6], d[6:8], d[8:10], d[10:12], d[12:14], d[14:16])
		}
	}
	return ""
}

// treesOf gives the trees of a set, the one to be shown first. older is 0 for
// the current session.
func (fs *FS) treesOf(set volumeSet, older int64) ([]tree, error) {
	block, _ := parsePrimary(set.primary)
	first := tree{kind: primary, root: set.primaryAt + 156, block: block, older: older}
	rr, skip, err := fs.susp(first)
	if err != nil {
		return nil, err
	}
	if rr {
		first.kind, first.skip = rockRidge, skip
	}
	list := []tree{first}
	if set.joliet != nil {
		block, _ := parsePrimary(set.joliet)
		second := tree{kind: joliet, root: set.jolietAt + 156, block: block, older: older}
		if rr {
			list = append(list, second)
		} else {
			list = []tree{second, first}
		}
	}
	if older == 0 {
		if rr {
			fs.info.Features = append(fs.info.Features, "Rock Ridge")
		}
		if set.joliet != nil {
			fs.info.Features = append(fs.info.Features, "Joliet")
		}
	}
	return list, nil
}

// findSessions looks for the trees of older sessions: a primary descriptor
// whose root directory says where it lies itself, and is none that is known.
// They lie before the current one; behind it are those of an image that was
// blanked, and of these only the first places are looked at.
func (fs *FS) findSessions() error {
	known, newest := map[uint32]bool{}, int64(placesBehind*sessionStep)
	for _, t := range fs.trees {
		r, err := fs.record(t.root)
		if err != nil {
			return err
		}
		known[r.extent] = true
		newest = max(newest, r.start(t.block))
	}
	head := make([]byte, 6)
	for i := int64(0); i < placesMost && len(fs.trees) < sessionsMost; i++ {
		at := firstDescriptor + i*sessionStep
		if at >= min(fs.src.Size(), newest) {
			return nil
		}
		if _, err := readZero(fs.src, head, at); err != nil {
			return err
		}
		if i == 0 || head[0] != 1 || string(head[1:]) != "CD001" {
			continue
		}
		set, err := descriptors(fs.src, at)
		if err != nil {
			return err
		}
		if set.primary == nil {
			continue
		}
		block, _ := parsePrimary(set.primary)
		r, err := fs.record(set.primaryAt + 156)
		if err != nil {
			return err
		}
		self, err := fs.record(int64(r.extent) * block)
		if err != nil {
			return err
		}
		if known[r.extent] || self.extent != r.extent || self.name != "\x00" || !self.dir() {
			continue
		}
		known[r.extent] = true
		list, err := fs.treesOf(set, at)
		if err != nil {
			return err
		}
		fs.trees = append(fs.trees, list[0])
		fs.note("an older session has its descriptors at byte %d", at)
	}
	return nil
}
