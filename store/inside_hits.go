package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"os"

	"snapcase/evidence"
	"snapcase/evidence/credential"
	decode "snapcase/evidence/credential/inside"
	"snapcase/imaging"
	"snapcase/imaging/filesystem"
)

// insideWanted asks for the names of the entries of a volume that hold hits.
func (l *imageLoad) insideWanted() {
	for _, h := range l.inside.hits {
		if l.wanted[h.key] == nil {
			l.wanted[h.key] = &ownerName{}
		}
	}
}

// insideHits gives the hits inside files, with their places.
func (l *imageLoad) insideHits() []insideHit {
	if l.inside == nil {
		return nil
	}
	all := l.inside.end()
	for i := range all {
		h := &all[i]
		name := l.wanted[h.key]
		h.place = hitPlace{status: hitAllocated, inner: h.Offset}
		if h.path == "" {
			h.place.fileOffset, h.place.inner = h.place.inner, nil
		}
		if name.rank > filesystem.Orphan {
			h.place.status = hitDeleted
		}
		h.place.address = evidence.Address{Exhibit: l.acq.Exhibit, Volume: h.key.volume, Inode: h.key.ref.Inode, Generation: h.key.ref.Generation, Path: name.path}.String() + h.path
		h.Offset = h.first
	}
	return all
}

// folderInside looks into the files of an exhibit that is a folder.
func (l *load) folderInside(ctx context.Context, ids map[string]int64, status string) ([]insideHit, error) {
	s, err := l.newInside(l.acq.Bytes)
	if err != nil {
		return nil, err
	}
	d := decode.NewDecoder(s.budget)
	numbers := map[string]driver.Value{}
	for _, f := range l.files {
		in, err := os.Open(f.path)
		if err != nil {
			return nil, err
		}
		address := l.acq.Exhibit + "/" + f.name
		numbers[address] = null(ids[f.name])
		err = s.file(ctx, d, in, address)
		if err := errors.Join(err, in.Close()); err != nil {
			return nil, err
		}
	}
	all := s.end()
	for i := range all {
		h := &all[i]
		address := h.key.volume
		h.place = hitPlace{file: numbers[address], address: address + h.path, status: status, inner: h.Offset}
		h.Offset = 0
	}
	return all, nil
}

// file looks into one open file.
func (s *insideScan) file(ctx context.Context, d *decode.Decoder, in *os.File, address string) error {
	st, err := in.Stat()
	if err != nil {
		return err
	}
	src := imaging.Section(sizedFile{in, st.Size()}, 0, st.Size())
	head := make([]byte, insideHead)
	n, err := src.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !decode.Hides(head[:n], st.Size(), n) {
		return ctx.Err()
	}
	return s.look(ctx, d, &insideSource{key: ownerKey{volume: address}, address: address, open: func() (imaging.Source, error) { return src, nil }})
}

// sizedFile is a file whose length is known.
type sizedFile struct {
	*os.File
	size int64
}

// Size is the length in bytes.
func (f sizedFile) Size() int64 { return f.size }

// contentPlace is a byte of the content of a file where a key lies as it is.
type contentPlace struct {
	key ownerKey
	at  int64
}

// sameKey is what two finds of one key at one place have in common.
type sameKey struct {
	contentPlace
	id, encoding string
}

func (i *insideHit) same() sameKey {
	return sameKey{contentPlace{i.key, i.plain}, i.KeyID, i.Encoding}
}

// insidePlaces numbers the hits in members that lie in their file as they are:
// whoever reads the image finds them there too.
func insidePlaces(all []insideHit) map[sameKey]int {
	places := map[sameKey]int{}
	for i := range all {
		if h := &all[i]; h.plain >= 0 {
			places[h.same()] = i
		}
	}
	return places
}

// sameAs takes into a hit in a member what was found of it in the image: it is
// one place, of which the member is the better name and the image has the byte.
func (i *insideHit) sameAs(h *credential.Hit, p *hitPlace) {
	i.Offset, i.place.status, i.place.area = h.Offset, p.status, p.area
	if h.Secret && !i.Secret {
		i.Secret, i.Fingerprint = true, h.Fingerprint
	}
}
