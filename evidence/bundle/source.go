package bundle

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/klauspost/compress/zstd"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// finding is something about the container that a bag may not have.
type finding struct{ code, path, expected, found string }

// source is a bag that can be read front to back, as often as needed. each
// calls f for every regular file with a safe name, in the order of their names
// as far as the bag keeps it; bad is told of everything else. An error of f
// ends it; what ends an archive early is told to bad, and is not an error.
type source interface {
	each(ctx context.Context, f func(name string, size int64, r io.Reader) error, bad func(finding)) error
}

// sourceOf tells what kind of bag lies at path.
func sourceOf(path string) (source, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.IsDir() {
		return folderSource(path), nil
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is neither a folder nor a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read-only
	head := make([]byte, 21)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if h := string(head[:n]); strings.HasPrefix(h, "age-encryption.org/v1") || strings.HasPrefix(h, "-----BEGIN AGE") {
		return nil, evidence.WithHint(fmt.Errorf("%s is encrypted (DECRYPT_FAILED: snapcase has no identity for it)", path), "decrypt it first: age -d -i KEY %s > bundle.tar.zst", path)
	}
	return archiveSource(path), nil
}

type folderSource string

func (s folderSource) each(ctx context.Context, f func(string, int64, io.Reader) error, bad func(finding)) error {
	return s.walk(ctx, "", f, bad)
}

func (s folderSource) walk(ctx context.Context, dir string, f func(string, int64, io.Reader) error, bad func(finding)) error {
	entries, err := os.ReadDir(filepath.Join(string(s), filepath.FromSlash(dir)))
	if err != nil {
		return err
	}
	if len(entries) == 0 && dir != "" {
		bad(finding{"FILE_UNLISTED", dir, "no empty folders", "an empty folder"})
	}
	key := func(e os.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return strings.Compare(key(a), key(b)) })
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := path.Join(dir, e.Name())
		safe := custody.SafePath(name)
		if !safe {
			bad(finding{"MANIFEST_PATH_UNSAFE", name, "[A-Za-z0-9._/-]", fmt.Sprintf("%q", name)})
		}
		switch {
		case e.IsDir():
			err = s.walk(ctx, name, f, bad)
		case !e.Type().IsRegular():
			bad(finding{"FILE_NOT_REGULAR", name, "a file", e.Type().String()})
		case safe:
			err = s.file(name, f, bad)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s folderSource) file(name string, f func(string, int64, io.Reader) error, bad func(finding)) error {
	r, err := os.OpenFile(filepath.Join(string(s), filepath.FromSlash(name)), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // read-only
	fi, err := r.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		bad(finding{"FILE_NOT_REGULAR", name, "a file", fi.Mode().Type().String()})
		return nil
	}
	sparse, err := custody.NewSparseReader(r)
	if err != nil {
		return err
	}
	err = f(name, fi.Size(), sparse)
	var broken *custody.ReadFailure
	if errors.As(err, &broken) {
		bad(finding{"FILE_HASH_MISMATCH", name, "readable content", broken.Error()})
		return nil
	}
	return err
}

type archiveSource string

// archiveWalk is one pass over an archive.
type archiveWalk struct {
	limit   bounded
	top     string
	files   map[string]bool // lower case
	folders map[string]bool // lower case; true: something lies in it
	entries int
}

func (s archiveSource) each(ctx context.Context, f func(string, int64, io.Reader) error, bad func(finding)) error {
	file, err := os.Open(string(s))
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // read-only
	w := &archiveWalk{files: map[string]bool{}, folders: map[string]bool{}}
	z, err := zstd.NewReader(readCounter{bufio.NewReaderSize(file, 256<<10), &w.limit}, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return err
	}
	defer z.Close()
	archive := path.Base(filepath.ToSlash(string(s)))
	err = w.all(ctx, tar.NewReader(z), z, f, bad)
	var stop *stopped
	switch {
	case errors.As(err, &stop):
		bad(finding{stop.code, archive, stop.want, stop.why})
		return nil
	case err != nil:
		return err
	}
	for dir, used := range w.folders {
		if !used {
			bad(finding{"FILE_UNLISTED", dir, "no empty folders", "an empty folder"})
		}
	}
	return nil
}

type readCounter struct {
	r io.Reader
	b *bounded
}

func (c readCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.b.packed += int64(n)
	return n, err
}

// stopped is why an archive is not read further.
type stopped struct{ code, want, why string }

func (e *stopped) Error() string { return e.code + ": " + e.why }

func corrupt(err error) error {
	if evidence.Canceled(err) {
		return err
	}
	return &stopped{"ARCHIVE_CORRUPT", "a whole .tar.zst", err.Error()}
}

func (w *archiveWalk) all(ctx context.Context, t *tar.Reader, z io.Reader, f func(string, int64, io.Reader) error, bad func(finding)) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return w.padding(z)
		}
		if err != nil {
			return corrupt(err)
		}
		if w.entries++; w.entries > maxEntries {
			return &stopped{"ARCHIVE_LIMIT", fmt.Sprintf("at most %d entries", maxEntries), "more"}
		}
		name, ok := w.entry(h, bad)
		if !ok {
			continue
		}
		in := &member{r: t, limit: &w.limit}
		if err = f(name, h.Size, in); err == nil { // what f passes over counts too
			_, err = io.Copy(io.Discard, in)
		}
		switch {
		case in.err != nil && !evidence.Canceled(in.err):
			if errors.Is(in.err, errLimit) {
				return &stopped{"ARCHIVE_LIMIT", fmt.Sprintf("at most %d times as many bytes that are not zero", maxRatio), in.err.Error()}
			}
			return corrupt(fmt.Errorf("%s: %w", name, in.err))
		case err != nil:
			return err
		}
	}
}

// padding reads what follows the tar: some zeros, then the end.
func (w *archiveWalk) padding(z io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(z, maxPadding+1))
	if err != nil {
		return corrupt(err)
	}
	for len(b) > 0 {
		n := min(len(b), len(zeros))
		if len(b) > maxPadding || string(b[:n]) != string(zeros[:n]) {
			return corrupt(errors.New("bytes after the end of the archive"))
		}
		b = b[n:]
	}
	return nil
}

// entry judges the header of a member, and gives its name in the bag. ok is
// false for folders and for what was told to bad.
func (w *archiveWalk) entry(h *tar.Header, bad func(finding)) (name string, ok bool) {
	full := strings.TrimSuffix(h.Name, "/")
	if len(full) > maxNameSize || !custody.SafePath(full) {
		bad(finding{"ARCHIVE_UNSAFE_PATH", fmt.Sprintf("%.200q", h.Name), "[A-Za-z0-9._/-] below one folder", fmt.Sprintf("%.200q", h.Name)})
		return "", false
	}
	top, name, below := strings.Cut(full, "/")
	if w.top == "" {
		w.top = top
	}
	isFolder := h.Typeflag == tar.TypeDir
	if top != w.top || !below && !isFolder {
		bad(finding{"ARCHIVE_UNSAFE_PATH", full, "everything below " + w.top, full})
		return "", false
	}
	sparse := false
	for k := range h.PAXRecords {
		sparse = sparse || strings.HasPrefix(k, "GNU.sparse")
	}
	if sparse || !isFolder && h.Typeflag != tar.TypeReg {
		bad(finding{"ARCHIVE_LINK", full, "files and folders", fmt.Sprintf("a member of type %q", string(rune(h.Typeflag)))})
		return "", false
	}
	if !below {
		return "", false
	}
	if w.taken(strings.ToLower(name), isFolder) {
		bad(finding{"ARCHIVE_DUPLICATE", name, "each name once, whatever its case", "twice"})
		return "", false
	}
	return name, !isFolder
}

// taken notes a name, in lower case, and says whether it was there.
func (w *archiveWalk) taken(name string, isFolder bool) bool {
	_, folder := w.folders[name]
	if w.files[name] || folder && !isFolder {
		return true
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if w.files[dir] {
			return true
		}
		if w.folders[dir] {
			break
		}
		w.folders[dir] = true
	}
	if !isFolder {
		w.files[name] = true
	} else if !folder {
		w.folders[name] = false
	}
	return false
}

// member reads one file of an archive within the limits.
type member struct {
	r     io.Reader
	limit *bounded
	err   error
}

func (m *member) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.limit.Write(p[:n]) //nolint:errcheck,gosec // it cannot fail
	if err == nil {
		err = m.limit.check()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}
