package ext4

import (
	"bytes"
	"fmt"
)

// JournalUUID is that of the device on which the journal lies, "" when it lies
// in the volume or there is none.
func (fs *FS) JournalUUID() string {
	if fs.sb.compat&compatJournal == 0 || le.Uint32(fs.sb.raw[224:]) != 0 {
		return ""
	}
	return uuid(fs.sb.raw[208:224])
}

// external opens the journal on the device that was given. That begins with a
// superblock of a file system that is none; the journal's own superblock is in
// the block behind it, and the blocks of the log are counted from the start of
// the device.
func (fs *FS) external() (j *journal, damage string, err error) {
	p := make([]byte, superSize)
	n, err := readZero(fs.away, p, superOffset)
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("journal: %w", err)
	case n < len(p) || le.Uint16(p[56:]) != magic || le.Uint32(p[96:])&incompatJournalDev == 0:
		return nil, "range: what was given as the journal's device is none", nil
	case !bytes.Equal(p[104:120], fs.sb.raw[208:224]):
		return nil, fmt.Sprintf("range: the device that was given has the UUID %s", uuid(p[104:120])), nil
	}
	j = &journal{fs: fs, src: fs.away, superAt: uint32(superOffset/fs.sb.blockSize) + 1}
	j.blocks = uint32(min(fs.away.Size()/fs.sb.blockSize, 1<<31-1))
	j.runs = []run{{n: j.blocks}}
	if damage, err = j.super(); err != nil || damage != "" {
		return nil, damage, err
	}
	return j, "", j.users()
}

// users says what does not fit in the list of those that use the journal.
func (j *journal) users() error {
	p, err := j.reader().block(j.superAt)
	if err != nil {
		return err
	}
	n := be.Uint32(p[64:])
	if n != 1 {
		j.note("range: the journal says that %d file systems use it: the kernel would not mount the volume", n)
	}
	const list, most = 0x100, 48
	for i := range min(n, most) {
		if bytes.Equal(p[list+16*i:][:16], j.fs.sb.raw[104:120]) {
			return nil
		}
	}
	j.note("the journal does not name this file system among those that use it")
	return nil
}
