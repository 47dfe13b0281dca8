package aws

import (
	"container/list"
	"sync"
)

// cache keeps the blocks that were used last. A block that several readers ask
// for at once is fetched once. It is safe for concurrent use.
type cache struct {
	most int

	mu     sync.Mutex
	blocks map[int64]*cached
	order  *list.List // of *cached, the newest in front
}

type cached struct {
	n    int64
	data []byte
	err  error
	here chan struct{} // closed when data or err stands
	at   *list.Element
}

func newCache(most int) *cache {
	return &cache{most: most, blocks: map[int64]*cached{}, order: list.New()}
}

// peek is block n if it is here already; nil if not.
func (c *cache) peek(n int64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.blocks[n]
	if b == nil {
		return nil
	}
	select {
	case <-b.here:
		return b.data
	default:
		return nil
	}
}

// get gives block n, with fetch where it is not here; missed says that it was
// not. The bytes must not be changed.
func (c *cache) get(n int64, fetch func(int64) ([]byte, error)) (data []byte, missed bool, err error) {
	c.mu.Lock()
	b := c.blocks[n]
	if missed = b == nil; missed {
		b = &cached{n: n, here: make(chan struct{})}
		b.at = c.order.PushFront(b)
		c.blocks[n] = b
		for c.order.Len() > c.most {
			c.drop(c.order.Back().Value.(*cached)) //nolint:forcetypeassert // nothing else is in it
		}
	} else {
		c.order.MoveToFront(b.at)
	}
	c.mu.Unlock()
	if missed {
		b.data, b.err = fetch(n)
		close(b.here)
		if b.err != nil {
			c.mu.Lock()
			c.drop(b)
			c.mu.Unlock()
		}
	}
	<-b.here
	return b.data, missed, b.err
}

func (c *cache) drop(b *cached) {
	if c.blocks[b.n] == b {
		delete(c.blocks, b.n)
		c.order.Remove(b.at)
	}
}
