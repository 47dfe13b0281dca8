package hashset

import (
	"bytes"
	"testing"
)

func BenchmarkRead(b *testing.B) {
	line := []byte("\"0123456789ABCDEF0123456789ABCDEF01234567\",\"0123456789ABCDEF0123456789ABCDEF\",\"E8B7BE43\",\"some name.txt\",1234,5678,\"362\",\"\"\r\n")
	text := append([]byte("\"SHA-1\",\"MD5\",\"CRC32\",\"FileName\"\r\n"), bytes.Repeat(line, 100000)...)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		for range Read(bytes.NewReader(text)) { //nolint:revive // reads
		}
	}
}
