package flowlog

import ("io";"github.com/klauspost/compress/gzip";"bufio")

func ReadAt(r io.Reader, offset, length int64) ([]byte, error) {
		br := bufio.NewReaderSize(r, 1<<16)
		if h, _ := br.Peek(2); len(h) == 2 && h[0] == 0x1f && h[1] == 0x8b {
			z, err := gzip.NewReader(br)
			if err != nil { return nil, err }
			br = bufio.NewReaderSize(z, 1<<16)
		}
		if _, err := io.CopyN(io.Discard, br, offset); err != nil { return nil, err }
		b := make([]byte, length)
		_, err := io.ReadFull(br, b)
		return b, err
}
