package bundle

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"github.com/klauspost/compress/zstd"

	"snapcase/evidence"
)

// archiveSink writes a bag as .tar.zst, encrypted with age or not.
type archiveSink struct {
	out, part string
	top       string
	seal      time.Time
	f         *os.File
	packed    *bounded // bytes in, bytes out: the limits that Verify has
	age       io.WriteCloser
	zstd      *zstd.Encoder
	tar       *tar.Writer
	names     map[string]string // by lower case
}

func newArchiveSink(p *packing) (_ *archiveSink, err error) {
	to, err := recipients(p.To)
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(string(p.Folder))
	if err != nil {
		return nil, err
	}
	s := &archiveSink{out: p.Out, part: partOf(p.Out), top: plainTop(filepath.Base(abs)) + "-" + p.seal.Format("20060102T150405Z"), seal: p.seal, packed: &bounded{}, names: map[string]string{}}
	if err := os.RemoveAll(s.part); err != nil {
		return nil, err
	}
	if s.f, err = os.OpenFile(s.part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.abort())
		}
	}()
	var w io.Writer = s.f
	if len(to) > 0 {
		if s.age, err = age.Encrypt(w, to...); err != nil {
			return nil, fmt.Errorf("encrypt: %w", err)
		}
		w = s.age
	}
	if s.zstd, err = zstd.NewWriter(writeCounter{w, s.packed}, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault)); err != nil {
		return nil, err
	}
	s.tar = tar.NewWriter(s.zstd)
	return s, nil
}

type writeCounter struct {
	w io.Writer
	b *bounded
}

func (c writeCounter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.b.packed += int64(n)
	return n, err
}

// recipients reads age recipients: age1… and ssh-ed25519.
func recipients(all []string) ([]age.Recipient, error) {
	var out []age.Recipient
	for _, s := range all {
		if strings.HasPrefix(s, "ssh-") {
			r, err := agessh.ParseRecipient(s)
			if err != nil {
				return nil, fmt.Errorf("recipient %q: %w: %w", s, evidence.ErrUsage, err)
			}
			out = append(out, r)
			continue
		}
		r, err := age.ParseRecipients(strings.NewReader(s))
		if err != nil {
			return nil, fmt.Errorf("recipient %q: %w: %w", s, evidence.ErrUsage, err)
		}
		out = append(out, r...)
	}
	return out, nil
}

// plainTop makes a case's name fit a bag.
func plainTop(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, name)
	if strings.Trim(name, ".") == "" {
		return "case"
	}
	return name
}

func (s *archiveSink) create(path string, size int64, mode os.FileMode) (io.Writer, error) {
	lower := strings.ToLower(path)
	if other, twice := s.names[lower]; twice {
		return nil, evidence.WithHint(fmt.Errorf("%s and %s differ only by case, which an archive may not have", other, path), "write the bundle as a folder: -o DIR")
	}
	s.names[lower] = path
	h := &tar.Header{Typeflag: tar.TypeReg, Name: s.top + "/" + path, Size: size, Mode: int64(mode), ModTime: s.seal}
	if err := s.tar.WriteHeader(h); err != nil {
		return nil, err
	}
	return io.MultiWriter(s.tar, s.packed), nil
}

func (s *archiveSink) close() error { return s.tar.Flush() }

func (s *archiveSink) finish() error {
	err := errors.Join(s.tar.Close(), s.zstd.Close())
	if s.age != nil {
		err = errors.Join(err, s.age.Close())
	}
	if err = errors.Join(err, s.f.Sync(), s.f.Close()); err != nil {
		return err
	}
	if err := s.packed.check(); err != nil {
		return evidence.WithHint(fmt.Errorf("the evidence packs so well that an archive of it would be refused: %w", err), "write the bundle as a folder: -o DIR")
	}
	if err := os.Rename(s.part, s.out); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(s.out))
}

func (s *archiveSink) abort() error {
	s.f.Close() //nolint:errcheck,gosec // it is removed
	if s.zstd != nil {
		s.zstd.Close() //nolint:errcheck,gosec // it is removed
	}
	return os.Remove(s.part)
}
