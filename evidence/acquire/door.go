package acquire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// door is where other processes of this host ask for blocks of an image that is
// being acquired: eight bytes with the number of a block, big-endian, answered
// by one byte when it is on the stock (1) or cannot be had (0). What is on the
// stock they read themselves, and compare with its digest.
type door struct {
	l    net.Listener
	dir  *os.File
	path string

	mu    sync.Mutex
	conns map[net.Conn]bool
	shut  bool
	wg    sync.WaitGroup
}

// doorMost is how many processes are answered at once.
const doorMost = 16

// reach is the path of a socket in a folder that may be longer than the path of
// a socket can be.
func reach(dir *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
}

// openDoor opens the door; nil where the file system has no sockets: then
// others see what is there already.
func openDoor(x *exhibit, e *Early) *door {
	dir, err := os.Open(x.dir())
	if err != nil {
		return nil
	}
	// One that a kill left answers nobody; the journal's lock is ours.
	_ = os.Remove(x.path(earlyDoorName))
	l, err := net.Listen("unix", reach(dir, earlyDoorName))
	if err != nil {
		dir.Close() //nolint:errcheck,gosec // read-only
		return nil
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	d := &door{l: l, dir: dir, path: x.path(earlyDoorName), conns: map[net.Conn]bool{}}
	if err := os.Chmod(d.path, 0o600); err != nil {
		d.close()
		return nil
	}
	d.wg.Go(func() { d.listen(e) })
	return d
}

func (d *door) listen(e *Early) {
	for {
		c, err := d.l.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		if d.shut || len(d.conns) >= doorMost {
			d.mu.Unlock()
			c.Close() //nolint:errcheck,gosec // refused
			continue
		}
		d.conns[c] = true
		d.mu.Unlock()
		d.wg.Go(func() {
			d.answer(c, e)
			d.mu.Lock()
			delete(d.conns, c)
			d.mu.Unlock()
		})
	}
}

func (d *door) answer(c net.Conn, e *Early) {
	defer c.Close() //nolint:errcheck // the client sees it
	for {
		var b [8]byte
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return
		}
		n, said := binary.BigEndian.Uint64(b[:]), byte(0)
		if n < uint64((e.Size()+e.stock.block-1)/e.stock.block) { //nolint:gosec // not negative
			if _, err := e.get(int64(n), true); err == nil { //nolint:gosec // bounded
				said = 1
			}
		}
		if _, err := c.Write([]byte{said}); err != nil {
			return
		}
	}
}

// close shuts the door; once is enough.
func (d *door) close() {
	if d == nil {
		return
	}
	d.mu.Lock()
	if d.shut { // the name may be another door's by now
		d.mu.Unlock()
		return
	}
	d.shut = true
	for c := range d.conns {
		c.Close() //nolint:errcheck,gosec // ends its reads
	}
	d.mu.Unlock()
	_ = d.l.Close()
	_ = os.Remove(d.path)
	d.wg.Wait()
	_ = d.dir.Close()
}

var errNoDoor = errors.New("nobody is acquiring it")

// knock asks the acquisition for a block. It returns when that is on the stock.
func knock(dir *os.File, n int64) error {
	c, err := net.DialTimeout("unix", reach(dir, earlyDoorName), time.Second)
	if err != nil {
		return errNoDoor
	}
	defer c.Close()                                                                   //nolint:errcheck // nothing is buffered
	if _, err := c.Write(binary.BigEndian.AppendUint64(nil, uint64(n))); err != nil { //nolint:gosec // not negative
		return err
	}
	var said [1]byte
	if _, err := io.ReadFull(c, said[:]); err != nil {
		return fmt.Errorf("the acquisition did not answer: %w", err)
	}
	if said[0] != 1 {
		return errLost
	}
	return nil
}
