// Package demo holds the evidence of the demonstration case and unpacks it:
// a disk, CloudTrail as S3 holds it, flow logs, a mirrored capture. The files
// are made by testdata/demo/make.sh; what was planted in them is told by
// testdata/demo/README.md and nowhere in this program.
//
// The package knows file names and labels only. It does not read evidence,
// make a case or answer anything: the ordinary verbs do that.
package demo

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

//go:embed disk.raw.zst
var diskZst []byte

//go:embed logs.tar.zst
var logsZst []byte

// Source is one piece of evidence on disk, ready to be acquired.
type Source struct {
	Path  string // file or folder
	Kind  string // as evidence.Kind: disk, cloudtrail, flowlog, pcap
	Label string
}

// Write unpacks the evidence below dir, which is made when it is not there,
// and lists it in the order in which it is to be acquired. Files of the same
// names are replaced; a second call writes the same bytes.
func Write(dir string) ([]Source, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("unpack evidence: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("unpack evidence: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing is buffered
	if err := writeDisk(root); err != nil {
		return nil, fmt.Errorf("unpack evidence: disk.raw: %w", err)
	}
	if err := writeLogs(root); err != nil {
		return nil, fmt.Errorf("unpack evidence: logs: %w", err)
	}
	return []Source{
		{filepath.Join(dir, "disk.raw"), "disk", "web-1, system volume"},
		{filepath.Join(dir, "cloudtrail"), "cloudtrail", "CloudTrail, all regions, 6 to 20 October 2026"},
		{filepath.Join(dir, "flowlogs"), "flowlog", "VPC flow logs"},
		{filepath.Join(dir, "mirror.pcapng"), "pcap", "Traffic Mirroring, 16 October 2026"},
	}, nil
}

// create replaces name by what fill writes; a half-written file never bears
// the name.
func create(root *os.Root, name string, fill func(*os.File) error) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	tmp := name + ".part"
	f, err := root.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(f), f.Close()); err != nil {
		return errors.Join(err, root.Remove(tmp))
	}
	return root.Rename(tmp, name)
}

// writeDisk unpacks the image and leaves holes where it is zero.
func writeDisk(root *os.Root) error {
	z, err := zstd.NewReader(bytes.NewReader(diskZst))
	if err != nil {
		return err
	}
	defer z.Close()
	return create(root, "disk.raw", func(f *os.File) error {
		block, zero := make([]byte, 64<<10), make([]byte, 64<<10)
		var off int64
		for {
			n, err := io.ReadFull(z, block)
			if n > 0 && !bytes.Equal(block[:n], zero[:n]) {
				if _, err := f.WriteAt(block[:n], off); err != nil {
					return err
				}
			}
			off += int64(n)
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return f.Truncate(off)
			}
			if err != nil {
				return err
			}
		}
	})
}

// writeLogs unpacks the other evidence. Logs that a service delivers packed
// are embedded plain, since they pack better together, and get their gzip here.
func writeLogs(root *os.Root) error {
	z, err := zstd.NewReader(bytes.NewReader(logsZst))
	if err != nil {
		return err
	}
	defer z.Close()
	gz := gzip.NewWriter(io.Discard)
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		name, packed := h.Name, strings.Contains(h.Name, "/AWSLogs/")
		if packed {
			name += ".gz"
		}
		err = create(root, name, func(f *os.File) error {
			if !packed {
				_, err := io.Copy(f, t)
				return err
			}
			gz.Reset(f)
			_, err := io.Copy(gz, t)
			return errors.Join(err, gz.Close())
		})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}
