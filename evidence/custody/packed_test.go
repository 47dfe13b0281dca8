package custody

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"snapcase/evidence"
)

// packedCase is a case with one packed image of four blocks and a half, whose
// ledger says that it unpacks to sum ("" for the truth).
func packedCase(t *testing.T, sum string) (f evidence.Folder, image []byte) {
	t.Helper()
	f, l, _ := newLedger(t)
	must(t, l.Append(t.Context(), Record{Type: "evidence.acquire.start", Exhibit: "EX-001", Data: map[string]any{"kind": "disk", "source": "x"}}))
	image = make([]byte, testBlock*9/2)
	for i := range image {
		image[i] = byte(i * i >> 7)
	}
	var blocks, packed bytes.Buffer
	enc, err := zstd.NewWriter(nil)
	must(t, err)
	for off := 0; off < len(image); off += testBlock {
		b := image[off:min(len(image), off+testBlock)]
		fmt.Fprintf(&blocks, "%s  %d %d\n", sumOf(b), off, len(b))
		packed.Write(enc.EncodeAll(b, nil))
	}
	packed.WriteString("\x5e\x2a\x4d\x18\x04\x00\x00\x00none") // skipped by whoever unpacks
	if sum == "" {
		sum = sumOf(image)
	}
	dir := f.Exhibit("EX-001") + "/"
	zst := put(t, dir+packedFile, packed.Bytes())
	files := map[string]any{
		packedFile:            zst,
		"blocks-sha256.txt":   put(t, dir+"blocks-sha256.txt", blocks.Bytes()),
		"manifest-sha256.txt": put(t, dir+"manifest-sha256.txt", []byte(sum+"  image.raw\n"+zst+"  image.raw.zst\n")),
		"acquisition.json":    put(t, dir+"acquisition.json", []byte("{}\n")),
	}
	must(t, l.Append(t.Context(), Record{Type: "evidence.acquire.end", Exhibit: "EX-001", Result: "ok", Data: map[string]any{"kind": "disk", "sha256": sum, "block_list_sha256": files["blocks-sha256.txt"], "files_sha256": files, "read_errors": []any{}}}))
	must(t, l.Close())
	return f, image
}

// TestPackedImage checks the file and what it unpacks to.
func TestPackedImage(t *testing.T) {
	f, _ := packedCase(t, "")
	if r := verify(t, f, allowedSigners(f)); len(r.Failures) > 0 {
		t.Fatalf("%+v", r.Failures)
	}
	path := f.PackedImage("EX-001")
	whole, err := os.ReadFile(path)
	must(t, err)
	for at := 0; at < len(whole); at += 1 + len(whole)/40 {
		b := bytes.Clone(whole)
		b[at] ^= 1 << (at % 8)
		must(t, os.WriteFile(path, b, 0o644))
		r := verify(t, f, allowedSigners(f))
		if len(r.Failures) != 1 || !strings.HasSuffix(r.Failures[0].Path, packedFile) || r.Failures[0].Code != codeFileHash {
			t.Errorf("byte %d: %+v", at, r.Failures)
		}
	}
	for _, b := range [][]byte{nil, whole[:len(whole)/2], append(bytes.Clone(whole), 0), append(bytes.Clone(whole), whole...)} {
		must(t, os.WriteFile(path, b, 0o644))
		if r := verify(t, f, allowedSigners(f)); len(r.Failures) != 1 {
			t.Errorf("%d bytes: %+v", len(b), r.Failures)
		}
	}
	must(t, os.WriteFile(path, whole, 0o644))
	put(t, f.Image("EX-001"), []byte("another disk"))
	if r := verify(t, f, allowedSigners(f)); !has(r, codeFileUnlisted) {
		t.Errorf("a raw image beside it: %+v", r.Failures)
	}
	must(t, os.Remove(f.Image("EX-001")))
	must(t, os.Remove(path))
	if r := verify(t, f, allowedSigners(f)); !has(r, codeFileMissing) {
		t.Errorf("without it: %+v", r.Failures)
	}
}

// TestPackedOtherDisk: the file is as sealed and unpacks to another disk than
// the ledger says.
func TestPackedOtherDisk(t *testing.T) {
	f, image := packedCase(t, sumOf([]byte("another disk")))
	r := verify(t, f, allowedSigners(f))
	if len(r.Failures) != 1 || r.Failures[0].Expected != sumOf([]byte("another disk"))+" unpacked" || r.Failures[0].Found != sumOf(image) {
		t.Errorf("%+v", r.Failures)
	}
}
