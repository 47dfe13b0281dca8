package store

import (
	"bytes"
	"encoding/binary"

	"snapcase/evidence"
	"snapcase/evidence/cloudtrail"
	"snapcase/imaging"
)

// Events are sorted twice on their way into the database, in files (spill.go),
// so that memory does not grow with their number: by their ids, to tell copies,
// and in the order in which they are listed. A row is bytes all the way:
//
//	flags, time: seconds (varint), nanoseconds, whether there is one
//	file, n (4 bytes each, big endian), hash (16)
//	event id, request id, shared id: length, packID
//	the words of eventWords
//	how many resources, and type and name of each
//	side: length, packSide
//	copies: how many, and file and n of each; added when copies are told
//
// Numbers are varints unless the length is given.

// eventHead is what a row begins with: all that telling copies needs.
type eventHead struct {
	flags   uint8
	time    imaging.Time
	file, n uint32 // file: index into the exhibit's files
	hash    [16]byte
	id      []byte // packID
}

// eventWords are the columns that are numbers of the dictionary.
type eventWords [15]uint32

// Where some of the words stand.
const (
	wordName    = 0
	wordRegion  = 2
	wordPID     = 5
	wordARN     = 6
	wordKey     = 9
	wordCode    = 13
	wordMessage = 14
)

func (h *eventHead) pack(b []byte) []byte {
	set := byte(0)
	if h.time.Set {
		set = 1
	}
	b = binary.AppendVarint(append(b, h.flags, set), h.time.Sec)
	b = binary.AppendUvarint(b, uint64(h.time.Nsec)) //nolint:gosec // not negative
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, h.file), h.n)
	return appendBytes(append(b, h.hash[:]...), h.id)
}

// unpackHead reads a head; id holds as long as the bytes of p do.
func unpackHead(p *packed) (h eventHead) {
	h.flags = p.byte()
	h.time = imaging.Time{Set: p.byte() == 1, Sec: p.signed()}
	h.time.Nsec = int32(p.count()) //nolint:gosec // below 1e9
	if place := p.take(8); place != nil {
		h.file, h.n = binary.BigEndian.Uint32(place), binary.BigEndian.Uint32(place[4:])
	}
	copy(h.hash[:], p.take(16))
	h.id = p.bytes()
	return h
}

// place orders rows by where their records lie.
func (h *eventHead) place() uint64 { return uint64(h.file)<<32 | uint64(h.n) }

// idKey is what rows are sorted by to tell copies: the id, those that are text
// first, as the database orders them; then the place. Rows without an id come
// before.
func (h *eventHead) idKey(b []byte) []byte {
	return binary.BigEndian.AppendUint64(appendOrdered(b, h.id), h.place())
}

// orderKey is what rows are listed by: time, those without one last, then the
// text of the id, then the place.
func (h *eventHead) orderKey(b []byte) []byte {
	if h.time.Set {
		ns, exact := nano(h.time)
		b = binary.BigEndian.AppendUint64(append(b, 0), uint64(ns)^1<<63) //nolint:gosec // order of signed numbers
		if !exact {
			b = binary.BigEndian.AppendUint32(b, uint32(h.time.Nsec)) //nolint:gosec // not negative
		}
	} else {
		b = append(b, 1)
	}
	var text [36]byte
	return binary.BigEndian.AppendUint64(appendOrdered(b, appendIDText(text[:0], h.id)), h.place())
}

// appendOrdered appends bytes so that what follows does not change their order:
// a zero byte becomes 00 ff, and 00 00 is the end.
func appendOrdered(b, s []byte) []byte {
	for {
		i := bytes.IndexByte(s, 0)
		if i < 0 {
			return append(append(b, s...), 0, 0)
		}
		b, s = append(append(b, s[:i]...), 0, 0xff), s[i+1:]
	}
}

func appendBytes(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// The first byte of a packed id.
const (
	idIsText = 1
	idIsUUID = 2
)

// packID is an id of a record: nothing for none, a UUID in canonical form as
// its 16 bytes, other text as it is. Their order is that of the database.
func packID(s string) []byte {
	if s == "" {
		return nil
	}
	if u, ok := parseUUID(s); ok {
		return append([]byte{idIsUUID}, u[:]...)
	}
	return append([]byte{idIsText}, s...)
}

// appendIDText appends the id as the record has it.
func appendIDText(b, id []byte) []byte {
	switch {
	case len(id) == 0:
		return b
	case id[0] == idIsUUID:
		return append(b, uuidText(id[1:])...)
	}
	return append(b, id[1:]...)
}

// idColumn is what the database holds of a packed id.
func idColumn(id []byte) any {
	switch {
	case len(id) == 0:
		return nil
	case id[0] == idIsUUID:
		return bytes.Clone(id[1:])
	}
	return string(id[1:])
}

// packedOf is the packed id of what the database holds; the inverse of
// idColumn.
func packedOf(v any) []byte {
	switch v := v.(type) {
	case []byte:
		return append([]byte{idIsUUID}, v...)
	case string:
		return append([]byte{idIsText}, v...)
	}
	return nil
}

// take is the next n bytes; nil where they are cut.
func (p *packed) take(n int) []byte {
	if n > len(p.b) {
		p.b, p.short = nil, true
		return nil
	}
	b := p.b[:n]
	p.b = p.b[n:]
	return b
}

// bytes is bytes behind their length.
func (p *packed) bytes() []byte {
	n := p.count()
	if n > uint64(len(p.b)) {
		p.b, p.short = nil, true
		return nil
	}
	return p.take(int(n)) //nolint:gosec // not above the length
}

// eventSide is what few records have.
type eventSide struct {
	issued            []cloudtrail.Issued
	instances         []cloudtrail.Instance
	created           []evidence.Resource
	roleName, service string
}

// packSide appends the side of a record behind its length, 0 for none.
func packSide(b []byte, r *cloudtrail.Record) []byte {
	if len(r.Issued) == 0 && len(r.Instances) == 0 && len(r.Created) == 0 {
		return append(b, 0)
	}
	s := appendText(appendText(nil, r.RoleSessionName), r.InvokedBy)
	s = binary.AppendUvarint(s, uint64(len(r.Issued)))
	for _, k := range r.Issued {
		for _, t := range [4]string{k.KeyID, k.Principal, k.ARN, k.User} {
			s = appendText(s, t)
		}
		s = append(s, byte(flag(k.Permanent))) //nolint:gosec // 0 or 1
	}
	s = binary.AppendUvarint(s, uint64(len(r.Created)))
	for _, c := range r.Created {
		s = appendText(appendText(s, c.Type), c.Name)
	}
	s = binary.AppendUvarint(s, uint64(len(r.Instances)))
	for _, i := range r.Instances {
		s = append(appendText(s, i.ID), byte(flag(i.Launched))) //nolint:gosec // 0 or 1
		for _, list := range [3][]string{i.PrivateIPs, i.PublicIPs, i.Interfaces} {
			s = binary.AppendUvarint(s, uint64(len(list)))
			for _, t := range list {
				s = appendText(s, t)
			}
		}
	}
	return appendBytes(b, s)
}

// unpackSide is the inverse of packSide, without the length.
func unpackSide(b []byte) (s eventSide, err error) {
	p := packed{b: b}
	s.roleName, s.service = p.text(), p.text()
	for n := p.count(); n > 0 && !p.short; n-- {
		k := cloudtrail.Issued{KeyID: p.text(), Principal: p.text(), ARN: p.text(), User: p.text()}
		k.Permanent = p.byte() == 1
		s.issued = append(s.issued, k)
	}
	for n := p.count(); n > 0 && !p.short; n-- {
		s.created = append(s.created, evidence.Resource{Type: p.text(), Name: p.text()})
	}
	for n := p.count(); n > 0 && !p.short; n-- {
		i := cloudtrail.Instance{ID: p.text()}
		i.Launched = p.byte() == 1
		for _, list := range [3]*[]string{&i.PrivateIPs, &i.PublicIPs, &i.Interfaces} {
			for m := p.count(); m > 0 && !p.short; m-- {
				*list = append(*list, p.text())
			}
		}
		s.instances = append(s.instances, i)
	}
	if p.short {
		return s, errCut
	}
	return s, nil
}
