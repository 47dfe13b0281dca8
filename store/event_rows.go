package store

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/cloudtrail"
)

// Flags of an event row.
const (
	flagReadOnlyKnown = 1 << iota
	flagReadOnly
	flagMFAKnown
	flagMFA
	flagService  // made by an AWS service, not by a user or role
	flagConflict // another event has the same id and other content
)

// eventWorker makes the rows of the files that one goroutine reads, and keeps
// what is a sum over them: there are few of each, or one a session.
type eventWorker struct {
	d        *dict
	reader   *cloudtrail.Reader
	buf      []byte // the row that is made
	key      []byte
	rows     int64
	regions  map[uint32]struct{}
	seen     tally                   // first and last
	mentions map[uint32]mention      // key ids anywhere in a record: the first place
	sessions map[sessionKey]struct{} // of the row's key
	nameSeen map[uint32]struct{}
	parts    map[[2]uint32]struct{} // part, name
}

type mention struct {
	file, n uint32
	off     int64
}

type sessionKey struct {
	key, pid uint32
	created  int64
}

func newEventWorker(d *dict) *eventWorker {
	return &eventWorker{d: d, reader: cloudtrail.NewReader(), regions: map[uint32]struct{}{}, mentions: map[uint32]mention{}, sessions: map[sessionKey]struct{}{}, nameSeen: map[uint32]struct{}{}, parts: map[[2]uint32]struct{}{}}
}

// word numbers s; a case holds fewer than 2^32 distinct strings.
func (w *eventWorker) word(s string, col int64) uint32 { return uint32(w.d.id(s, col)) } //nolint:gosec // see above

// row packs a record of the exhibit's file number file. What it gives holds
// until the next one.
func (w *eventWorker) row(file uint32, r *cloudtrail.Record) (key, value []byte) {
	e := &r.Event
	w.rows++
	w.seen.seen(e.Time)
	h := eventHead{flags: eventFlags(e), time: e.Time, file: file, n: uint32(r.N), hash: r.Hash, id: packID(e.EventID)} //nolint:gosec // a file of 4 GiB holds fewer records
	b := h.pack(w.buf[:0])
	b = appendBytes(b, packID(e.RequestID))
	b = appendBytes(b, packID(e.SharedEventID))
	words := eventWords{
		w.word(e.Name, colName), w.word(e.Source, colSource), w.word(e.Region, colRegion), w.word(e.Type, colType),
		w.word(e.PrincipalType, colPrincipalType), w.word(e.PrincipalID, colPrincipalID), w.word(e.ARN, colARN), w.word(e.Account, colAccount), w.word(e.User, colUser),
		w.word(e.AccessKeyID, colKey), w.word(e.SessionIssuer, colIssuer), w.word(e.SourceIP, colIP), w.word(e.UserAgent, colAgent), w.word(e.ErrorCode, colError), w.word(e.ErrorMessage, colMessage),
	}
	for _, id := range words {
		b = binary.AppendUvarint(b, uint64(id))
	}
	b = w.resources(b, e.Resources)
	w.sums(&h, &words, r)
	w.buf = packSide(b, r)
	w.key = h.idKey(w.key[:0])
	return w.key, w.buf
}

// resources appends how many distinct resources have a name, and the words of
// type and name of each.
func (w *eventWorker) resources(b []byte, all []evidence.Resource) []byte {
	n := 0
	for i, res := range all {
		if res.Name != "" && !contains(all[:i], res) {
			n++
		}
	}
	b = binary.AppendUvarint(b, uint64(n)) //nolint:gosec // not negative
	for i, res := range all {
		if res.Name == "" || contains(all[:i], res) {
			continue
		}
		name := w.word(res.Name, colResourceName)
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(w.word(res.Type, colResourceType))), uint64(name))
		w.nameParts(res.Name, name)
	}
	return b
}

func contains[T comparable](all []T, r T) bool {
	for _, a := range all {
		if a == r {
			return true
		}
	}
	return false
}

// sums takes of a record what is kept over all of them.
func (w *eventWorker) sums(h *eventHead, words *eventWords, r *cloudtrail.Record) {
	if id := words[wordRegion]; id != 0 {
		w.regions[id] = struct{}{}
	}
	for _, k := range r.KeyIDs {
		id := w.word(k.ID, colOther)
		if m, ok := w.mentions[id]; !ok || h.file < m.file || h.file == m.file && h.n < m.n {
			w.mentions[id] = mention{h.file, h.n, int64(k.Offset)}
		}
	}
	if words[wordKey] != 0 && words[wordPID] != 0 && r.SessionCreated.Set {
		w.sessions[sessionKey{words[wordKey], words[wordPID], r.SessionCreated.Sec}] = struct{}{}
	}
}

// nameParts notes by which parts an ARN is found too: its resource part
// (behind the fifth colon) and what follows the last slash of that.
func (w *eventWorker) nameParts(s string, id uint32) {
	if !strings.HasPrefix(s, "arn:") {
		return
	}
	if _, ok := w.nameSeen[id]; ok {
		return
	}
	w.nameSeen[id] = struct{}{}
	f := strings.SplitN(s, ":", 6)
	if len(f) < 6 || f[5] == "" {
		return
	}
	w.parts[[2]uint32{w.word(f[5], colResourceName), id}] = struct{}{}
	if i := strings.LastIndexByte(f[5], '/'); i >= 0 && i+1 < len(f[5]) {
		w.parts[[2]uint32{w.word(f[5][i+1:], colResourceName), id}] = struct{}{}
	}
}

func eventFlags(e *evidence.Event) (f uint8) {
	if e.ReadOnly != nil {
		f |= flagReadOnlyKnown
		if *e.ReadOnly {
			f |= flagReadOnly
		}
	}
	if e.MFA != nil {
		f |= flagMFAKnown
		if *e.MFA {
			f |= flagMFA
		}
	}
	if byService(e) {
		f |= flagService
	}
	return f
}

// byService says that an event is the work of an AWS service: by its type, by
// its principal, or because its address is the name of a service.
func byService(e *evidence.Event) bool {
	if e.PrincipalType == "AWSService" || e.Type == "AwsServiceEvent" || e.SourceIP == "AWS Internal" {
		return true
	}
	if !strings.HasSuffix(e.SourceIP, ".amazonaws.com") && !strings.HasSuffix(e.SourceIP, ".amazonaws.com.cn") {
		return false
	}
	_, err := netip.ParseAddr(e.SourceIP)
	return err != nil
}
