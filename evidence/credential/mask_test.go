package credential

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"
)

// fileOf is bytes that are read and written in place.
type fileOf []byte

func (f fileOf) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(f).ReadAt(p, off) }

func (f fileOf) WriteAt(p []byte, off int64) (int, error) {
	return copy(f[off:], p), nil
}

// secretFor is a made-up secret key.
func secretFor(i int) string {
	sum := sha256.Sum256(fmt.Append(nil, i))
	return base64.StdEncoding.EncodeToString(sum[:])[:40]
}

func TestMask(t *testing.T) {
	var want, have strings.Builder
	for i := range 4000 { // several windows, a name at every kind of place
		s := secretFor(i)
		for b, x := range map[*strings.Builder]string{&have: s, &want: strings.Repeat("*", 40)} {
			fmt.Fprintf(b, `{"line":%d,"summary":"/tmp/aws_secret_access_key=%s","next":"kept"}`+"\n", i, x)
			b.WriteString(strings.Repeat("quiet text, ", i%17))
		}
	}
	f := fileOf(have.String())
	n, err := Mask(f, int64(len(f)))
	if err != nil || n != 4000 {
		t.Errorf("%d places, %v", n, err)
	}
	if string(f) != want.String() {
		t.Error("another text than without the secrets")
	}
	if off, found := FindSecret(bytes.NewReader(f)); found {
		t.Errorf("a secret is left at %d", off)
	}
}

// TestMaskHidesNothing has names that want to take the text behind them along.
func TestMaskHidesNothing(t *testing.T) {
	digest := strings.Repeat("0123456789abcdefGHIJ", 3)
	for _, name := range []string{"-----BEGIN PRIVATE KEY-----" + secretFor(1), "-----BEGIN RSA PRIVATE KEY-----", "SessionToken=FwoGZXIvYXdz" + strings.Repeat("A", 300)} {
		behind := `"},` + "\n" + `{"summary":"` + digest + ` what the report must tell"}` + "\n"
		f := fileOf(`{"summary":"` + name + behind)
		if _, err := Mask(f, int64(len(f))); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(string(f), behind) {
			t.Errorf("%s took along: %s", name, f)
		}
		if off, found := FindSecret(bytes.NewReader(f)); found {
			t.Errorf("%s: a secret is left at %d: %s", name, off, f)
		}
	}
}

func TestMaskUTF16(t *testing.T) {
	var f fileOf
	for _, u := range utf16.Encode([]rune("aws_secret_access_key=" + secretFor(2))) {
		f = append(f, byte(u), byte(u>>8))
	}
	if n, err := Mask(f, int64(len(f))); n == 0 || err != nil {
		t.Errorf("%d places, %v", n, err)
	}
	if _, found := FindSecret(bytes.NewReader(f)); found {
		t.Error("a secret is left")
	}
}
