package disk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

const (
	// sampleEdge is how much of the start and of the end of a volume without a
	// signature is looked at for anything but zeros, samples and sampleBytes
	// how often and how much between.
	sampleEdge  = 1 << 20
	samples     = 64
	sampleBytes = 4096
)

// found is a file system that a driver opened.
type found struct {
	driver string
	fs     filesystem.FileSystem
}

// detect fills in what the volume holds.
func (v *Volume) detect(list []driver) {
	switch {
	case v.Size == 0:
		v.note("it has no bytes")
		return
	case v.Source.Size() == 0:
		v.Err = errors.New("no byte of it lies in the image: the whole disk would be needed")
		return
	}
	p := newProbe(v.Source)
	v.Signatures = p.all()
	if p.err != nil {
		v.note("looking for signatures: %v", p.err)
	}
	var opened []found
	var failed []string
	for _, d := range list {
		fs, ok, err := d.try(v.Source)
		switch {
		case err != nil:
			failed = append(failed, err.Error())
		case ok:
			opened = append(opened, found{d.name, fs})
		}
	}
	if best, ok := v.choose(opened); ok {
		v.take(best)
		v.Notes = append(v.Notes, failed...)
	} else {
		v.unread(p, opened, failed)
	}
	v.others(opened)
}

// choose gives the file system to follow. Where there is nothing else on the
// volume the first that opened is it, whatever its root looks like.
func (v *Volume) choose(opened []found) (found, bool) {
	contested := len(opened) > 1
	for _, s := range v.Signatures {
		contested = contested || s.container
	}
	for _, f := range opened {
		if !contested || rootReadable(f.fs) {
			return f, true
		}
	}
	if len(opened) > 0 && !v.contained() {
		return opened[0], true
	}
	return found{}, false
}

// contained says whether a signature is that of a container.
func (v *Volume) contained() bool {
	for _, s := range v.Signatures {
		if s.container {
			return true
		}
	}
	return false
}

// rootReadable says whether the first entry that a walk gives is the root
// directory, whole.
func rootReadable(fs filesystem.FileSystem) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for e, err := range fs.Walk(ctx) {
		return err == nil && e.Path == "/" && e.Type == filesystem.TypeDir && e.Damage == ""
	}
	return false
}

// take makes an opened file system that of the volume.
func (v *Volume) take(f found) {
	i := f.fs.Info()
	v.FS, v.FSType, v.FSLabel, v.FSUUID = f.fs, i.Type, i.Label, i.UUID
	for n, s := range v.Signatures { // its own signature goes first
		if sameFamily(s.Type, i.Type) {
			copy(v.Signatures[1:n+1], v.Signatures[:n])
			v.Signatures[0] = s
			v.FSVersion = s.Version
			break
		}
	}
	v.Notes = append(v.Notes, i.State...)
	if rest := v.Source.Size() - i.Size; i.Size > 0 && rest >= max(i.BlockSize, sampleBytes) {
		v.note("%d bytes of the volume lie behind the file system", rest)
	}
	if v.Gap() {
		v.note("no partition covers this space, and it starts with a file system: a partition may have been removed")
	}
}

// sameFamily says whether two words are for the same format: a driver knows
// better than the signature which of ext2, ext3 and ext4 it is.
func sameFamily(a, b string) bool {
	family := func(s string) string {
		if s == "ext2" || s == "ext3" || s == "ext4" {
			return "ext"
		}
		return s
	}
	return family(a) == family(b)
}

// unread says what the volume holds where no file system was opened.
func (v *Volume) unread(p *probe, opened []found, failed []string) {
	if len(v.Signatures) > 0 {
		s := v.Signatures[0]
		v.FSType, v.FSLabel, v.FSUUID, v.FSVersion = s.Type, s.Label, s.UUID, s.Version
	}
	for _, f := range opened {
		v.note("a superblock of %s makes sense and its root directory cannot be read", f.fs.Info().Type)
	}
	nature := byNature(v.FSType)
	switch {
	case nature != "":
		v.note("%s", nature)
	case len(failed) > 0:
		v.fail(strings.Join(failed, "; "))
	case v.FSType != "":
		v.fail(v.FSType + ": " + needed(v.FSType))
	case p.err != nil:
		v.fail(p.err.Error())
	case v.Type == "bios" || v.Type == "prep":
		v.note("boot code: no file system is expected here")
	case v.Type == "reserved":
		v.note("reserved by the system: no file system is expected here")
	case !p.empty():
		v.fail("no signature is known: it may be encrypted without a header, part of a larger volume, or its start was overwritten")
	case !v.Gap():
		v.note("only zeros where it was looked at: its first and last MiB and %d places between", samples)
	}
}

// fail sets Err. A gap holds nothing by its nature: there it is a note.
func (v *Volume) fail(why string) {
	if v.Gap() {
		v.note("no partition covers this space, and it is not empty: %s", why)
		v.lostStarts()
		return
	}
	v.Err = errors.New(why)
}

// others tells of every signature but the one that is followed.
func (v *Volume) others(opened []found) {
	for i, s := range v.Signatures {
		if i == 0 && sameFamily(s.Type, v.FSType) {
			continue
		}
		what := fmt.Sprintf("a signature of %s stands at byte %d too", s.Type, s.Offset)
		if s.Label != "" {
			what += fmt.Sprintf(", label %q", s.Label)
		}
		if s.UUID != "" {
			what += ", UUID " + s.UUID
		}
		v.note("%s", what)
	}
	for _, f := range opened {
		if v.FS != nil && f.fs != v.FS {
			v.note("it can be read as %s as well", f.fs.Info().Type)
		}
	}
}

const (
	// startStep is where partitions start as a rule, in bytes, and startsMost
	// how many such places of a gap are looked at.
	startStep  = 1 << 20
	startsMost = 4096
)

// lostStarts looks in a gap for the file systems of partitions that were
// removed, where partitions start as a rule.
func (v *Volume) lostStarts() {
	first := (v.Start + startStep - 1) / startStep * startStep
	for i := range int64(startsMost) {
		at, ok := v.Locate(first + i*startStep)
		if !ok {
			return
		}
		p := &probe{src: v.Source, size: v.Source.Size()}
		if p.head = p.read(at, int(min(8192, p.size-at))); p.head == nil {
			continue
		}
		p.src, p.size = imaging.Section(v.Source, at, p.size-at), p.size-at
		for _, find := range []func(*probe) (Signature, bool){luks, lvm2, bitlocker, ext, xfsSignature, ntfsSignature, vfat, swap} {
			if s, ok := find(p); ok {
				v.note("a signature of %s stands where a partition may have started, at byte %d of the image, label %q, UUID %s", s.Type, first+i*startStep, s.Label, s.UUID)
				break
			}
		}
		if len(v.Notes) > 64 {
			v.note("further places of this gap were not looked at")
			return
		}
	}
}
