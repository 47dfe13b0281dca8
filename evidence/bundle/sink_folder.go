package bundle

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// folderSink writes a bag as a folder: under a temporary name beside it, then
// renamed.
type folderSink struct {
	out, part string
	seal      time.Time
	now       *sparseFile
	mode      os.FileMode
	folders   []string
}

func newFolderSink(out string, seal time.Time) (*folderSink, error) {
	part := partOf(out)
	if err := os.RemoveAll(part); err != nil {
		return nil, err
	}
	if err := os.Mkdir(part, 0o755); err != nil {
		return nil, err
	}
	return &folderSink{out: out, part: part, seal: seal, folders: []string{part}}, nil
}

// partOf is the name of an output while it is written. What a killed process
// left under it is removed by the next one.
func partOf(out string) string {
	out = filepath.Clean(out)
	return filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+".snapcase-part")
}

func (s *folderSink) create(path string, _ int64, mode os.FileMode) (io.Writer, error) {
	name := filepath.Join(s.part, filepath.FromSlash(path))
	if dir := filepath.Dir(name); dir != s.folders[len(s.folders)-1] {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		s.folders = append(s.folders, dir)
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return nil, err
	}
	s.now, s.mode = &sparseFile{f: f}, mode
	return s.now, nil
}

func (s *folderSink) close() error {
	f := s.now.f
	err := errors.Join(s.now.end(), f.Chmod(s.mode), f.Sync(), f.Close(), os.Chtimes(f.Name(), s.seal, s.seal))
	s.now = nil
	return err
}

func (s *folderSink) finish() error {
	for _, dir := range s.folders {
		if err := syncFolder(dir); err != nil {
			return err
		}
	}
	if err := os.Remove(s.out); err != nil && !errors.Is(err, os.ErrNotExist) { // an empty folder
		return err
	}
	if err := os.Rename(s.part, s.out); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(s.out))
}

func (s *folderSink) abort() error {
	var err error
	if s.now != nil {
		err = s.now.f.Close()
	}
	return errors.Join(err, os.RemoveAll(s.part))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
