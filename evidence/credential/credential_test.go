package credential

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

var caseKey = []byte("0123456789abcdef0123456789abcdef")

const docSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

// docFingerprint was made with openssl dgst -hmac.
const docFingerprint = "1b3e81c009bb9b55"

// secretN is a made-up secret.
func secretN(n uint64) string {
	const set = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	r := rand.New(rand.NewPCG(n, 7))
	b := make([]byte, secretLen)
	for i := range b {
		b[i] = set[r.IntN(len(set))]
	}
	copy(b, "aB3") // all three sorts, as 999 of 1000 have
	return string(b)
}

func idN(prefix string, n uint64) string {
	const set = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	r := rand.New(rand.NewPCG(n, 9))
	b := []byte(prefix)
	for len(b) < idLen {
		b = append(b, set[r.IntN(len(set))])
	}
	return string(b)
}

func scan(b []byte) []Hit {
	s := NewScanner(caseKey)
	s.Scan(b, 0)
	return s.Hits()
}

func utf16be(s string) string {
	return "\x00" + strings.TrimSuffix(utf16le(s), "\x00")
}

func utf16le(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(s[i])
		b.WriteByte(0)
	}
	return b.String()
}

func TestKindsAndNeighbours(t *testing.T) {
	for _, c := range []struct {
		text, kind, enc string
		doc             bool
	}{
		{"AKIAIOSFODNN7EXAMPLE", LongTerm, ASCII, true},
		{" AKIAI44QH8DHBEXAMPLE,", LongTerm, ASCII, true},
		{"xAKIA2OGYBAH6QLWVZT7Mx", LongTerm, ASCII, false},
		{"\"ASIA2OGYBAH6QLWVZT7M\"", Temporary, ASCII, false},
		{"ABIA2OGYBAH6QLWVZT7M", Other, ASCII, false},
		{"ACCA2OGYBAH6QLWVZT7M", Other, ASCII, false},
		{"9AKIA2OGYBAH6QLWVZT7M", Other, ASCII, false},
		{"AKIA2OGYBAH6QLWVZT7M7", Other, ASCII, false},
		{utf16le(" AKIA2OGYBAH6QLWVZT7M "), LongTerm, UTF16LE, false},
		{"x" + utf16le("ACCA2OGYBAH6QLWVZT7M"), Other, UTF16LE, false},
		{utf16le("ZASIA2OGYBAH6QLWVZT7M"), Other, UTF16LE, false},
		{utf16be(" AKIA2OGYBAH6QLWVZT7M "), LongTerm, UTF16BE, false},
		{"x\x01" + utf16be("AKIA2OGYBAH6QLWVZT7M"), LongTerm, UTF16BE, false},
		{"\xfe\xff" + utf16be("AKIA2OGYBAH6QLWVZT7M and on"), LongTerm, UTF16BE, false},
		{"\xff\xfe" + utf16le("AKIA2OGYBAH6QLWVZT7M and on"), LongTerm, UTF16LE, false},
		{"\xfe\xff" + utf16be("ZASIA2OGYBAH6QLWVZT7M"), Other, UTF16BE, false},
		{utf16be("AKIA2OGYBAH6QLWVZT7M") + "\x04\x10", LongTerm, UTF16BE, false},
		{"\x00\x00\x00\x00" + utf16le("AKIA2OGYBAH6QLWVZT7M") + "\x00\x00\x00\x00", LongTerm, UTF16LE, false},
	} {
		hits := scan([]byte(c.text))
		if len(hits) != 1 || hits[0].Kind != c.kind || hits[0].Encoding != c.enc || hits[0].Documentation != c.doc || hits[0].Secret {
			t.Errorf("%q: %+v", c.text, hits)
		}
	}
	for _, text := range []string{"AKIA2OGYBAH6QLWVZT7", "AKIA2OGYBAh6QLWVZT7M", "AKIB2OGYBAH6QLWVZT7M", "A\x00K\x00I\x00A\x002O", "akia2ogybah6qlwvzt7m"} {
		if hits := scan([]byte(text)); len(hits) != 0 {
			t.Errorf("%q: %+v", text, hits)
		}
	}
}

// TestSecretBeside asks for the right secret in the forms that hold them; the
// text has %[1]s and %[2]s for two ids, %[3]s and %[4]s for their secrets.
func TestSecretBeside(t *testing.T) {
	a, b, sa, sb := idN("AKIA", 1), idN("ASIA", 2), secretN(1), secretN(2)
	jsonEscaped := strings.ReplaceAll(sa, "/", `\/`)
	for name, c := range map[string]struct {
		text   string
		sa, sb string // "" for no secret
	}{
		"ini":           {fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n\n[other]\naws_access_key_id = %s\naws_secret_access_key = %s\n", a, sa, b, sb), sa, sb},
		"ini reversed":  {fmt.Sprintf("[default]\naws_secret_access_key=%s\naws_access_key_id=%s\n[other]\naws_secret_access_key=%s\naws_access_key_id=%s\n", sa, a, sb, b), sa, sb},
		"csv":           {fmt.Sprintf("User name,Access key ID,Secret access key\nmarc,%s,%s\njane,%s,%s\n", a, sa, b, sb), sa, sb},
		"csv with gap":  {fmt.Sprintf("marc,%s,%s\njane,%s,\n", a, sa, b), sa, ""},
		"json":          {fmt.Sprintf(`{"AccessKeyId":"%s","SecretAccessKey":"%s"},{"AccessKeyId":"%s","SecretAccessKey":"%s"}`, a, sa, b, sb), sa, sb},
		"json reversed": {fmt.Sprintf(`{"SecretAccessKey":"%s","AccessKeyId":"%s"},{"SecretAccessKey":"%s","AccessKeyId":"%s"}`, sa, a, sb, b), sa, sb},
		"json indented": {fmt.Sprintf("{\n  \"AccessKeyId\" : \"%s\",\n  \"SecretAccessKey\" : \"%s\"\n}\n{\n  \"AccessKeyId\": \"%s\"\n}", a, sa, b), sa, ""},
		"json escapes":  {fmt.Sprintf(`{"AccessKeyId":"%s","SecretAccessKey":"%s"} %s`, a, jsonEscaped, b), sa, ""},
		"json in json":  {fmt.Sprintf(`"[default]\naws_access_key_id=%s\naws_secret_access_key=%s\n" %s`, a, sa, b), sa, ""},
		"shell":         {fmt.Sprintf("export AWS_ACCESS_KEY_ID=%s\nexport AWS_SECRET_ACCESS_KEY=%s\nAWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY='%s' aws s3 ls\n", a, sa, b, sb), sa, sb},
		"s3fs":          {fmt.Sprintf("%s:%s\n%s:%s\n", a, sa, b, sb), sa, sb},
		"next line":     {fmt.Sprintf("%s\n%s\n\n%s\n%s\n", a, sa, b, sb), sa, sb},
		"xml":           {fmt.Sprintf("<member><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey></member><member><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey></member>", a, sa, b, sb), sa, sb},
		"yaml no word":  {fmt.Sprintf("key: %s\nvalue: %s\n%s", a, sa, b), sa, ""},
		"php":           {fmt.Sprintf("'credentials' => ['key' => '%s', 'secret' => '%s'], ['key' => '%s']", a, sa, b), sa, ""},
		"far":           {fmt.Sprintf("%s%saws_secret_access_key=%s%s%s", a, strings.Repeat(" .", 300), sa, strings.Repeat(" .", 300), b), "", ""},
		"hash":          {fmt.Sprintf("%s da39a3ee5e6b4b0d3255bfef95601890afd80709 %s secret 3064068284d6f2bfb4711dc2f6209652a7dfceed01ca7732e633c50aea6b57e2", a, b), "", ""},
		"longer run":    {fmt.Sprintf("%s,%sQ secret=%sQ %s", a, sa, sa, b), "", ""},
		"path":          {fmt.Sprintf("%s /usr/share/doc/packages/whatever/readme %s", a, b), "", ""},
	} {
		for _, text := range []string{c.text, utf16le(c.text), utf16be(c.text), "\xfe\xff" + utf16be(c.text)} {
			hits := scan([]byte(text))
			if len(hits) != 2 {
				t.Fatalf("%s: %+v", name, hits)
			}
			for _, h := range hits {
				want := c.sa
				if h.KeyID == b {
					want = c.sb
				}
				if h.Secret != (want != "") || h.Fingerprint != fingerprint(want) {
					t.Errorf("%s (utf-16 %v): %s: secret %v fingerprint %q, want %q", name, text[0] == 0 || text[len(text)-1] == 0, h.KeyID, h.Secret, h.Fingerprint, fingerprint(want))
				}
			}
		}
	}
}

func fingerprint(secret string) string {
	if secret == "" {
		return ""
	}
	h := scan([]byte("AKIAQQQQQQQQQQQQQQQQ secret " + secret))
	return h[0].Fingerprint
}

func TestFingerprint(t *testing.T) {
	// printf %s wJalr… | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
	if got := fingerprint(docSecret); got != docFingerprint {
		t.Errorf("fingerprint %s, want %s", got, docFingerprint)
	}
	if h := NewScanner(nil); len(h.Hits()) != 0 {
		t.Error("hits of nothing")
	}
}

func TestToken(t *testing.T) {
	token := "IQoJb3JpZ2luX2VjE" + strings.Repeat("aB3/", 60) + "=="
	text := fmt.Sprintf(`"accessKeyId":"%s","sessionToken":"%s","expiration":"x"`, idN("ASIA", 3), token)
	hits := scan([]byte(text))
	if len(hits) != 1 || !hits[0].Token || hits[0].Secret {
		t.Fatalf("%+v", hits)
	}
	got := Secrets([]byte(text))
	if len(got) != 1 || text[got[0][0]:got[0][1]] != token {
		t.Fatalf("masked %v", got)
	}
	other := "ZZ" + token[2:] // of a beginning that is not known
	for _, c := range []struct{ before, token, behind string }{
		{"AWS_SESSION_TOKEN=", token, "\n"},
		{"AWS_SESSION_TOKEN=", other, "\n"},
		{"x&X-Amz-Security-Token=", token, "&y"},
		{"x-amz-security-token: ", other, "\r\n"},
		{`"Token" : "`, token, `"`},
		{"", token, ""},
		{"<SessionToken>", other, "</SessionToken>"},
		{"t%3D", token, "%"},
		{"session token ", strings.Repeat(other[:len(other)-2], 40), " "},
	} {
		text := c.before + c.token + c.behind
		got := Secrets([]byte(text))
		if len(got) != 1 || !strings.HasPrefix(text[got[0][0]:got[0][1]], c.token) {
			t.Fatalf("masked %v of %q", got, text)
		}
	}
}

// corpus is n bytes of many sorts with ids and secrets planted, some touching.
func corpus(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	for b.Len() < n {
		switch r.IntN(9) {
		case 0:
			b.Write(make([]byte, r.IntN(900)))
		case 1:
			for range r.IntN(900) {
				b.WriteByte(byte(r.IntN(256)))
			}
		case 2:
			b.WriteString(strings.Repeat("lorem ipsum IA CCA secret token\n", r.IntN(20)))
		case 3:
			b.WriteString(idN([]string{"AKIA", "ASIA", "ABIA", "ACCA"}[r.IntN(4)], r.Uint64()))
		case 4:
			fmt.Fprintf(&b, "aws_access_key_id=%s\naws_secret_access_key=%s\n", idN("AKIA", r.Uint64()), secretN(r.Uint64()))
		case 5:
			b.WriteString(utf16le(fmt.Sprintf("%s,%s\r\n", idN("AKIA", r.Uint64()), secretN(r.Uint64()))))
		case 6:
			fmt.Fprintf(&b, "secret = %s; id = %s", secretN(r.Uint64()), idN("ASIA", r.Uint64()))
		case 7:
			b.WriteString("AKIAAKIAAKIAAKIAAKIAAKIAAKIA")
		case 8:
			b.WriteString(secretN(r.Uint64()))
		}
	}
	return b.Bytes()
}

var reference = regexp.MustCompile(`^(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}`)

// TestAgainstRegexp compares with a plain search at every byte.
func TestAgainstRegexp(t *testing.T) {
	b := corpus(4, 300_000)
	var want []string
	for i := range b {
		if m := reference.Find(b[i:min(len(b), i+idLen)]); m != nil {
			want = append(want, fmt.Sprint(i, string(m), ASCII))
		}
		var even []byte
		for j := i; j+1 < len(b) && b[j+1] == 0 && len(even) < idLen; j += 2 {
			even = append(even, b[j])
		}
		if m := reference.Find(even); m != nil {
			want = append(want, fmt.Sprint(i, string(m), UTF16LE))
		}
	}
	var got []string
	for _, h := range scan(b) {
		got = append(got, fmt.Sprint(h.Offset, h.KeyID, h.Encoding))
	}
	if len(got) < 100 || strings.Join(got, "\n") != strings.Join(want, "\n") {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("%d hits, want %d; got %s, want %s", len(got), len(want), got[i], want[i])
			}
		}
		t.Fatalf("%d hits, want %d", len(got), len(want))
	}
}

// split gives b to a scanner in blocks whose lengths r decides, in its order,
// from several goroutines.
func split(b []byte, r *rand.Rand, longest int) []Hit {
	s := NewScanner(caseKey)
	type piece struct{ from, to int }
	var all []piece
	for at := 0; at < len(b); {
		n := min(len(b)-at, 1+r.IntN(longest))
		all = append(all, piece{at, at + n})
		at += n
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			for i := g; i < len(all); i += 3 {
				p := all[i]
				block := bytes.Clone(b[p.from:p.to])
				s.Scan(block, int64(p.from))
				clear(block) // the scanner must not keep it
			}
		})
	}
	wg.Wait()
	return s.Hits()
}

func TestSplits(t *testing.T) {
	b := corpus(5, 60_000)
	want := scan(b)
	for i, longest := range []int{7, 100, 1500, 3000, 5000, 20_000, 60_000} {
		for n := range 4 {
			r := rand.New(rand.NewPCG(uint64(i), uint64(n)))
			if got := split(b, r, longest); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("blocks up to %d: %d hits, want %d", longest, len(got), len(want))
			}
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(corpus(6, 4000), uint64(1), uint16(700))
	f.Add([]byte(utf16le("AKIAIOSFODNN7EXAMPLE secret "+docSecret)), uint64(2), uint16(3))
	f.Add([]byte(`{"x":"\u00","AKIA2OGYBAH6QLWVZT7M":"%2`), uint64(2), uint16(3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64, longest uint16) {
		want := scan(b)
		got := split(b, rand.New(rand.NewPCG(seed, 3)), int(longest)+1)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
		last := 0
		for _, r := range Secrets(b) {
			if r[0] < last || r[1] <= r[0] || r[1] > len(b) {
				t.Fatalf("range %v of %d bytes", r, len(b))
			}
			last = r[1]
		}
	})
}

func FuzzReadHits(f *testing.F) {
	var b bytes.Buffer
	if err := WriteHits(&b, scan(corpus(7, 5000)), 3); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("{\n\n{\"offset\":-1}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for h, err := range ReadHits(bytes.NewReader(b)) {
			if err == nil && len(h.KeyID) != idLen {
				t.Fatal(h)
			}
		}
	})
}

func TestBounds(t *testing.T) {
	s := NewScanner(caseKey)
	s.max = [2]int{10, 5}
	r := rand.New(rand.NewPCG(1, 1))
	var want []Hit
	b := corpus(8, 50_000)
	all := scan(b)
	n := [2]int{}
	for _, h := range all {
		class := 0
		if h.Kind == Other {
			class = 1
		}
		if n[class]++; n[class] <= s.max[class] {
			want = append(want, h)
		}
	}
	for _, at := range r.Perm(50) {
		s.Scan(b[at*1000:min(len(b), (at+1)*1000)], int64(at*1000))
	}
	s.Scan(b[50_000:], 50_000)
	if got := s.Hits(); fmt.Sprint(got) != fmt.Sprint(want) || s.Omitted() != int64(len(all)-len(want)) {
		t.Fatalf("%d hits, %d omitted; want %d of %d", len(got), s.Omitted(), len(want), len(all))
	}
}

func TestHitsRoundTrip(t *testing.T) {
	hits := scan(corpus(9, 20_000))
	var b bytes.Buffer
	if err := WriteHits(&b, hits, 42); err != nil {
		t.Fatal(err)
	}
	if _, found := FindSecret(bytes.NewReader(b.Bytes())); found {
		t.Error("hits.jsonl holds a secret")
	}
	var got []Hit
	var omitted *OmittedError
	for h, err := range ReadHits(&b) {
		if err != nil && !errors.As(err, &omitted) {
			t.Fatal(err)
		} else if err == nil {
			got = append(got, h)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(hits) || omitted == nil || omitted.N != 42 {
		t.Fatalf("%d of %d hits came back, %v", len(got), len(hits), omitted)
	}
	damaged := `{"offset":1,"key_id":"AKIA2OGYBAH6QLWVZT7M","kind":"long-term","encoding":"ascii","secret":false}
{"offset":1,"key_
{"offset":2,"key_id":"AKIA2OGYBAH6QLWVZT7M","kind":"long-term","encoding":"ascii","secret":false}`
	good, bad := 0, 0
	for _, err := range ReadHits(strings.NewReader(damaged)) {
		if err == nil {
			good++
		} else {
			bad++
		}
	}
	if good != 2 || bad != 1 {
		t.Fatalf("%d good, %d bad", good, bad)
	}
}

func TestSecretsMasksThemAll(t *testing.T) {
	for _, form := range []string{
		"aws_secret_access_key = %s\n", `{"SecretAccessKey":"%s"}`, "AWS_SECRET_ACCESS_KEY='%s' aws", "AKIA2OGYBAH6QLWVZT7M:%s",
		"secretKey: %s", "<SecretAccessKey>%s</SecretAccessKey>", `AKIA2OGYBAH6QLWVZT7M","%s"`,
	} {
		for n := range uint64(20) {
			secret := secretN(n)
			for _, written := range []string{secret, strings.ReplaceAll(secret, "/", `\/`), strings.ReplaceAll(secret, "+", "&#43;"), strings.ReplaceAll(secret, "+", `\u002b`), strings.ReplaceAll(strings.ReplaceAll(secret, "+", "%2B"), "/", "%2F")} {
				text := "some text before\n" + fmt.Sprintf(form, written) + "\nand behind"
				got := Secrets([]byte(text))
				if len(got) != 1 || text[got[0][0]:got[0][1]] != written {
					t.Fatalf("%q: masked %v", text, got)
				}
				wide := utf16le(text)
				got = Secrets([]byte("\xff\xfe" + wide))
				if len(got) != 1 || wide[got[0][0]-2:got[0][1]-2] != utf16le(written) {
					t.Fatalf("utf-16 of %q: masked %v", text, got)
				}
			}
		}
	}
	key := "-----BEGIN OPENSSH PRIVATE KEY-----\n" + strings.Repeat("b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n", 8) + "-----END OPENSSH PRIVATE KEY-----\n"
	if got := Secrets([]byte(key)); len(got) != 1 || strings.Contains(key[:got[0][0]]+key[got[0][1]:], "b3Bl") {
		t.Fatalf("masked %v of a private key", got)
	}
}

func TestWhatIsNoSecret(t *testing.T) {
	for _, text := range []string{
		"AKIA2OGYBAH6QLWVZT7M found in EX-001",
		"3064068284d6f2bfb4711dc2f6209652a7dfceed01ca7732e633c50aea6b57e2  image.raw",
		"root 3v+ij1/lMbAKINGyx/7Az/ytBIkby7/PmemAAbqLD4U=\nAKIA2OGYBAH6QLWVZT7M\n",
		"AKIA2OGYBAH6QLWVZT7M,3064068284d6f2bfb4711dc2f6209652a7dfceed01ca7732e633c50aea6b57e2",
		"AKIA2OGYBAH6QLWVZT7M secret_fingerprint 930fee9c9883cf6a secret: true",
		"-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgk3qxDPjnpyr1EVb1p2SE\neSferOwdXjB0XHvxKa6A6nFvQbeoKPdLQPBaoYQA\n-----END SSH SIGNATURE-----",
		"SHA256:GQcxQcMtF0GQuoBa5Iu7TKYZBwP0YO9EEs0oJuxu43A",
		"the secret commit is da39a3ee5e6b4b0d3255bfef95601890afd80709",
		"if strings.Contains(text, \"-----BEGIN PRIVATE KEY-----\") {",
		`"requestParameters":{"maxResults":10,"nextToken":"AAEAASOszR5OBQ4RDciQegOaCl6Zq8rrJIxfnEcfNL/Ewge/AAAAAGSr8mPsv80kHuiSIHxVshJUMtXQoPHxkvZFBzAAEAASOszR5OBQ4RDciQegOaCl6Zq8rrJIxfnEcfNL/Ewge"}`,
		"", "secret", "token",
	} {
		if got := Secrets([]byte(text)); len(got) != 0 {
			t.Errorf("%q: %v", text, got)
		}
		if at, found := FindSecret(strings.NewReader(text)); found {
			t.Errorf("%q: found at %d", text, at)
		}
	}
}

func TestFindSecret(t *testing.T) {
	for _, at := range []int{0, 1, 200_000, 256<<10 - 60, 256<<10 - 30, 256<<10 - 1, 256 << 10, 700_000} {
		b := bytes.Repeat([]byte("lorem ipsum\n"), 1<<16)
		line := []byte("\naws_secret_access_key = " + docSecret + "\n")
		copy(b[at:], line)
		want := int64(at + bytes.Index(line, []byte(docSecret)))
		if got, found := FindSecret(iotest.HalfReader(bytes.NewReader(b))); !found || got != want {
			t.Errorf("planted at %d: found %v at %d", want, found, got)
		}
	}
	if _, found := FindSecret(iotest.ErrReader(errors.New("broken"))); !found {
		t.Error("what could not be read was let out")
	}
}

func BenchmarkScan(b *testing.B) {
	for name, block := range blocks() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(block)))
			for b.Loop() {
				s := NewScanner(caseKey)
				s.Scan(block, 0)
				s.Hits()
			}
		})
	}
}

func blocks() map[string][]byte {
	const n = 64 << 20
	random := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(random) //nolint:errcheck // never fails
	text := bytes.Repeat([]byte("func (s *Scanner) Scan(block []byte, offset int64) { // INFO An example line of code IN text\n"), n/93)
	return map[string][]byte{"zeros": make([]byte, n), "random": random, "text": text}
}
