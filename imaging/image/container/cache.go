package container

import (
	"container/list"
	"sync"
)

// unpacked is a piece and what is wrong with it. It is never changed.
type unpacked struct {
	data   []byte
	reason string
}

// cache keeps the pieces used last, up to so many bytes.
type cache struct {
	mu   sync.Mutex
	room int
	by   map[int64]*list.Element
	used *list.List // of *held, the last used first
}

type held struct {
	key int64
	unpacked
}

func newCache(room int) *cache {
	return &cache{room: room, by: map[int64]*list.Element{}, used: list.New()}
}

func (c *cache) get(key int64) (unpacked, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.by[key]
	if !ok {
		return unpacked{}, false
	}
	c.used.MoveToFront(e)
	return e.Value.(*held).unpacked, true
}

func (c *cache) has(key int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.by[key]
	return ok
}

// put keeps u; the one put last stays whatever its size.
func (c *cache) put(key int64, u unpacked) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.by[key]; ok {
		return
	}
	c.by[key] = c.used.PushFront(&held{key: key, unpacked: u})
	c.room -= len(u.data)
	for c.room < 0 && c.used.Len() > 1 {
		old := c.used.Remove(c.used.Back()).(*held)
		delete(c.by, old.key)
		c.room += len(old.data)
	}
}
