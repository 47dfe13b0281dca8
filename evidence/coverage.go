package evidence

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// The states of a run of an image, as map.jsonl names them.
const (
	MapData        = "data"
	MapHole        = "hole"         // the source says that it is zeros
	MapNotAcquired = "not-acquired" // the source has bytes there, which were left out
	MapUnreadable  = "unreadable"   // zeros stand for it
)

// MapLine is a line of map.jsonl: lines are in order, touch, and cover the
// image. Sizes are bytes.
type MapLine struct {
	Offset int64  `json:"off"`
	Length int64  `json:"len"`
	State  string `json:"state"`
	// SHA256 is that of the bytes of a run of data.
	SHA256 string `json:"sha256,omitempty"`
	// Changed says that the run changed since the older snapshot that the
	// exhibit was compared with.
	Changed bool `json:"changed,omitempty"`
}

// Map is where map.jsonl of an exhibit lies.
func (f Folder) Map(id string) string { return filepath.Join(f.Exhibit(id), "map.jsonl") }

// ReadMap calls yield with the lines of a map of an image of size bytes. Lines
// that do not touch, do not cover the image or have a state that is none are
// ErrBroken.
func ReadMap(r io.Reader, size int64, yield func(MapLine)) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	var at int64
	for n := 1; ; n++ {
		text, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(text) == 0 {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		var l MapLine
		switch bad := json.Unmarshal(text, &l); {
		case err != nil || bad != nil:
			return fmt.Errorf("map.jsonl: line %d is none of a map: %w", n, ErrBroken)
		case l.Offset != at || l.Length <= 0 || l.Length > size-at:
			return fmt.Errorf("map.jsonl: line %d does not follow the one before in an image of %d bytes: %w", n, size, ErrBroken)
		case l.State != MapData && l.State != MapHole && l.State != MapNotAcquired && l.State != MapUnreadable:
			return fmt.Errorf("map.jsonl: line %d has the state %q: %w", n, l.State, ErrBroken)
		}
		at += l.Length
		yield(l)
	}
	if at != size {
		return fmt.Errorf("map.jsonl: it ends at byte %d of %d: %w", at, size, ErrBroken)
	}
	return nil
}
