package acquire

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"
)

const (
	apiS3 = "s3"
	// objectsAtOnce are read at once, where they are no larger than smallObject:
	// they are in memory then. Larger ones come one after the other.
	objectsAtOnce = 32
	smallObject   = 4 << 20
	objectTries   = 3 // of a small object whose bytes are not what they should be
	objectsName   = "objects.jsonl"
	mostLater     = 20 // keys that are named of those that came and went meanwhile
)

// Store is a bucket.
type Store interface {
	// List lists all objects, by the bytes of their keys; of one key, where it
	// has several versions, the newest first.
	List(ctx context.Context) ([]evidence.Object, error)
	// Open reads an object as it was listed. An error that is not
	// imaging.ErrGone is of that object alone.
	Open(ctx context.Context, o evidence.Object) (evidence.ObjectReader, error)
	// Origin says where the objects come from.
	Origin() evidence.Origin
}

// Objects is a source of files that no path names: what lies under a prefix of
// a bucket.
type Objects struct {
	Store Store
	list  []evidence.Object
	names []string             // by which the objects of list are known in the exhibit
	with  []evidence.Companion // what the store gave beside them, with names of their own
	notes []string
}

// companions is a store that has something to keep beside its objects: what it
// takes to check them.
type companions interface {
	Companions(ctx context.Context, list []evidence.Object) ([]evidence.Companion, error)
}

// described is a store that is no bucket.
type described interface {
	// How says through which API, and in words how, its objects are read.
	How() (api, method string)
}

// how says how the objects are read.
func (b *Objects) how() (api, method string) {
	if d, ok := b.Store.(described); ok {
		return d.How()
	}
	return apiS3, "GetObject of every object that was listed, bytes as stored, SHA-256; the ETag was compared where it is an MD5; listed again at the end"
}

// name gives everything a name of its own. That of the newest version is the
// key; older ones have their version behind it, in a form that, where another
// key looks like that on purpose, is made longer until it is nobody else's.
func (b *Objects) name() {
	taken := map[string]bool{}
	for i := range b.list {
		taken[b.list[i].Key] = true
	}
	free := func(name string) string {
		for taken[name] {
			name += "'"
		}
		taken[name] = true
		return name
	}
	b.names = make([]string, len(b.list))
	for i := range b.list {
		o := &b.list[i]
		if b.names[i] = o.Key; o.Older || o.DeleteMarker {
			b.names[i] = free(o.Key + "?versionId=" + o.Version)
		}
	}
	for i := range b.with {
		b.with[i].Name = free(b.with[i].Name)
	}
}

// beside asks the store for what is kept beside its objects.
func (b *Objects) beside(ctx context.Context) (err error) {
	if s, ok := b.Store.(companions); ok {
		b.with, err = s.Companions(ctx, b.list)
	}
	return err
}

// lookObjects lists the objects, and finds their kind by some of them.
func (j *Job) lookObjects(ctx context.Context, h *header) error {
	if h.Kind.Image() {
		return evidence.WithHint(fmt.Errorf("a prefix of a bucket is no %s image: %w", h.Kind, evidence.ErrUsage), "copy the image to this host and acquire the file")
	}
	var err error
	if j.Objects.list, err = j.Objects.Store.List(ctx); err != nil {
		return err
	}
	api, _ := j.Objects.how()
	h.Identity = identity{API: api, ID: j.Source}
	if what := j.Objects.Store.Origin().Selected; what != "" {
		h.Identity.ID += " " + what
	}
	var bytes int64
	var some []evidence.Object
	for _, o := range j.Objects.list {
		if it := objectItem(&o); it.gap == "" && o.Size > 0 {
			bytes += o.Size
			some = append(some, o)
		}
	}
	if len(j.Objects.list) == 0 {
		return evidence.WithHint(errors.New("nothing lies under this prefix"), "check bucket and prefix; nothing was recorded")
	}
	if h.Kind == "" {
		if h.Kind, h.Detected, err = j.Objects.detect(ctx, some); err != nil {
			return err
		}
	}
	if err := j.Objects.beside(ctx); err != nil {
		return err
	}
	j.Objects.name()
	return room(string(j.Folder), bytes)
}

// detect takes the kind of most of some objects, spread over the list.
func (b *Objects) detect(ctx context.Context, all []evidence.Object) (evidence.Kind, string, error) {
	count, looked := map[evidence.Kind]int{}, 0
	for i := range min(samples, len(all)) {
		r, err := b.Store.Open(ctx, all[i*len(all)/min(samples, len(all))])
		if err != nil {
			if stops(ctx, err) {
				return "", "", err
			}
			continue // the copy will tell
		}
		head, err := io.ReadAll(io.LimitReader(r, 1<<20))
		if cerr := r.Close(); ctx.Err() != nil {
			return "", "", errors.Join(ctx.Err(), cerr)
		}
		if err != nil && len(head) == 0 {
			continue
		}
		kind, _ := sniffHead(head)
		count[kind]++
		looked++
	}
	return majority(count, looked)
}

// sniffHead tells the kind of a log by its first bytes.
func sniffHead(head []byte) (evidence.Kind, string) {
	if bytes.HasPrefix(head, []byte("\x1f\x8b")) {
		return sniffText(unpacked(bytes.NewReader(head)))
	}
	return sniffText(head)
}

// stops says that an error is not of one object alone.
func stops(ctx context.Context, err error) bool {
	return errors.Is(err, imaging.ErrGone) || ctx.Err() != nil
}

// objectItem says what an object is, as far as the list tells.
func objectItem(o *evidence.Object) item {
	it := item{name: o.Key, size: o.Size, kind: "file", object: o}
	if o.Modified.Set {
		it.mtime = o.Modified.Std().UnixNano()
	}
	switch {
	case o.DeleteMarker:
		it.kind, it.gap = "delete marker", "delete marker: it has no bytes"
	case strings.HasSuffix(o.Key, "/") && o.Size == 0:
		it.kind, it.gap = "folder", "object that only marks a folder"
	case o.Class == "GLACIER" || o.Class == "DEEP_ARCHIVE":
		it.gap, it.harm = "archived ("+o.Class+"): restore it, then acquire it", true
	}
	return it
}

// shelf is the objects as a source of files, those that come next already here.
type shelf struct {
	ctx     context.Context //nolint:containedctx // of all reads
	stop    context.CancelFunc
	objects *Objects
	order   []item         // small ones that will be opened, in order
	at      map[string]int // of a name in order
	started int
	here    map[string]*fetched
	skip    func(name string) bool // those need not be fetched
	with    map[string][]byte      // what is not fetched, by name
}

// fetched is a small object on its way into memory.
type fetched struct {
	done   chan struct{}
	data   []byte
	object evidence.Object
	err    error
	doubt  error // all bytes came, and are not what they should be
}

func openShelf(ctx context.Context, b *Objects, skip func(string) bool) *shelf {
	s := &shelf{objects: b, at: map[string]int{}, here: map[string]*fetched{}, skip: skip, with: map[string][]byte{}}
	s.ctx, s.stop = context.WithCancel(ctx)
	return s
}

func (s *shelf) close()       { s.stop() }
func (s *shelf) single() bool { return false }

func (s *shelf) items(context.Context) ([]item, error) {
	var all []item
	for i := range s.objects.list {
		it := objectItem(&s.objects.list[i])
		it.name = s.objects.names[i]
		if it.gap == "" && it.size <= smallObject {
			s.at[it.name] = len(s.order)
			s.order = append(s.order, it)
		}
		all = append(all, it)
	}
	for _, c := range s.objects.with {
		s.with[c.Name] = c.Data
		sum := sha256.Sum256(c.Data)
		o := &evidence.Object{Key: c.Name, Size: int64(len(c.Data)), ETag: hex.EncodeToString(sum[:]), Request: c.Request, Asked: c.What}
		all = append(all, item{name: c.Name, size: o.Size, kind: "file", object: o})
	}
	return all, nil
}

// open gives an object: a small one from memory, with the next ones on their
// way meanwhile.
func (s *shelf) open(it item) (original, error) {
	if data, ok := s.with[it.name]; ok {
		return &held{Reader: bytes.NewReader(data), object: *it.object}, nil
	}
	i, small := s.at[it.name]
	if !small {
		r, err := s.objects.Store.Open(s.ctx, *it.object)
		if err != nil {
			return nil, err
		}
		return &flow{r: r, size: it.size, mtime: it.mtime}, nil
	}
	for s.started = max(s.started, i); s.started < min(len(s.order), i+objectsAtOnce); s.started++ {
		if next := s.order[s.started]; s.started == i || !s.skip(next.name) {
			s.start(next)
		}
	}
	f := s.here[it.name]
	if f == nil { // it was thought to be on disk already, and is not as it was
		f = s.start(it)
	}
	delete(s.here, it.name)
	select {
	case <-f.done:
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
	if f.err != nil {
		return nil, f.err
	}
	return &held{Reader: bytes.NewReader(f.data), object: f.object, mtime: it.mtime, doubt: f.doubt}, nil
}

func (s *shelf) start(it item) *fetched {
	f, o := &fetched{done: make(chan struct{})}, *it.object
	s.here[it.name] = f
	go func() {
		defer close(f.done)
		for range objectTries {
			if f.data, f.object, f.doubt, f.err = s.fetch(o); f.doubt == nil {
				return
			}
		}
	}()
	return f
}

// fetch reads a small object. doubt is what is wrong with bytes that all came.
func (s *shelf) fetch(o evidence.Object) (data []byte, full evidence.Object, doubt, err error) {
	r, err := s.objects.Store.Open(s.ctx, o)
	if err != nil {
		return nil, o, nil, err
	}
	defer r.Close() //nolint:errcheck // read-only
	data = make([]byte, 0, o.Size)
	for {
		if int64(len(data)) == o.Size {
			var more [1]byte
			if _, err := r.Read(more[:]); !errors.Is(err, io.EOF) {
				return data, r.Object(), errors.Join(errors.New("its end is not right"), err), s.ctx.Err()
			}
			return data, r.Object(), nil, nil
		}
		n, err := r.Read(data[len(data):o.Size])
		if data = data[:len(data)+n]; err != nil && int64(len(data)) < o.Size {
			return nil, o, nil, err
		}
	}
}

// held is an object in memory.
type held struct {
	*bytes.Reader
	object evidence.Object
	mtime  int64
	doubt  error
}

func (h *held) Close() error                       { return nil }
func (h *held) stat() (size, mtime int64, _ error) { return h.Size(), h.mtime, nil }

// flow is a large object, read from its start to its end.
type flow struct {
	r     evidence.ObjectReader
	size  int64
	mtime int64
	at    int64
	err   error
}

func (f *flow) Close() error                       { return f.r.Close() }
func (f *flow) stat() (size, mtime int64, _ error) { return f.size, f.mtime, nil }

// ReadAt reads on. After a read that failed nothing behind it can be had.
func (f *flow) ReadAt(p []byte, off int64) (int, error) {
	if f.err == nil && off != f.at {
		f.err = fmt.Errorf("read at %d, the stream is at %d", off, f.at)
	}
	n := 0
	for f.err == nil && n < len(p) {
		var k int
		k, f.err = f.r.Read(p[n:])
		n, f.at = n+k, f.at+int64(k)
	}
	if n == len(p) {
		return n, nil
	}
	if errors.Is(f.err, imaging.ErrGone) || evidence.Canceled(f.err) {
		return n, f.err
	}
	return n, &imaging.RangeError{Offset: off + int64(n), Length: f.size - off - int64(n), Tries: 1, Err: f.err}
}

// doubt asks at the end of the stream whether the bytes were right.
func (f *flow) doubt() error {
	var more [1]byte
	if _, err := f.r.Read(more[:]); !errors.Is(err, io.EOF) {
		return errors.Join(errors.New("its end is not right"), err)
	}
	return nil
}

// objectLine is a line of objects.jsonl.
type objectLine struct {
	Stored string           `json:"stored,omitempty"` // below files/
	SHA256 *evidence.Digest `json:"sha256,omitempty"`
	Gap    string           `json:"gap,omitempty"` // why it was not copied
	evidence.Object
}

// objectLines are all objects of the list, copied or not.
func (c *copier) objectLines() []objectLine {
	var all []objectLine
	for i := range c.files {
		if f := &c.files[i]; f.Object != nil {
			all = append(all, objectLine{Stored: f.Stored, SHA256: &f.SHA256, Object: *f.Object})
		}
	}
	all = append(all, c.notCopied...)
	slices.SortStableFunc(all, func(a, b objectLine) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), b.Modified.Compare(a.Modified), strings.Compare(a.Version, b.Version))
	})
	return all
}

// later lists again at the end, and notes what came, went or changed meanwhile.
func (b *Objects) later(ctx context.Context) error {
	now, err := b.Store.List(ctx)
	if err != nil {
		return err
	}
	type version struct{ key, id string }
	id := func(o *evidence.Object) version { return version{o.Key, o.Version} }
	was := map[version]string{}
	for i := range b.list {
		was[id(&b.list[i])] = b.list[i].ETag
	}
	var came, changed []string
	for i := range now {
		switch etag, ok := was[id(&now[i])]; {
		case !ok:
			came = append(came, now[i].Key)
		case etag != now[i].ETag:
			changed = append(changed, now[i].Key)
		}
		delete(was, id(&now[i]))
	}
	var went []string
	for k := range was {
		went = append(went, k.key)
	}
	slices.Sort(went)
	for _, w := range []struct {
		what string
		keys []string
	}{{"appeared", came}, {"were changed", changed}, {"vanished", went}} {
		if n := len(w.keys); n > 0 {
			b.notes = append(b.notes, fmt.Sprintf("%d objects %s while it was read: %s", n, w.what, strings.Join(w.keys[:min(n, mostLater)], ", ")))
		}
	}
	return nil
}
