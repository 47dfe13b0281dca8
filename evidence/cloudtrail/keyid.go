package cloudtrail

import "bytes"

// keyIDLen is the length of an access key id: a prefix of four and sixteen
// capitals or digits.
const keyIDLen = 20

// keyIDPrefixes are the unique id prefixes that stand for access keys:
// long-term, temporary, STS bearer token, service-specific credential.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
var keyIDPrefixes = [...]string{"AKIA", "ASIA", "ABIA", "ACCA"}

// keyIDs finds the access key ids in the text of a record.
func (p *parser) keyIDs(raw []byte) {
	for _, prefix := range keyIDPrefixes {
		for at := 0; ; {
			i := bytes.Index(raw[at:], []byte(prefix))
			if i < 0 {
				break
			}
			i += at
			if !isKeyID(raw, i) {
				at = i + 1
				continue
			}
			at = i + keyIDLen
			p.addKeyID(p.in.get(raw[i:at]), i)
		}
	}
}

func (p *parser) addKeyID(id string, at int) {
	if p.seenKey.add("", id) {
		p.rec.KeyIDs = append(p.rec.KeyIDs, KeyID{ID: id, Offset: at})
	}
}

func isKeyID(raw []byte, i int) bool {
	if i+keyIDLen > len(raw) || i+keyIDLen < len(raw) && isWord(raw[i+keyIDLen]) {
		return false
	}
	for _, c := range raw[i : i+keyIDLen] {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return i == 0 || !isWord(raw[i-1]) || endsEscape(raw[:i])
}

func isWord(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
}

// endsEscape says whether b ends with a JSON escape, whose letters are no
// part of the word behind it.
func endsEscape(b []byte) bool {
	n := len(b)
	if n >= 2 && b[n-2] == '\\' && bytes.IndexByte([]byte("bfnrt"), b[n-1]) >= 0 {
		return true
	}
	return n >= 6 && b[n-6] == '\\' && b[n-5] == 'u'
}
