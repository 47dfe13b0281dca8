// Package credential finds AWS access key ids in raw bytes, and says whether
// the secret that belongs to one lies beside it.
//
// # What is an access key id
//
// Twenty characters: a prefix of four, then sixteen of [A-Z0-9]. The prefixes
// are those that AWS documents for credentials
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html):
//
//	AKIA  access key of a user                  long-term
//	ASIA  temporary key of a session (STS)      temporary
//	ABIA  STS bearer token of a service         other
//	ACCA  context-specific credential           other
//
// AWS itself issues ids in base 32 (no 0, 1, 8, 9), but its documentation does
// not promise it and breaks it (AKIAI44QH8DHBEXAMPLE), so all digits count. An
// id with a neighbour in [A-Z0-9] is a part of something longer: it is
// reported as "other". Ids are found as ASCII, UTF-16LE and UTF-16BE, at any
// alignment: between two zeros an id is UTF-16BE where the text before it begins
// with the mark of that, and UTF-16LE otherwise. Ids that hold the word EXAMPLE are AWS's documentation.
//
// # What is a secret
//
// A run of exactly 40 of [A-Za-z0-9/+] (written plainly or with the escapes of
// JSON, URLs and HTML for / and +), of more than 4 bits of entropy a
// character, within 512 characters of an id, that either follows the word
// "secret" or stands in the very next field or line. Of several, the one in
// the same record (line, object, section) as the id is its own. A session
// token is a run of at least 100 base64 characters that begins as those of AWS
// do, or follows "session token" or "security token".
//
// Worked example, an AWS credentials file:
//
//	[default]
//	aws_access_key_id = AKIAIOSFODNN7EXAMPLE
//	aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
//
// gives one Hit at offset 30 with Kind "long-term", Secret and Documentation.
//
// A secret never leaves this package: a Hit holds the first 16 hexadecimal
// digits of its HMAC-SHA256 under the key of the case.
//
// What it does not do: unpack (an id in a compressed file or in base64 is not
// seen in the raw bytes: package inside decodes those), or find secrets of
// other makers than AWS, private keys in PEM apart (Secrets).
package credential

import "encoding/binary"

// The kinds of access key id, with the words of the command line.
const (
	LongTerm  = "long-term"
	Temporary = "temporary"
	Other     = "other"
)

// The encodings in which ids are found.
const (
	ASCII   = "ascii"
	UTF16LE = "utf-16le"
	UTF16BE = "utf-16be"
)

// Hit is one access key id at one place. It holds no secret.
type Hit struct {
	Offset        int64  `json:"offset"` // of the id's first byte, bytes from the start of the stream
	KeyID         string `json:"key_id"`
	Kind          string `json:"kind"`     // LongTerm, Temporary, Other
	Encoding      string `json:"encoding"` // ASCII, UTF16LE, UTF16BE
	Secret        bool   `json:"secret"`   // a secret key lies beside it
	Token         bool   `json:"token,omitempty"`
	Fingerprint   string `json:"secret_fingerprint,omitempty"` // 16 hexadecimal digits
	Documentation bool   `json:"documentation,omitempty"`
	// File is the file of the exhibit that the offset counts in, by its
	// original name; empty for an image.
	File    string `json:"file,omitempty"`
	FileB64 []byte `json:"file_b64,omitempty"` // the name's bytes, where it is not UTF-8
}

const (
	idLen     = 20
	secretLen = 40
	near      = 512 // characters between id and secret, at most
	reach     = 640 // characters around an id that are looked at: near and the secret itself
	wordReach = 64  // characters between a word ("secret") and its value, at most
	tokenLen  = 100 // characters of a session token, at least
)

// kindOf is the kind that the prefix of an id stands for; "" for none.
func kindOf(prefix []byte) string {
	switch string(prefix) {
	case "AKIA":
		return LongTerm
	case "ASIA":
		return Temporary
	case "ABIA", "ACCA":
		return Other
	}
	return ""
}

func isUpperOrDigit(c byte) bool { return c-'A' < 26 || c-'0' < 10 }

// findIDs calls yield for every id in b that starts in [lo, hi), by offset. It
// looks at all of b for what follows.
//
// An id covers at least five bytes from the first multiple of 16 at or behind
// its start, and in UTF-16 eight. So it is enough to look at every sixteenth
// place whether five bytes, or every other one of eight, could be capitals or
// digits, and only then for an id that starts in the sixteen bytes up to there.
func findIDs(b []byte, lo, hi int, yield func(at int, enc string)) {
	hi = min(hi, len(b))
	q := lo
	for ; q+4*stride <= hi; q += 4 * stride {
		c := (*[4 * stride]byte)(b[q:])
		if mayHold(c[0:]) || mayHold(c[stride:]) || mayHold(c[2*stride:]) || mayHold(c[3*stride:]) {
			for i := range 4 {
				if at := i * stride; mayHold(c[at:]) {
					findUpTo(b, max(lo, q+at-stride+1), q+at+1, yield)
				}
			}
		}
	}
	findUpTo(b, max(lo, q-stride+1), hi, yield)
}

const stride = 16

// mayHold says whether the bytes from b could be the inside of an id.
func mayHold(b []byte) bool {
	x := binary.LittleEndian.Uint64(b)
	// Capitals have bit 6 and not 5, digits 5 and 4 and not 6, both not 7.
	v := (x ^ x<<1) & (x | x<<2) &^ (x >> 1) & 0x4040404040404040
	return v&0x4040404040 == 0x4040404040 || v == 0x0040004000400040 || v == 0x4000400040004000
}

// findUpTo is findIDs for a short range.
func findUpTo(b []byte, lo, hi int, yield func(at int, enc string)) {
	for p := lo; p < hi; p++ {
		if b[p] != 'A' || p+idLen > len(b) {
			continue
		}
		switch {
		case b[p+1] == 0:
			if enc := wideID(b, p); enc != "" {
				yield(p, enc)
			}
		case b[p+3] == 'A':
			if isID(b, p, 1) {
				yield(p, ASCII)
			}
		}
	}
}

// width is the bytes of a character.
func width(enc string) int {
	if enc == ASCII {
		return 1
	}
	return 2
}

// isID says whether the characters of an id stand at b[p:], w bytes apart and
// with zeros between.
func isID(b []byte, p, w int) bool {
	if p < 0 || p+(idLen-1)*w+1 > len(b) {
		return false
	}
	var prefix [4]byte
	for i := range idLen {
		c := b[p+i*w]
		if !isUpperOrDigit(c) || w == 2 && i > 0 && b[p+i*w-1] != 0 {
			return false
		}
		if i < len(prefix) {
			prefix[i] = c
		}
	}
	return kindOf(prefix[:]) != ""
}

// wideID says in which UTF-16 an id stands at b[p:]; "" for none. Between two
// zeros it can be either.
func wideID(b []byte, p int) string {
	if !isID(b, p, 2) {
		return ""
	}
	end := p + 2*idLen
	little, big := end <= len(b) && b[end-1] == 0, p > 0 && b[p-1] == 0
	switch {
	case big && (!little || startsBig(b, p)):
		return UTF16BE
	case little:
		return UTF16LE
	}
	return ""
}

// startsBig says whether the text that leads up to b[p:] begins with the mark of
// UTF-16BE, or with the stream.
func startsBig(b []byte, p int) bool {
	for range reach {
		switch {
		case p < 1 || b[p-1] != 0:
			return false // a character begins the text
		case p < 2:
			return true
		case !isText(b[p-2]):
			return b[p-2] == 0xff && p > 2 && b[p-3] == 0xfe
		}
		p -= 2
	}
	return false
}

// isText says whether c is a character of plain text.
func isText(c byte) bool { return c >= ' ' && c < 0x7f || c == '\n' || c == '\r' || c == '\t' }

// idAt is the id at p as text, and whether it stands alone.
func idAt(b []byte, p int, enc string) (id string, alone bool) {
	w := width(enc)
	var text [idLen]byte
	for i := range text {
		text[i] = b[p+i*w]
	}
	return string(text[:]), !isPart(b, p-w, enc) && !isPart(b, p+idLen*w, enc)
}

// isPart says whether the character at p would be a part of an id.
func isPart(b []byte, p int, enc string) bool {
	return p >= 0 && p < len(b) && isUpperOrDigit(b[p]) && (enc == ASCII || high(b, p, enc) == 0)
}

// high is the high byte of the character of UTF-16 whose low byte is b[p];
// not 0 where there is none.
func high(b []byte, p int, enc string) byte {
	if enc == UTF16BE {
		p--
	} else {
		p++
	}
	if p < 0 || p >= len(b) {
		return 0xff
	}
	return b[p]
}

// KindOf is the kind of an access key id by its prefix: LongTerm, Temporary,
// or Other for the prefixes that are neither and for what is no such id.
func KindOf(id string) string {
	if len(id) != idLen {
		return Other
	}
	if k := kindOf([]byte(id[:4])); k != "" {
		return k
	}
	return Other
}
