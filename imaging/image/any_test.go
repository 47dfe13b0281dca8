package image_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"snapcase/imaging"
	"snapcase/imaging/image"
	"snapcase/imaging/image/container/containertest"
	"snapcase/imaging/image/zst"
)

var _ imaging.Source = (*image.Container)(nil)

// need skips a test without the tool.
func need(t testing.TB, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("needs %s", tool)
	}
}

func run(t testing.TB, dir, tool string, args ...string) {
	t.Helper()
	c := exec.Command(tool, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, out)
	}
}

func openAny(t testing.TB, path string) *image.Container {
	t.Helper()
	c, err := image.OpenAny(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// sound wants a container without damage, equal to want.
func sound(t *testing.T, path, format string, want []byte) *image.Container {
	t.Helper()
	c := openAny(t, path)
	if c.Format != format {
		t.Errorf("format %q, want %q; tried %q", c.Format, format, c.Tried)
	}
	containertest.Same(t, c, want)
	if len(c.Gaps()) > 0 || len(c.Damage) > 0 {
		t.Errorf("gaps %v, damage %q", c.Gaps(), c.Damage)
	}
	return c
}

func put(t testing.TB, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEWFAgainstTools(t *testing.T) {
	need(t, "ewfacquire")
	want := containertest.Disk(3<<20 + 512)
	dir := t.TempDir()
	raw := put(t, dir, "disk.raw", want)
	for _, format := range []string{"encase1", "encase2", "encase5", "encase6", "encase7", "linen5", "linen6", "ftk", "smart", "ewfx"} {
		for _, level := range []string{"none", "fast", "best"} {
			for _, split := range []string{"", "1MiB"} {
				t.Run(format+"/"+level+"/"+split, func(t *testing.T) {
					sub := t.TempDir()
					args := []string{"-u", "-t", filepath.Join(sub, "out"), "-f", format, "-c", level, "-d", "sha1", "-C", "case 7", "-e", "A. Nother", "-N", "note\u00e9"}
					if split != "" {
						args = append(args, "-S", split)
					}
					run(t, sub, "ewfacquire", append(args, raw)...)
					files, _ := filepath.Glob(filepath.Join(sub, "out.?0[0-9]"))
					c := sound(t, files[0], "ewf", want)
					if len(c.Segments) != len(files) || split != "" && level == "none" && len(files) < 3 {
						t.Errorf("segments %v of %v", c.Segments, files)
					}
					last := openAny(t, files[len(files)-1])
					if !slices.Equal(last.Segments, c.Segments) {
						t.Errorf("by the last segment: %v", last.Segments)
					}
					if c.Stored["md5"] == "" {
						t.Errorf("stored %v, header %q", c.Stored, c.Header)
					}
				})
			}
		}
	}
}

// convert makes a container with qemu-img; size is a multiple of what the
// format can hold.
func convert(t testing.TB, raw, out, format, options string, flags ...string) {
	t.Helper()
	args := append([]string{"convert", "-f", "raw", "-O", format}, flags...)
	if options != "" {
		args = append(args, "-o", options)
	}
	run(t, filepath.Dir(out), "qemu-img", append(args, raw, out)...)
}

func TestQcow2AgainstTools(t *testing.T) {
	need(t, "qemu-img")
	want := containertest.Disk(7<<20 + 512)
	dir := t.TempDir()
	raw := put(t, dir, "disk.raw", want)
	for i, c := range []struct {
		options string
		flags   []string
	}{
		{"", nil},
		{"compat=0.10", nil},
		{"cluster_size=512", nil},
		{"cluster_size=2M", nil},
		{"compat=0.10", []string{"-c"}},
		{"", []string{"-c"}},
		{"cluster_size=4k", []string{"-c"}},
		{"cluster_size=2M", []string{"-c"}},
		{"compression_type=zstd", []string{"-c"}},
		{"compression_type=zstd,cluster_size=1M", []string{"-c"}},
		{"extended_l2=on", nil},
		{"extended_l2=on,cluster_size=16k", []string{"-c"}},
		{"preallocation=metadata", nil},
	} {
		t.Run(c.options+strings.Join(c.flags, ""), func(t *testing.T) {
			out := filepath.Join(dir, fmt.Sprintf("%d.qcow2", i))
			convert(t, raw, out, "qcow2", c.options, c.flags...)
			sound(t, out, "qcow2", want)
		})
	}
}

// An image upon another: parts written, parts made zero, and a size of its own.
func TestQcow2Backing(t *testing.T) {
	need(t, "qemu-io")
	want := containertest.Disk(5 << 20)
	for _, options := range []string{"cluster_size=64k", "extended_l2=on,cluster_size=64k"} {
		dir := t.TempDir()
		raw := put(t, dir, "disk.raw", want)
		base := filepath.Join(dir, "base.qcow2")
		convert(t, raw, base, "qcow2", "", "-c")
		run(t, dir, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "base.qcow2", "-o", options, "top.qcow2", "6M")
		run(t, dir, "qemu-io", "-c", "write -P 0xab 70000 300000", "-c", "write -z 1048576 200000", "-c", "write -P 3 5600000 2048", "top.qcow2")
		flat := filepath.Join(dir, "flat.raw")
		run(t, dir, "qemu-img", "convert", "-O", "raw", "top.qcow2", flat)
		now, err := os.ReadFile(flat)
		if err != nil {
			t.Fatal(err)
		}
		top := filepath.Join(dir, "top.qcow2")
		if c := sound(t, top, "qcow2", now); len(c.Segments) != 2 {
			t.Errorf("segments %v", c.Segments)
		}
		if err := os.Remove(base); err != nil {
			t.Fatal(err)
		}
		var no *image.UnsupportedError
		if _, err := image.OpenAny(top); !errors.As(err, &no) || !strings.Contains(err.Error(), "base.qcow2") {
			t.Errorf("without its backing file: %v", err)
		}
	}
}

func TestVMDKAgainstTools(t *testing.T) {
	need(t, "qemu-img")
	want := containertest.Disk(37<<20 + 64<<10)
	dir := t.TempDir()
	raw := put(t, dir, "disk.raw", want)
	for _, sub := range []string{"monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"} {
		t.Run(sub, func(t *testing.T) {
			out := filepath.Join(dir, sub+".vmdk")
			convert(t, raw, out, "vmdk", "subformat="+sub)
			sound(t, out, "vmdk", want)
		})
	}
	t.Run("zeroed", func(t *testing.T) {
		out := filepath.Join(dir, "zeroed.vmdk")
		convert(t, raw, out, "vmdk", "zeroed_grain=on")
		sound(t, out, "vmdk", want)
	})
	// A stream whose end is lost: what its markers give, then a gap.
	t.Run("cut", func(t *testing.T) {
		b, err := os.ReadFile(filepath.Join(dir, "streamOptimized.vmdk"))
		if err != nil {
			t.Fatal(err)
		}
		c := openAny(t, put(t, dir, "cut.vmdk", b[:len(b)/2]))
		if n, right := containertest.Damaged(t, c, want); n < 1<<20 || n > 30<<20 || !right {
			t.Errorf("%d bytes are gaps, right %v", n, right)
		}
	})
}

func TestVMDKParent(t *testing.T) {
	need(t, "qemu-io")
	want := containertest.Disk(5 << 20)
	dir := t.TempDir()
	raw := put(t, dir, "disk.raw", want)
	convert(t, raw, filepath.Join(dir, "base.vmdk"), "vmdk", "subformat=monolithicSparse")
	run(t, dir, "qemu-img", "create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", "base.vmdk", "top.vmdk")
	run(t, dir, "qemu-io", "-c", "write -P 0xab 70000 300000", "top.vmdk")
	for i := 70_000; i < 370_000; i++ {
		want[i] = 0xab
	}
	sound(t, filepath.Join(dir, "top.vmdk"), "vmdk", want)
}

func TestVHDAgainstTools(t *testing.T) {
	need(t, "qemu-img")
	dir := t.TempDir()
	want := containertest.Disk(9<<20 + 512)
	raw := put(t, dir, "disk.raw", want)
	for _, options := range []string{"subformat=fixed,force_size=on", "subformat=dynamic,force_size=on"} {
		t.Run(options, func(t *testing.T) {
			out := filepath.Join(dir, "out.vhd")
			convert(t, raw, out, "vpc", options)
			sound(t, out, "vhd", want)
		})
	}
	// Without force_size the disk is rounded up to whole cylinders.
	for _, options := range []string{"subformat=fixed", "subformat=dynamic"} {
		t.Run(options, func(t *testing.T) {
			out, flat := filepath.Join(dir, "out.vhd"), filepath.Join(dir, "flat.raw")
			convert(t, raw, out, "vpc", options)
			run(t, dir, "qemu-img", "convert", "-f", "vpc", "-O", "raw", out, flat)
			rounded, err := os.ReadFile(flat)
			if err != nil {
				t.Fatal(err)
			}
			sound(t, out, "vhd", rounded)
		})
	}
}

func TestVHDXAgainstTools(t *testing.T) {
	need(t, "qemu-img")
	dir := t.TempDir()
	want := containertest.Disk(35 << 20)
	raw := put(t, dir, "disk.raw", want)
	for _, options := range []string{"", "subformat=fixed", "block_size=1M", "block_size=32M", "block_state_zero=off"} {
		t.Run(options, func(t *testing.T) {
			out := filepath.Join(dir, "out.vhdx")
			convert(t, raw, out, "vhdx", options)
			sound(t, out, "vhdx", want)
		})
	}
	t.Run("large", func(t *testing.T) { // bitmap entries stand between the blocks
		out := filepath.Join(dir, "large.vhdx")
		run(t, dir, "qemu-img", "create", "-q", "-f", "vhdx", "-o", "block_size=1M", out, "40G")
		run(t, dir, "qemu-io", "-f", "vhdx", "-c", "write -P 7 4294967296 5000000", "-c", "write -P 9 12884901376 1024", out)
		c := openAny(t, out)
		p := make([]byte, 5000002)
		if _, err := c.ReadAt(p, 4<<30-1); err != nil || p[0] != 0 || p[1] != 7 || p[5000000] != 7 || p[5000001] != 0 {
			t.Errorf("%v, %v", p[:2], err)
		}
		if _, err := c.ReadAt(p[:1026], 12884901375); err != nil || p[0] != 0 || p[1] != 9 || p[1024] != 9 || p[1025] != 0 {
			t.Errorf("%v, %v", p[:2], err)
		}
	})
}

func compress(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zst.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(b); at += 70_001 {
		if _, err := w.Write(b[at:min(at+70_001, len(b))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestZstAgainstTools(t *testing.T) {
	need(t, "zstd")
	dir := t.TempDir()
	for _, n := range []int{0, 1, 512, 1 << 20, 1<<20 + 1, 9<<20 + 512} {
		want := containertest.Disk(n)
		path := put(t, dir, "disk.raw.zst", compress(t, want))
		out := filepath.Join(dir, "back.raw")
		run(t, dir, "zstd", "-q", "-d", "-f", "-o", out, path)
		run(t, dir, "zstd", "-q", "-t", path)
		back, err := os.ReadFile(out)
		if err != nil || !bytes.Equal(back, want) {
			t.Fatalf("%d bytes: zstd restores %d, %v", n, len(back), err)
		}
		c := openAny(t, path)
		if n == 0 {
			if c.Size() != 0 || c.Format != "zst" {
				t.Errorf("%s of %d bytes", c.Format, c.Size())
			}
			continue
		}
		sound(t, path, "zst", want)
	}
	plain := put(t, dir, "disk.raw", containertest.Disk(5000))
	run(t, dir, "zstd", "-q", "-f", plain)
	var no *image.UnsupportedError
	if _, err := image.OpenAny(plain + ".zst"); !errors.As(err, &no) || !strings.Contains(err.Error(), "seek table") {
		t.Errorf("a plain zstd file: %v", err)
	}
}

func hash(t *testing.T, c *image.Container) string {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(c, 0, c.Size())); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func hashMD5(t *testing.T, c *image.Container) string {
	t.Helper()
	h := md5.New()
	if _, err := io.Copy(h, io.NewSectionReader(c, 0, c.Size())); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
