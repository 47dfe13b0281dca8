// Package fstest is the conformance suite of the file-system readers. A reader
// calls it with its own Open, an image and what is known of the image:
//
//	func TestConformance(t *testing.T) {
//		fstest.Run(t, ext4.Open, fstest.File(t, "testdata/small.img.gz"), []fstest.Want{
//			{Path: "/etc/hostname", Type: filesystem.TypeFile, Size: 9, SHA256: "…"},
//			{Path: "/gone", Status: filesystem.Deleted, Size: fstest.AnySize},
//		})
//	}
//
// Run checks a sound image against the contract of package filesystem: two
// walks are equal, names are unique, parents agree with paths, every allocated
// file can be read to its size and ends with io.EOF, reads run concurrently,
// cancellation ends a walk with the error of the context, extents lie in the
// volume. Then it cuts the image at twenty places and flips bits (seeded), and
// demands that the reader neither panics nor hangs. Damage runs that half on
// its own, for images that are damaged already.
//
// What it does not do: it knows no format, so it cannot say that content or
// metadata is right beyond what Want says.
package fstest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// AnySize in Want.Size leaves the size unchecked.
const AnySize int64 = -1

// wholeLimit is up to where a file is read as a whole, in bytes; of larger
// ones the first and the last such part is read.
const wholeLimit = 8 << 20

// Want is what is known of one entry of the image. Fields that are zero are
// not checked, but for Status, and Size, which AnySize switches off.
type Want struct {
	Path   string
	Type   filesystem.Type
	Size   int64 // AnySize: not checked
	Status filesystem.Status
	SHA256 string // of the content, hex
	Link   string
	Inode  uint64
	Mode   uint32
	UID    uint32
	GID    uint32

	Modified, Accessed, Changed, Born, Deleted imaging.Time
}

// Bytes is b as a Source.
func Bytes(b []byte) imaging.Source { return memory{bytes.NewReader(b)} }

type memory struct{ *bytes.Reader }

func (m memory) Size() int64 { return m.Reader.Size() }

// File is the file at path as a Source, unpacked in memory where its name ends
// in .gz. The test fails when it cannot be read.
func File(t testing.TB, path string) imaging.Source {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read image: %v", err)
	}
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("unpack %s: %v", path, err)
		}
		if b, err = io.ReadAll(z); err != nil {
			t.Fatalf("unpack %s: %v", path, err)
		}
	}
	return Bytes(b)
}

// Run checks the reader that open gives on a sound image, then on damaged
// copies of it. F is usually the reader's own type.
func Run[F filesystem.FileSystem](t *testing.T, open func(imaging.Source) (F, error), image imaging.Source, want []Want) {
	t.Helper()
	t.Run("sound", func(t *testing.T) { Sound(t, open, image, want) })
	t.Run("damage", func(t *testing.T) { Damage(t, open, image) })
}

// Sound checks a sound image against the contract and against want.
func Sound[F filesystem.FileSystem](t *testing.T, open func(imaging.Source) (F, error), image imaging.Source, want []Want) {
	t.Helper()
	f, err := open(image)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	var fs filesystem.FileSystem = f
	entries := walk(t, fs)
	t.Run("info", func(t *testing.T) { checkInfo(t, fs) })
	t.Run("repeat", func(t *testing.T) { checkRepeat(t, open, image, entries) })
	t.Run("names", func(t *testing.T) { checkNames(t, entries) })
	t.Run("content", func(t *testing.T) { checkContent(t, fs, entries) })
	t.Run("concurrent", func(t *testing.T) { checkConcurrent(t, fs, entries) })
	t.Run("cancel", func(t *testing.T) { checkCancel(t, fs, len(entries)) })
	t.Run("stop", func(t *testing.T) { checkStop(t, fs) })
	t.Run("extents", func(t *testing.T) { checkExtents(t, fs, image) })
	t.Run("want", func(t *testing.T) { checkWant(t, fs, entries, want) })
}

// walk collects the entries of a sound image, which come without errors.
func walk(t *testing.T, fs filesystem.FileSystem) []filesystem.Entry {
	t.Helper()
	var all []filesystem.Entry
	for e, err := range fs.Walk(context.Background()) {
		if err != nil {
			t.Errorf("walk: %q (inode %d): %v", e.Path, e.Ref.Inode, err)
			continue
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		t.Fatal("walk gave no entry, not even the root")
	}
	return all
}

func checkInfo(t *testing.T, fs filesystem.FileSystem) {
	i := fs.Info()
	if i.Type == "" || i.BlockSize <= 0 || i.Size <= 0 {
		t.Errorf("info lacks type, block size or size: %+v", i)
	}
}

// checkRepeat demands that a second walk of the same and of a fresh reader
// gives the same entries in the same order.
func checkRepeat[F filesystem.FileSystem](t *testing.T, open func(imaging.Source) (F, error), image imaging.Source, first []filesystem.Entry) {
	f, err := open(image)
	if err != nil {
		t.Fatalf("open again: %v", err)
	}
	for round := range 2 {
		again := walk(t, f)
		if len(again) != len(first) {
			t.Fatalf("round %d: %d entries, before %d", round, len(again), len(first))
		}
		for i := range first {
			if first[i] != again[i] {
				t.Fatalf("round %d: entry %d differs:\n%+v\n%+v", round, i, first[i], again[i])
			}
		}
	}
}

// checkNames demands a root, unique paths among allocated entries, and paths
// that agree with parents. Sizes must not be negative.
func checkNames(t *testing.T, entries []filesystem.Entry) {
	live := make(map[string]filesystem.Entry)
	dirs := make(map[uint64]string)
	for _, e := range entries {
		if !strings.HasPrefix(e.Path, "/") {
			t.Errorf("path %q does not begin with /", e.Path)
		}
		if e.Size < 0 {
			t.Errorf("%q: size %d", e.Path, e.Size)
		}
		if e.Status != filesystem.Allocated {
			continue
		}
		if old, ok := live[e.Path]; ok {
			t.Errorf("path %q twice: inodes %d and %d", e.Path, old.Ref.Inode, e.Ref.Inode)
		}
		live[e.Path] = e
		if e.Type == filesystem.TypeDir {
			dirs[e.Ref.Inode] = e.Path
		}
	}
	if root, ok := live["/"]; !ok || root.Type != filesystem.TypeDir {
		t.Errorf("no root directory among %d entries", len(entries))
	}
	for path, e := range live {
		if path == "/" {
			continue
		}
		up, ok := dirs[e.Parent]
		if !ok {
			t.Errorf("%q: parent %d is no allocated directory", path, e.Parent)
			continue
		}
		if up != "/" {
			up += "/"
		}
		if !strings.HasPrefix(path, up) || len(path) == len(up) {
			t.Errorf("%q: does not lie in its parent %q", path, up)
		}
	}
}

// checkWant compares what is known with what was walked.
func checkWant(t *testing.T, fs filesystem.FileSystem, entries []filesystem.Entry, want []Want) {
	byPath := make(map[string][]filesystem.Entry)
	for _, e := range entries {
		byPath[e.Path] = append(byPath[e.Path], e)
	}
	for _, w := range want {
		var why []string
		for _, e := range byPath[w.Path] {
			diff := w.differs(fs, e)
			if diff == "" {
				why = nil
				break
			}
			why = append(why, diff)
		}
		if len(byPath[w.Path]) == 0 {
			t.Errorf("%q: not found", w.Path)
		}
		for _, s := range why {
			t.Errorf("%q: %s", w.Path, s)
		}
	}
}

func (w Want) differs(fs filesystem.FileSystem, e filesystem.Entry) string {
	type pair struct {
		name      string
		set       bool
		got, want any
	}
	for _, p := range []pair{
		{"status", true, e.Status, w.Status},
		{"type", w.Type != filesystem.TypeUnknown, e.Type, w.Type},
		{"size", w.Size != AnySize, e.Size, w.Size},
		{"link", w.Link != "", e.Link, w.Link},
		{"inode", w.Inode != 0, e.Ref.Inode, w.Inode},
		{"mode", w.Mode != 0, e.Mode, w.Mode},
		{"uid", w.UID != 0, e.UID, w.UID},
		{"gid", w.GID != 0, e.GID, w.GID},
		{"modified", w.Modified.Set, e.Modified, w.Modified},
		{"accessed", w.Accessed.Set, e.Accessed, w.Accessed},
		{"changed", w.Changed.Set, e.Changed, w.Changed},
		{"born", w.Born.Set, e.Born, w.Born},
		{"deleted", w.Deleted.Set, e.Deleted, w.Deleted},
	} {
		if p.set && p.got != p.want {
			return fmt.Sprintf("%s is %v, want %v", p.name, p.got, p.want)
		}
	}
	if w.SHA256 == "" {
		return ""
	}
	src, err := fs.Open(e.Ref)
	if err != nil {
		return "open: " + err.Error()
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(src, 0, src.Size())); err != nil {
		return "read: " + err.Error()
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != w.SHA256 {
		return fmt.Sprintf("sha256 is %s, want %s", got, w.SHA256)
	}
	return ""
}

// checkCancel demands that a cancelled context ends a walk with its error as
// the last thing, both before the first entry and in the middle.
func checkCancel(t *testing.T, fs filesystem.FileSystem, count int) {
	for _, after := range []int{0, count / 2} {
		ctx, cancel := context.WithCancelCause(context.Background())
		cause := errors.New("the examiner pressed q")
		if after == 0 {
			cancel(cause)
		}
		n := 0
		var last error
		for _, err := range fs.Walk(ctx) {
			last = err
			if n++; n == after {
				cancel(cause)
			}
		}
		cancel(nil)
		// A walk that had nothing left to yield when it was cancelled may end
		// quietly: a reader looks at the context now and then, not always.
		if after == 0 || n < count {
			if !errors.Is(last, context.Canceled) && !errors.Is(last, cause) {
				t.Errorf("cancelled after %d of %d: last error is %v", after, count, last)
			}
		}
	}
}

// checkStop demands that a consumer may leave a walk at any entry.
func checkStop(t *testing.T, fs filesystem.FileSystem) {
	n := 0
	for _, err := range fs.Walk(context.Background()) {
		if n++; n == 1 || err != nil {
			break
		}
	}
	if n != 1 {
		t.Errorf("the walk gave %d entries to a consumer that left at the first", n)
	}
}
