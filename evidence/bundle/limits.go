package bundle

import (
	"bytes"
	"errors"
	"fmt"
)

// The limits of an archive.
const (
	maxEntries  = 1_000_000
	freeBytes   = 64 << 20 // before the ratio counts
	maxRatio    = 1000
	maxPadding  = 1 << 20 // after the end of the tar
	maxWindow   = 64 << 20
	maxSmall    = 64 << 10 // bag-info.txt and signatures
	maxCaseFile = 1 << 20
	zeroPage    = 4 << 10
	maxNameSize = 1024 + 256
)

var errLimit = errors.New("more than the limits of an archive")

// bounded counts what an archive unpacks to. Pages of zeros are free: they
// come back as holes.
type bounded struct {
	packed int64
	data   int64
}

func (b *bounded) Write(p []byte) (int, error) {
	for done := 0; done < len(p); done += zeroPage {
		page := p[done:min(len(p), done+zeroPage)]
		if !bytes.Equal(page, zeros[:len(page)]) {
			b.data += int64(len(page))
		}
	}
	return len(p), nil
}

func (b *bounded) check() error {
	if b.data > freeBytes && b.data/maxRatio > b.packed {
		return fmt.Errorf("%w: %d bytes that are not zero from %d", errLimit, b.data, b.packed)
	}
	return nil
}
