package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf16"

	"snapcase/evidence"
	"snapcase/evidence/credential"
	decode "snapcase/evidence/credential/inside"
	"snapcase/imaging"
	"snapcase/imaging/filesystem/fstest"
)

// shell runs a script in a folder; the test is skipped where a tool is missing.
func shell(t testing.TB, dir, script string, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	c := exec.Command("sh", "-ec", script)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// secretText is a made-up secret.
const secretText = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKY"

func credentialsText(n int) string {
	return fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", idText(n), secretText)
}

// TestInside plants a key in every kind of thing that hides it, in an image
// that mkfs makes, and wants all places.
func TestInside(t *testing.T) {
	tree, src := t.TempDir(), t.TempDir()
	plant := func(dir, name, text string) {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	noise := strings.Repeat("a line of a log, with words\n", 20_000)
	for n, name := range []string{"log-gz", "log-zst", "log-xz", "log-bz2", "log-lz4", "home/u/.aws/credentials", "zipped/conf", "inner/conf", "utf16"} {
		text := noise + credentialsText(n) + noise
		if name == "utf16" {
			var b []byte
			for _, u := range utf16.Encode([]rune(text)) {
				b = append(b, byte(u), byte(u>>8))
			}
			text = string(b)
		}
		plant(src, name, text)
	}
	plant(tree, "user-data.txt", "#cloud-config\nwrite_files:\n- encoding: b64\n  content: "+base64.StdEncoding.EncodeToString([]byte(credentialsText(10)))+"\n")
	plant(tree, "deleted.gz", "")
	plant(tree, "broken.gz", "\x1f\x8b\x08\x00 this is no gzip file at all")
	plant(src, "gone", credentialsText(11))
	shell(t, src, `cd `+src+`; O=`+tree+`
gzip -c log-gz > $O/messages-1.weird
ln $O/messages-1.weird $O/a-link
zstd -qc log-zst > $O/messages-2
xz -c log-xz > $O/messages-3
bzip2 -c log-bz2 > $O/messages-4
lz4 -qc log-lz4 > $O/messages-5
tar -czf $O/logs.tar.gz home
zip -qr $O/app.jar zipped
zip -qr inner.zip inner
tar -cf layer.tar inner.zip
gzip -c layer.tar > $O/layer
gzip -c utf16 > $O/windows.gz
gzip -c gone > $O/deleted.gz
sqlite3 $O/history.db "CREATE TABLE h (a); INSERT INTO h VALUES (printf('%.*c', 8000, 'x') || ' `+idText(9)+` ' || printf('%.*c', 8000, 'y'));"
`, "gzip", "zstd", "xz", "bzip2", "lz4", "tar", "zip", "sqlite3", "debugfs")
	path := ext4Of(t, tree, "32M")
	shell(t, src, "debugfs -w -R 'rm deleted.gz' "+path)
	b, err := os.ReadFile(path)
	must(t, err)
	s := credential.NewScanner([]byte("k"))
	s.Scan(b, 0)
	c := diskCase(t, evidence.KindDisk, path, s.Hits())
	must(t, os.WriteFile(c.folder.CaseKey(), []byte("k"), 0o600))
	got := hitsOf(t, indexed(t, c))
	for n, want := range []string{
		"allocated /a-link!", "allocated /messages-2!", "allocated /messages-3!", "allocated /messages-4!", "allocated /messages-5!",
		"allocated /logs.tar.gz!home/u/.aws/credentials", "allocated /app.jar!zipped/conf", "allocated /layer!inner.zip!inner/conf", "allocated /windows.gz!",
		"allocated /history.db!page-2-cell-0", "allocated /user-data.txt!base64-54", "deleted /deleted.gz!",
	} {
		if !slices.Contains(got[idText(n)], want) {
			t.Errorf("%s: %q, want %q", idText(n), got[idText(n)], want)
		}
	}
	insideKeys(t, c, b)
}

// insideKeys looks at the places as keys gives them.
func insideKeys(t *testing.T, c *Case, image []byte) {
	t.Helper()
	keys, err := c.Keys(context.Background(), false)
	must(t, err)
	if len(keys) != 12 {
		t.Errorf("%d keys", len(keys))
	}
	prints := map[string]bool{}
	for _, k := range keys {
		for _, p := range k.Places {
			if p.InnerOffset == nil {
				continue
			}
			insideCat(t, c, k.KeyID, p)
			if k.KeyID != idText(9) {
				prints[p.Fingerprint] = true
			}
			if p.Offset <= 0 || !strings.Contains("\x1f\x8b \x28\xb5 \xfd7 BZ \x04\x22 PK SQ #c", string(image[p.Offset:p.Offset+2])) {
				t.Errorf("%s: no file starts at %d", *p.Address, p.Offset)
			}
		}
	}
	if len(prints) != 1 || prints[""] {
		t.Errorf("fingerprints %v of one secret", prints)
	}
	st, err := c.Stats(context.Background())
	must(t, err)
	if g := st[0].Gaps; len(g) != 1 || !strings.HasSuffix(g[0].Place, "/broken.gz") {
		t.Errorf("gaps %+v", g)
	}
	db, err := os.ReadFile(c.indexPath())
	must(t, err)
	if strings.Contains(string(db), secretText) {
		t.Error("the index holds a secret")
	}
}

// insideCat wants the key where the place says that it is.
func insideCat(t *testing.T, c *Case, key string, p evidence.Place) {
	t.Helper()
	a, err := evidence.ParseAddress(*p.Address)
	must(t, err)
	var out bytes.Buffer
	e, err := c.CopyInside(context.Background(), a, &out)
	if err != nil {
		t.Errorf("%s: %v", *p.Address, err)
		return
	}
	text := out.Bytes()[min(int64(out.Len()), *p.InnerOffset):]
	if strings.HasSuffix(a.Path, "windows.gz!") {
		text = bytes.ReplaceAll(text, []byte{0}, nil)
	}
	if !bytes.HasPrefix(text, []byte(key)) || e.Path != a.Path[:strings.IndexByte(a.Path, '!')] || e.Damage != nil && p.Status != "deleted" {
		t.Errorf("%s: %d bytes of %+v, the key is not at %d", *p.Address, out.Len(), e, *p.InnerOffset)
	}
	a.Path += "x"
	if _, err := c.CopyInside(context.Background(), a, &out); !errors.Is(err, evidence.ErrNotFound) {
		t.Errorf("%s: %v", a, err)
	}
}

// TestInsideBomb wants a quick end of 10 GiB of zeros in gzip, said with its
// address, and of a hole of a TiB, which hides nothing, and the bound on all of
// an exhibit said once.
func TestInsideBomb(t *testing.T) {
	tree := t.TempDir()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	zeros := make([]byte, 1<<20)
	for range 256 {
		_, err := w.Write(zeros)
		must(t, err)
	}
	must(t, w.Close())
	must(t, os.WriteFile(filepath.Join(tree, "bomb.gz"), bytes.Repeat(z.Bytes(), 40), 0o644))
	must(t, os.WriteFile(filepath.Join(tree, "hole"), []byte(strings.Repeat("text ", 1000)), 0o644))
	must(t, os.Truncate(filepath.Join(tree, "hole"), 1<<40))
	c := indexed(t, diskCase(t, evidence.KindDisk, ext4Of(t, tree, "64M"), nil))
	st, err := c.Stats(context.Background())
	must(t, err)
	if g := st[0].Gaps; len(g) != 1 || !strings.HasSuffix(g[0].Place, "/bomb.gz!") || !strings.Contains(g[0].Reason, "200 times") || g[0].Offset == 0 {
		t.Errorf("gaps %+v", g)
	}
	s := &insideScan{l: &load{c: c}, budget: decode.NewBudget(1000)}
	d := decode.NewDecoder(s.budget)
	for range 3 {
		src := fstest.Bytes(z.Bytes())
		must(t, s.look(t.Context(), d, &insideSource{address: "EX-001/bomb", open: func() (imaging.Source, error) { return src, nil }}))
	}
	s.end()
	if g := s.l.stats.Gaps; len(g) != 1 || !strings.Contains(g[0].Reason, "this file and 2 more") {
		t.Errorf("gaps %+v", g)
	}
}

// TestInsideOthers looks inside files of the other file systems, small ones that
// lie in the inode too.
func TestInsideOthers(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		tools  []string
	}{
		"xfs":  {`truncate -s 320M disk; printf '/\n0 0\nd--755 0 0\nsmall ---644 0 0 small.gz\nlarge ---644 0 0 large.gz\n$\n' > proto; mkfs.xfs -q -p proto disk`, []string{"mkfs.xfs"}},
		"ntfs": {`truncate -s 16M disk; mkfs.ntfs -QqF disk; ntfscp -q disk small.gz small; ntfscp -q disk large.gz large`, []string{"mkfs.ntfs", "ntfscp"}},
		"fat":  {`truncate -s 16M disk; mkfs.fat disk >/dev/null; mcopy -i disk small.gz ::/small; mcopy -i disk large.gz ::/large`, []string{"mkfs.fat", "mcopy"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			pack := func(name string, n int, before string) {
				var b bytes.Buffer
				z := gzip.NewWriter(&b)
				_, err := z.Write([]byte(before + credentialsText(n)))
				must(t, errors.Join(err, z.Close()))
				must(t, os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644))
			}
			pack("small.gz", 0, "")
			noise := make([]byte, 100_000)
			rand.NewChaCha8([32]byte{}).Read(noise)
			pack("large.gz", 1, string(noise))
			shell(t, dir, c.script, c.tools...)
			got := hitsOf(t, indexed(t, diskCase(t, evidence.KindDisk, filepath.Join(dir, "disk"), nil)))
			for n, want := range []string{"allocated /small!", "allocated /large!"} {
				if !slices.Equal(got[idText(n)], []string{want}) {
					t.Errorf("%q, want %q", got[idText(n)], want)
				}
			}
		})
	}
}

// TestPackedContent finds a key in a file that NTFS itself compresses.
func TestPackedContent(t *testing.T) {
	if testing.Short() || os.Getuid() != 0 {
		t.Skip("mounts a volume")
	}
	dir := t.TempDir()
	noise := strings.Repeat("a line of a log, with words\n", 20_000)
	must(t, os.WriteFile(filepath.Join(dir, "log"), []byte(noise+credentialsText(0)+noise), 0o644))
	shell(t, dir, "truncate -s 16M disk; mkfs.ntfs -QqF disk; mkdir mnt", "mkfs.ntfs", "ntfs-3g")
	if out, err := exec.Command("ntfs-3g", "-o", "compression,streams_interface=xattr", filepath.Join(dir, "disk"), filepath.Join(dir, "mnt")).CombinedOutput(); err != nil {
		t.Skipf("ntfs-3g: %v: %s", err, out)
	}
	err := os.Mkdir(filepath.Join(dir, "mnt/packed"), 0o755)
	if err == nil {
		err = syscall.Setxattr(filepath.Join(dir, "mnt/packed"), "system.ntfs_attrib_be", []byte{0, 0, 8, 16}, 0)
	}
	copied := exec.Command("cp", filepath.Join(dir, "log"), filepath.Join(dir, "mnt/packed/log")).Run()
	must(t, errors.Join(err, copied, exec.Command("umount", filepath.Join(dir, "mnt")).Run()))
	b, err := os.ReadFile(filepath.Join(dir, "disk"))
	must(t, err)
	s := credential.NewScanner(nil)
	s.Scan(b, 0)
	if n := len(s.Hits()); n > 0 {
		t.Fatalf("it was not compressed: %d hits", n)
	}
	keys, err := indexed(t, diskCase(t, evidence.KindDisk, filepath.Join(dir, "disk"), nil)).Keys(context.Background(), false)
	must(t, err)
	if len(keys) != 1 || len(keys[0].Places) != 1 {
		t.Fatalf("%+v", keys)
	}
	p := keys[0].Places[0]
	at := int64(len(noise) + strings.Index(credentialsText(0), "AKIA"))
	if p.Status != hitAllocated || !strings.HasSuffix(*p.Address, "/packed/log") || p.FileOffset == nil || *p.FileOffset != at || p.InnerOffset != nil || !p.Secret {
		t.Errorf("%+v", p)
	}
}

// TestSquashed finds keys in files of squashfs, all of which is packed.
func TestSquashed(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "tree"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "tree/log"), []byte(strings.Repeat("a line of it\n", 30000)+credentialsText(0)), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "tree/small"), []byte(credentialsText(1)), 0o644))
	shell(t, dir, "mksquashfs tree disk -quiet -no-progress", "mksquashfs")
	c := indexed(t, diskCase(t, evidence.KindDisk, filepath.Join(dir, "disk"), nil))
	st, err := c.Stats(context.Background())
	must(t, err)
	if st[0].Volumes[0].Error != nil {
		t.Skip("needs a reader of squashfs")
	}
	got := hitsOf(t, c)
	for n, want := range []string{"allocated /log 390030", "allocated /small 30"} {
		if !slices.Equal(got[idText(n)], []string{want}) {
			t.Errorf("%q, want %q", got[idText(n)], want)
		}
	}
}

// TestSwap wants a key in a swap area to have its volume and the byte of it.
func TestSwap(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "disk")
	shell(t, dir, `truncate -s 8M disk; truncate -s 4M swap; mkswap -q swap; printf 'label: dos\nstart=2048, size=8192, type=82\n' | sfdisk -q disk; dd if=swap of=disk bs=1M seek=1 conv=notrunc 2>/dev/null`, "mkswap", "sfdisk")
	b, err := os.ReadFile(path)
	must(t, err)
	copy(b[1<<20+20_000:], "AWS "+credentialsText(0))
	copy(b[7<<20:], " "+idText(1)+" ")
	must(t, os.WriteFile(path, b, 0o644))
	s := credential.NewScanner([]byte("k"))
	s.Scan(b, 0)
	keys, err := indexed(t, diskCase(t, evidence.KindDisk, path, s.Hits())).Keys(context.Background(), false)
	must(t, err)
	if len(keys) != 2 {
		t.Fatalf("%d keys", len(keys))
	}
	p := keys[0].Places[0]
	if p.Status != hitUnallocated || p.Area != areaSwap || p.Address == nil || *p.Address != "EX-001/p1" || p.FileOffset == nil || *p.FileOffset != p.Offset-1<<20 || !p.Secret {
		t.Errorf("in swap: %+v", p)
	}
	if p := keys[1].Places[0]; p.Area == areaSwap || p.Address != nil {
		t.Errorf("behind it: %+v", p)
	}
}

// TestFolderInside finds a key in a file of an exhibit that is a folder.
func TestFolderInside(t *testing.T) {
	var text bytes.Buffer
	z := gzip.NewWriter(&text)
	_, err := z.Write([]byte(credentialsText(0)))
	must(t, errors.Join(err, z.Close()))
	c := newTestCase(t)
	x := bring(t, c, evidence.KindFile, map[string]string{"var/log/old": text.String(), "plain": credentialsText(1)})
	got := hitsOf(t, indexed(t, c))
	if w := []string{"allocated " + x + "/var/log/old!"}; !slices.Equal(got[idText(0)], w) {
		t.Errorf("%q, want %q", got[idText(0)], w)
	}
	if w := []string{"allocated " + x + "/plain"}; !slices.Equal(got[idText(1)], w) {
		t.Errorf("%q, want %q", got[idText(1)], w)
	}
}

// BenchmarkIndexLogs indexes an image with 2,000 rotated logs, each 200 kB
// before gzip.
func BenchmarkIndexLogs(b *testing.B) {
	tree := b.TempDir()
	for i := range 2000 {
		var text bytes.Buffer
		z := gzip.NewWriter(&text)
		for n := range 2500 {
			fmt.Fprintf(z, "Nov 27 %02d:%02d:%02d ip-10-0-%d-%d sshd[%d]: Accepted publickey for ec2-user\n", n/3600, n/60%60, n%60, i%256, n*7%256, n*i%32768)
		}
		must(b, z.Close())
		must(b, os.WriteFile(filepath.Join(tree, fmt.Sprintf("log-%d.gz", i)), text.Bytes(), 0o644))
	}
	c := diskCase(b, evidence.KindDisk, ext4Of(b, tree, "256M"), nil)
	for b.Loop() {
		must(b, c.Index(context.Background(), IndexOptions{Rebuild: true}, nil))
	}
}

// TestInsideBounds keeps what fits and counts the rest.
func TestInsideBounds(t *testing.T) {
	s := &insideScan{}
	long := strings.Repeat("x", 5<<20)
	for i := range 20 {
		k := &insideTaker{s: s, f: &insideSource{}}
		for j := range 10 {
			k.found(fmt.Sprint(long, i, j), -1, []credential.Hit{{Offset: 1}, {Offset: 2}})
		}
		s.keep(k)
	}
	if n := int64(len(s.hits)) + s.omitted; n != 400 || len(s.hits) != 20 || s.paths > insidePaths {
		t.Errorf("%d kept with %d bytes of names, %d in all", len(s.hits), s.paths, n)
	}
}

// TestKeyInPlainTar finds a key in a tar once: under its member, at its own byte
// of the image.
func TestKeyInPlainTar(t *testing.T) {
	tree, src := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(src, "conf"), []byte(credentialsText(1)), 0o644))
	shell(t, src, "tar -cf "+tree+"/plain.tar -C "+src+" conf", "tar")
	path := ext4Of(t, tree, "32M")
	b, err := os.ReadFile(path)
	must(t, err)
	s := credential.NewScanner([]byte("k"))
	s.Scan(b, 0)
	c := diskCase(t, evidence.KindDisk, path, s.Hits())
	must(t, os.WriteFile(c.folder.CaseKey(), []byte("k"), 0o600))
	keys, err := indexed(t, c).Keys(context.Background(), false)
	must(t, err)
	if len(keys) != 1 || len(keys[0].Places) != 1 {
		t.Fatalf("%+v", keys)
	}
	p := keys[0].Places[0]
	if p.InnerOffset == nil || !strings.HasSuffix(*p.Address, "/plain.tar!conf") || !p.Secret || !bytes.HasPrefix(b[p.Offset:], []byte(keys[0].KeyID)) {
		t.Errorf("%+v at %s", p, *p.Address)
	}
}
