package acquire

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"snapcase/evidence"
)

const (
	sniffed = 72 << 10 // of each file: the superblock of btrfs ends at 68 KiB
	samples = 24       // files of a folder that are looked at
)

// detect finds the kind of a source by its content. how is in words.
func detect(path, api string) (kind evidence.Kind, how string, err error) {
	switch api {
	case apiDevice:
		return evidence.KindDisk, "block device", nil
	case apiFile:
		f, err := openReadOnly(path)
		if err != nil {
			return "", "", err
		}
		defer f.Close() //nolint:errcheck // read-only
		kind, why := sniffFile(f)
		return kind, why, nil
	}
	return detectFolder(path)
}

// detectFolder takes the kind of most of some files, spread over the folder.
func detectFolder(path string) (kind evidence.Kind, how string, err error) {
	t, err := openTree(path, apiFolder)
	if err != nil {
		return "", "", err
	}
	defer t.close()
	items, err := t.items(context.Background())
	if err != nil {
		return "", "", err
	}
	var names []string
	for _, it := range items {
		if it.gap == "" && it.size > 0 {
			names = append(names, it.name)
		}
	}
	count := map[evidence.Kind]int{}
	looked := 0
	for i := range min(samples, len(names)) {
		f, err := t.open(names[i*len(names)/min(samples, len(names))])
		if err != nil {
			continue // the copy will tell
		}
		kind, _ := sniffFile(f)
		if err := f.Close(); err != nil {
			return "", "", err
		}
		if kind.Image() {
			kind = evidence.KindFile // one exhibit is one image
		}
		count[kind]++
		looked++
	}
	return majority(count, looked)
}

func majority(count map[evidence.Kind]int, looked int) (evidence.Kind, string, error) {
	kind := evidence.KindFile
	var others []string
	order := []evidence.Kind{evidence.KindCloudTrail, evidence.KindFlowLog, evidence.KindPcap, evidence.KindFindings, evidence.KindFile}
	for _, k := range order {
		if count[k] > count[kind] || count[k] == count[kind] && count[k] > 0 && kind == evidence.KindFile {
			kind = k
		}
	}
	for _, k := range order {
		if k != kind && count[k] > 0 {
			others = append(others, fmt.Sprintf("%d %s", count[k], k))
		}
	}
	how := fmt.Sprintf("%d of %d files looked at", count[kind], looked)
	if len(others) > 0 {
		how += ", the others: " + strings.Join(others, ", ")
	}
	return kind, how, nil
}

// sniffFile tells the kind by the first bytes, unpacked where they are gzip.
func sniffFile(f *os.File) (evidence.Kind, string) {
	b := make([]byte, sniffed)
	n, _ := io.ReadFull(io.NewSectionReader(f, 0, sniffed), b) // what cannot be read here is told by the copy
	b = b[:n]
	if bytes.HasPrefix(b, []byte("\x1f\x8b")) {
		if kind, why := sniffText(unpacked(f)); kind != evidence.KindFile {
			return kind, why + " in gzip"
		}
		return evidence.KindFile, "gzip"
	}
	if kind, why := sniffImage(b, f); kind != "" {
		return kind, why
	}
	return sniffText(b)
}

// unpacked is the beginning of what a gzip file holds, as far as it goes.
func unpacked(f *os.File) []byte {
	z, err := gzip.NewReader(io.NewSectionReader(f, 0, 1<<20))
	if err != nil {
		return nil
	}
	b := make([]byte, sniffed)
	n, _ := io.ReadFull(z, b) // cut short or damaged: what there is
	return b[:n]
}

// magic is bytes at a place that tell a kind.
type magic struct {
	at   int
	text string
	what string
}

func diskMagics() []magic {
	return []magic{
		{512, "EFI PART", "GPT"},
		{4096, "EFI PART", "GPT with sectors of 4096 bytes"},
		{0, "XFSB", "XFS"},
		{3, "NTFS    ", "NTFS"},
		{3, "EXFAT   ", "exFAT"},
		{512, "LABELONE", "LVM2"},
		{0x10040, "_BHRfS_M", "btrfs"},
		{32769, "CD001", "ISO 9660"},
		{0, "QFI\xfb", "qcow2"},
		{0, "KDMV", "VMDK"},
		{0, "vhdxfile", "VHDX"},
		{0, "conectix", "VHD"},
		{0, "EVF\x09\x0d\x0a\xff\x00", "E01"},
		{0, "LUKS\xba\xbe", "LUKS"},
		{4086, "SWAPSPACE2", "swap"},
		{0, "hsqs", "squashfs"},
	}
}

func sniffImage(b []byte, f *os.File) (evidence.Kind, string) {
	at := func(off int, text string) bool {
		return len(b) >= off+len(text) && string(b[off:off+len(text)]) == text
	}
	switch {
	case at(0, "EMiL"):
		return evidence.KindMemory, "LiME"
	case at(0, "AVML"):
		return evidence.KindMemory, "AVML"
	case at(0, "\x7fELF") && at(16, "\x04\x00"):
		return evidence.KindMemory, "ELF core"
	}
	for _, m := range diskMagics() {
		if at(m.at, m.text) {
			return evidence.KindDisk, m.what
		}
	}
	switch {
	case at(1024+56, "\x53\xef") && isExt(b[1024:]):
		return evidence.KindDisk, "ext2, ext3 or ext4"
	case at(510, "\x55\xaa") && (isMBR(b) || isFAT(b)):
		return evidence.KindDisk, "boot sector"
	}
	// A fixed VHD has its name at the end.
	var tail [8]byte
	if st, err := f.Stat(); err == nil && st.Size() > 512 {
		if n, _ := f.ReadAt(tail[:], st.Size()-512); n == 8 && string(tail[:]) == "conectix" {
			return evidence.KindDisk, "VHD"
		}
	}
	return "", ""
}

// isExt asks a superblock for more than its magic: the size of blocks and the
// revision.
func isExt(sb []byte) bool {
	return len(sb) >= 84 && sb[24] <= 6 && sb[25] == 0 && sb[76] <= 1 && sb[77] == 0
}

// isMBR asks for at least one partition, and that each has a flag of its kind.
func isMBR(b []byte) bool {
	used := 0
	for i := range 4 {
		p := b[446+16*i : 462+16*i]
		if p[0] != 0 && p[0] != 0x80 {
			return false
		}
		if p[4] != 0 && !bytes.Equal(p[12:16], make([]byte, 4)) {
			used++
		}
	}
	return used > 0
}

func isFAT(b []byte) bool {
	sector := int(b[11]) | int(b[12])<<8
	cluster := b[13]
	return (b[0] == 0xeb || b[0] == 0xe9) && sector >= 512 && sector <= 4096 && sector&(sector-1) == 0 && cluster != 0 && cluster&(cluster-1) == 0
}

// sniffText tells logs and captures.
func sniffText(b []byte) (evidence.Kind, string) {
	for _, m := range []string{"\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4", "\x4d\x3c\xb2\xa1", "\xa1\xb2\x3c\x4d"} {
		if bytes.HasPrefix(b, []byte(m)) {
			return evidence.KindPcap, "pcap"
		}
	}
	if bytes.HasPrefix(b, []byte("\x0a\x0d\x0d\x0a")) {
		return evidence.KindPcap, "pcapng"
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n")
	has := func(words ...string) bool {
		for _, w := range words {
			if !bytes.Contains(text, []byte(`"`+w+`"`)) {
				return false
			}
		}
		return true
	}
	if len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		switch {
		case has("eventSource", "eventName"), has("CloudTrailEvent"), has("digestS3Bucket", "logFiles"),
			bytes.Equal(bytes.Join(bytes.Fields(text), nil), []byte(`{"Records":[]}`)):
			return evidence.KindCloudTrail, "CloudTrail JSON"
		case has("ProductArn", "AwsAccountId"), has("schemaVersion", "service", "severity", "region"):
			return evidence.KindFindings, "findings JSON"
		}
		return evidence.KindFile, "JSON"
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	if isFlowLine(strings.Fields(string(line))) {
		return evidence.KindFlowLog, "VPC flow log"
	}
	return evidence.KindFile, "no known signature"
}

// isFlowLine knows the header of a flow log, and a line of the default format.
func isFlowLine(f []string) bool {
	names := map[string]bool{}
	for _, n := range f {
		names[n] = true
	}
	if names["srcaddr"] && names["dstaddr"] || names["pkt-srcaddr"] && names["pkt-dstaddr"] || names["interface-id"] && names["action"] {
		return true
	}
	if len(f) != 14 || f[0] != "2" {
		return false
	}
	status := f[13] == "OK" || f[13] == "NODATA" || f[13] == "SKIPDATA"
	return status && (f[12] == "ACCEPT" || f[12] == "REJECT" || f[12] == "-")
}

// Detect tells what kind of evidence a source is, and by what, as Run does when
// it is not told.
func Detect(path string) (kind evidence.Kind, how string, err error) {
	id, _, err := identify(path)
	if err == nil {
		kind, how, err = detect(path, id.API)
	}
	if err != nil {
		return "", "", fmt.Errorf("detect %s: %w", path, err)
	}
	return kind, how, nil
}
