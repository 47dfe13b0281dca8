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

	"github.com/klauspost/compress/zstd"

	"snapcase/evidence"
	"snapcase/evidence/custody"
)

// Countersigned tells of a seal that was added to a bundle.
type Countersigned struct {
	ID   string `json:"bundle"` // SHA-256 of tagmanifest-sha256.txt
	Out  string `json:"out"`
	File string `json:"file"` // the new seal, below the bag
	Key  string `json:"key"`  // fingerprint of who countersigned
}

// Countersign adds a second seal over tagmanifest-sha256.txt, by another key,
// after the whole bundle was checked: one that is broken is evidence.ErrBroken
// and is not signed. The sealed bytes stay as they are. A bag folder gets one
// file more in seal/; an archive is written anew with one member more, is
// checked again, and takes the place of the old one or, where out is not "",
// lies there. A seal by the same key that is there already is os.ErrExist.
func Countersign(ctx context.Context, bundle, out string, signer custody.Signer, o custody.VerifyOptions) (Countersigned, error) {
	r, err := countersign(ctx, bundle, out, signer, o)
	if err != nil {
		return r, fmt.Errorf("countersign %s: %w", bundle, err)
	}
	return r, nil
}

func countersign(ctx context.Context, bundle, out string, signer custody.Signer, o custody.VerifyOptions) (r Countersigned, err error) {
	report, err := verify(ctx, bundle, o)
	if err != nil {
		return r, err
	}
	if report.Verdict == custody.Broken {
		return r, evidence.WithHint(report.Err(), "snapcase verify names each failure; what is broken is not signed")
	}
	s, err := sourceOf(bundle)
	if err != nil {
		return r, err
	}
	_, folder := s.(folderSource)
	if folder && out != "" {
		return r, fmt.Errorf("%w: a bag folder gets its seal in place; only an archive is written elsewhere", evidence.ErrUsage)
	}
	r = Countersigned{ID: report.Bundle, Out: bundle, Key: custody.Fingerprint(signer.PublicKey()), File: sealName(signer)}
	list, err := sealed(ctx, s, r.File)
	if err != nil {
		return r, err
	}
	sig, err := signer.Sign(list, custody.BundleNamespace)
	if err != nil {
		return r, fmt.Errorf("seal: %w", err)
	}
	if folder {
		return r, sealFolder(bundle, r.File, sig)
	}
	if out != "" {
		r.Out = out
		if _, err := os.Lstat(out); !errors.Is(err, os.ErrNotExist) {
			return r, evidence.WithHint(fmt.Errorf("%s: %w", out, os.ErrExist), "name a file that does not exist yet")
		}
	}
	return r, sealArchive(ctx, bundle, r, sig, o)
}

// sealName is the file of a signer's seal.
func sealName(s custody.Signer) string {
	return "seal/" + tagManifestName + "." + custody.Key16(s.PublicKey()) + ".sig"
}

// sealed gives the bytes that seals are made over. A bag that has the seal of
// that name is os.ErrExist.
func sealed(ctx context.Context, s source, seal string) (list []byte, err error) {
	there := false
	err = s.each(ctx, func(name string, _ int64, r io.Reader) error {
		there = there || name == seal
		if name != tagManifestName {
			return nil
		}
		var err error
		list, err = io.ReadAll(r)
		return err
	}, func(finding) {})
	switch {
	case err != nil:
		return nil, err
	case there:
		return nil, fmt.Errorf("%s: %w: this key sealed it already", seal, os.ErrExist)
	case list == nil:
		return nil, fmt.Errorf("%s is gone: %w", tagManifestName, evidence.ErrBroken)
	}
	return list, nil
}

// sealFolder puts a seal into a bag folder: whole, or not at all.
func sealFolder(bag, name string, sig []byte) error {
	part := partOf(bag) + "-seal"
	if err := writeWhole(part, sig); err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	to := filepath.Join(bag, filepath.FromSlash(name))
	if err := os.Rename(part, to); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return syncFolder(filepath.Dir(to))
}

func writeWhole(name string, b []byte) error {
	if err := os.RemoveAll(name); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// sealArchive writes an archive anew with one member more, checks that it is
// the same bundle, and puts it in its place.
func sealArchive(ctx context.Context, old string, r Countersigned, sig []byte, o custody.VerifyOptions) error {
	part := partOf(r.Out)
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	err := repack(ctx, old, part, r.File, sig)
	if err == nil {
		var again custody.Report
		again, err = verify(ctx, part, o)
		if err == nil && (again.Verdict == custody.Broken || again.Bundle != r.ID) {
			err = fmt.Errorf("the archive that was written does not hold: %w", evidence.ErrBroken)
		}
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	if err := os.Rename(part, r.Out); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return syncFolder(filepath.Dir(r.Out))
}

// repack copies the members of an archive as they are, and puts the seal where
// its name belongs.
func repack(ctx context.Context, old, part, seal string, sig []byte) (err error) {
	in, err := os.Open(old)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read-only
	unpacked, err := zstd.NewReader(bufio.NewReaderSize(in, 256<<10), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return err
	}
	defer unpacked.Close()
	f, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	packed, err := zstd.NewWriter(f, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return errors.Join(err, f.Close())
	}
	to := tar.NewWriter(packed)
	err = copyMembers(ctx, tar.NewReader(unpacked), to, seal, sig)
	return errors.Join(err, to.Close(), packed.Close(), f.Sync(), f.Close())
}

func copyMembers(ctx context.Context, from *tar.Reader, to *tar.Writer, seal string, sig []byte) error {
	var last *tar.Header
	top, done := "", false
	put := func() error {
		done = true
		h := &tar.Header{Typeflag: tar.TypeReg, Name: top + "/" + seal, Size: int64(len(sig)), Mode: 0o644, ModTime: last.ModTime}
		if err := to.WriteHeader(h); err != nil {
			return err
		}
		_, err := to.Write(sig)
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if last == nil {
			top = topOf(h.Name)
		}
		last = h
		if !done && h.Typeflag == tar.TypeReg && h.Name > top+"/"+seal {
			if err := put(); err != nil {
				return err
			}
		}
		if err := to.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(to, stopping{ctx, from}); err != nil {
			return err
		}
	}
	switch {
	case last == nil:
		return errors.New("the archive is empty")
	case !done:
		return put()
	}
	return nil
}

// topOf is the one folder of an archive.
func topOf(name string) string {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		name = dir
	}
	return path.Clean(name)
}

// stopping reads until the context ends.
type stopping struct {
	ctx context.Context
	r   io.Reader
}

func (s stopping) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
