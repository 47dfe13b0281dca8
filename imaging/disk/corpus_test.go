package disk

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"snapcase/imaging/filesystem/fstest"
)

// corpus gives the folder of the shared test images.
func corpus(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SNAPCASE_CORPUS")
	if dir == "" {
		t.Skip("needs SNAPCASE_CORPUS, the folder of the test corpus")
	}
	return filepath.Join(dir, "images")
}

// unpack gives the content of a packed file.
func unpack(t testing.TB, path string) []byte {
	t.Helper()
	tool := map[string]string{".xz": "xz", ".zst": "zstd", ".gz": "gzip"}[filepath.Ext(path)]
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("needs %s", tool)
	}
	b, err := exec.Command(tool, "-dc", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// expected reads what blkid says: KEY=value lines, with \xNN in values.
func expected(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if raw, err := strconv.Unquote(`"` + value + `"`); err == nil {
			value = raw
		}
		m[key] = value
	}
	return m
}

// TestSignatures compares type, label, UUID and version with what blkid says
// of its own test images.
func TestSignatures(t *testing.T) {
	dir := filepath.Join(corpus(t), "blkid")
	list, _ := filepath.Glob(filepath.Join(dir, "expected", "low-probe-*"))
	if len(list) == 0 {
		t.Fatalf("no images in %s", dir)
	}
	for _, path := range list {
		name := strings.TrimPrefix(filepath.Base(path), "low-probe-")
		t.Run(name, func(t *testing.T) {
			want := expected(t, path)
			d, err := Open(fstest.Bytes(unpack(t, filepath.Join(dir, name+".img.xz"))))
			if err != nil {
				t.Fatal(err)
			}
			for _, made := range d.Volumes[1:] { // an array that it is a member of
				if made.made == nil {
					t.Fatalf("%d volumes", len(d.Volumes))
				}
				t.Logf("%s %s: %q %v", made.ID, made.Type, made.Notes, made.Err)
			}
			v := d.Volumes[0]
			for _, f := range []struct{ name, got, want string }{
				{"type", v.FSType, want["ID_FS_TYPE"]},
				{"label", v.FSLabel, want["ID_FS_LABEL_ENC"]},
				{"uuid", v.FSUUID, want["ID_FS_UUID_ENC"]},
				{"version", v.FSVersion, want["ID_FS_VERSION"]},
			} {
				if f.got != f.want && (f.name != "version" || f.want != "") {
					t.Errorf("%s is %q, blkid says %q", f.name, f.got, f.want)
				}
			}
			if len(v.Signatures) != 1 {
				t.Logf("signatures: %+v", v.Signatures)
			}
			if v.FS == nil && v.Err == nil && byNature(v.FSType) == "" && len(d.Volumes) == 1 {
				t.Error("no file system is read and nothing says why")
			}
		})
	}
}

// TestCorpusSurvives cuts every image of the corpus of signatures.
func TestCorpusSurvives(t *testing.T) {
	list, _ := filepath.Glob(filepath.Join(corpus(t), "blkid", "*.xz"))
	for _, path := range list {
		b := unpack(t, path)
		for i := range 4 {
			if _, err := Open(fstest.Bytes(b[:len(b)/4*i])); err != nil {
				t.Errorf("%s: %v", filepath.Base(path), err)
			}
		}
		if bytes.Equal(b, nil) {
			t.Errorf("%s is empty", path)
		}
	}
}
