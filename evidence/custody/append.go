package custody

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"snapcase/evidence"
)

// maxClockStep is how far wall clock and boot clock may part between two
// records.
const maxClockStep = 2 * time.Second

// Append writes r as the next record and returns once it is on disk. It fills
// V, Seq, Prev, Case, Time, Actor, Key, Tool, Host, Boot and BoottimeNS. Text
// in Data that is not UTF-8 is kept as base64 under a key that ends in _b64.
//
// An error means that r is not in the ledger, unless it says that the sync
// failed: then it may be or not, and this Ledger writes no more. Records that
// the ledger itself adds (clock.jump, ledger.torn, key.add) come before r. A
// checkpoint follows the types that CUSTODY.md names, 256 records, or ten
// minutes; when it fails, Close tries again and reports it.
func (l *Ledger) Append(ctx context.Context, r Record) error {
	_, err := l.Add(ctx, r)
	return err
}

// Add is Append, and gives the record as it stands in the ledger: with its
// number, time and hash.
func (l *Ledger) Add(ctx context.Context, r Record) (Record, error) {
	kind := r.Type
	r, err := l.append(ctx, r)
	if err != nil {
		return r, fmt.Errorf("append %s to the ledger: %w", kind, err)
	}
	return r, nil
}

func (l *Ledger) append(ctx context.Context, r Record) (Record, error) {
	if !recordType.MatchString(r.Type) {
		return Record{}, fmt.Errorf("%q is no record type", r.Type)
	}
	if r.Exhibit != "" && !exhibitID.MatchString(r.Exhibit) {
		return Record{}, fmt.Errorf("exhibit %q is not like EX-001", r.Exhibit)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.begin(ctx); err != nil {
		return Record{}, err
	}
	r, err := l.appendLocked(ctx, r)
	return r, errors.Join(err, l.unlock())
}

// begin checks that this handle may write, takes the lock, reads what others
// wrote and keeps a torn tail.
func (l *Ledger) begin(ctx context.Context) error {
	switch {
	case l.stopped != nil:
		return l.stopped
	case l.o.Signer == nil:
		return evidence.ErrReadOnly
	case l.o.Now == nil:
		return errors.New("no clock was given")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.lock(ctx); err != nil {
		return err
	}
	err := l.catchUp()
	if err == nil && l.caseID == "" {
		err = errors.New("neither ledger nor case.json says which case this is")
	}
	if err == nil {
		err = l.keepTorn()
	}
	if err != nil {
		return errors.Join(err, l.unlock())
	}
	return nil
}

func (l *Ledger) appendLocked(ctx context.Context, r Record) (Record, error) {
	if err := l.ensureKey(); err != nil {
		return Record{}, err
	}
	r, err := l.write(r)
	if err != nil {
		return Record{}, err
	}
	if l.due(r.Type) {
		_, l.sealFail = l.checkpointLocked(ctx)
	}
	return r, nil
}

// due says whether a checkpoint follows a record of this type now.
func (l *Ledger) due(kind string) bool {
	const everyRecords, every = 256, 10 * time.Minute
	return strings.HasPrefix(kind, "custody.") || slices.Contains([]string{typeCaseOpen, typeAcquireEnd, "respond.step", "bundle.export"}, kind) ||
		l.written >= everyRecords || l.o.Now().Sub(l.sealed) >= every
}

// write adds one record, and before it a clock.jump where the clock jumped.
// The lock is held and the file is as this process knows it.
func (l *Ledger) write(r Record) (Record, error) {
	if l.o.Tool.SHA256 == "" && l.o.Binary != nil {
		sum, err := l.o.Binary()
		if err != nil {
			return Record{}, err
		}
		l.o.Tool.SHA256 = sum
	}
	now := l.now()
	boot, ns := l.o.Boot()
	if step := l.chain.jump(now, boot, ns); step > maxClockStep || step < -maxClockStep {
		jump := Record{Type: typeClockJump, Data: map[string]any{"wall": formatTime(now), "step_ns": strconv.FormatInt(int64(step), 10)}}
		if _, err := l.writeLine(l.complete(jump, boot, ns)); err != nil {
			return Record{}, err
		}
	}
	return l.writeLine(l.complete(r, boot, ns))
}

// complete fills what the ledger knows. Time never runs backwards.
func (l *Ledger) complete(r Record, boot string, ns int64) Record {
	wire := l.o.Signer.PublicKey()
	r.V, r.Seq, r.Prev, r.Case = 1, l.chain.n, l.chain.head, l.caseID
	r.Time = l.now()
	if l.chain.last.Set && r.Time.Compare(l.chain.last) < 0 {
		r.Time = l.chain.last
	}
	r.Actor, r.Key, r.Host = escapeBytes(l.o.Actor), Fingerprint(wire), escapeBytes(l.o.Host)
	r.Boot, r.BoottimeNS = boot, strconv.FormatInt(max(ns, 0), 10)
	r.Tool = l.o.Tool
	if r.Tool.SHA256 == "" {
		r.Tool.SHA256 = zeroHash
	}
	if r.Data != nil {
		if m, ok := portable(r.Data).(map[string]any); ok {
			r.Data = m
		}
	}
	for _, s := range []*string{&r.Result, &r.Authority, &r.Purpose, &r.Location, &r.TZ} {
		*s = escapeBytes(*s)
	}
	return r
}

// writeLine puts the line of r on disk: one write, then fdatasync.
func (l *Ledger) writeLine(r Record) (Record, error) {
	line, err := encodeRecord(r)
	if err != nil {
		return Record{}, err
	}
	back, bad := decodeRecord(line)
	if bad != nil {
		return Record{}, bad
	}
	n, err := l.f.Write(append(line, '\n'))
	if err == nil && n < len(line)+1 {
		err = fmt.Errorf("%d of %d bytes were written", n, len(line)+1)
	}
	if err != nil {
		return Record{}, l.takeBack(err)
	}
	if err := l.f.Datasync(); err != nil {
		l.stopped = evidence.WithHint(fmt.Errorf("the disk did not confirm a record (sync failed: %w): nothing more is written by this process", err),
			"check the disk, then start again; snapcase verify tells whether the ledger holds")
		return Record{}, l.stopped
	}
	l.chain.add(line)
	l.chain.follow(back)
	l.written++
	return back, nil
}

// takeBack undoes a write that failed.
func (l *Ledger) takeBack(cause error) error {
	err := l.f.Truncate(l.chain.bytes)
	if err == nil {
		err = l.f.Datasync()
	}
	if err != nil {
		l.stopped = fmt.Errorf("a record could not be written (%w) nor taken back (%w): nothing more is written by this process", cause, err)
		return l.stopped
	}
	return cause
}

// keepTorn moves a tail without LF to torn/ and records it.
func (l *Ledger) keepTorn() error {
	fi, err := l.f.Stat()
	if err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	start := l.chain.bytes
	n := fi.Size() - start
	if n == 0 {
		return l.keepOrphans()
	}
	const most = 64 << 20
	if n > most {
		return l.diverged("%d bytes without an end of line", n)
	}
	tail := make([]byte, n)
	if _, err := l.f.ReadAt(tail, start); err != nil {
		return fmt.Errorf("read the ledger's torn tail: %w", err)
	}
	name := fmt.Sprintf("%d-%d.bin", start, n)
	if err := l.intoTorn(name, tail); err != nil {
		return fmt.Errorf("keep the ledger's torn tail: %w", err)
	}
	if err := l.f.Truncate(start); err != nil {
		return fmt.Errorf("cut the ledger's torn tail: %w", err)
	}
	if err := l.f.Datasync(); err != nil {
		l.stopped = fmt.Errorf("cut the ledger's torn tail: %w", err)
		return l.stopped
	}
	torn := Record{Type: typeTorn, Data: map[string]any{"file": "torn/" + name, "offset": strconv.FormatInt(start, 10), "length": strconv.FormatInt(n, 10), "sha256": sha256Hex(tail)}}
	if _, err := l.write(torn); err != nil {
		return err
	}
	return l.keepOrphans()
}

// intoTorn keeps b as a file of torn/; the same file may be there from an
// attempt that was killed.
func (l *Ledger) intoTorn(name string, b []byte) error {
	dir := tornFolder(l.folder)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	path := filepath.Join(dir, name)
	if old, err := os.ReadFile(path); err == nil && !bytes.Equal(old, b) {
		return fmt.Errorf("%s is there with other content", path)
	}
	if err := replaceFile(path, b, 0o444); err != nil {
		return err
	}
	return syncDir(string(l.folder))
}

// keepOrphans moves signatures whose checkpoint is not there to torn/ and
// records them: a process was killed between the two files, or somebody took
// the checkpoint away.
func (l *Ledger) keepOrphans() error {
	if l.looked {
		return nil
	}
	names, err := os.ReadDir(l.folder.Checkpoints())
	if err != nil {
		return fmt.Errorf("list checkpoints: %w", err)
	}
	for _, n := range names {
		m := signatureName.FindStringSubmatch(n.Name())
		if m == nil || slices.ContainsFunc(names, func(d os.DirEntry) bool { return d.Name() == m[1] }) {
			continue
		}
		path := filepath.Join(l.folder.Checkpoints(), n.Name())
		b, err := readSmall(path, maxSignature)
		if err != nil {
			return fmt.Errorf("keep a signature without its checkpoint: %w", err)
		}
		if err := l.intoTorn(n.Name(), b); err != nil {
			return fmt.Errorf("keep a signature without its checkpoint: %w", err)
		}
		torn := Record{Type: typeTorn, Data: map[string]any{"file": "torn/" + n.Name(), "length": strconv.Itoa(len(b)), "sha256": sha256Hex(b)}}
		if _, err := l.write(torn); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("keep a signature without its checkpoint: %w", err)
		}
	}
	l.looked = true
	return nil
}

// ensureKey lists our key in allowed_signers, and records a key that this
// ledger has not seen.
func (l *Ledger) ensureKey() error {
	if l.known {
		return nil
	}
	wire := l.o.Signer.PublicKey()
	text, err := signerText(l.o.Actor, wire)
	if err != nil {
		return err
	}
	have, err := readSmall(allowedSigners(l.folder), maxSigners)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read allowed_signers: %w", err)
	}
	if !strings.Contains(string(have), " "+base64.StdEncoding.EncodeToString(wire)) {
		if l.chain.n > 0 {
			add := Record{Type: typeKeyAdd, Data: map[string]any{"key": Fingerprint(wire), "public_key": strings.TrimSpace(text)}}
			if _, err := l.write(add); err != nil {
				return err
			}
		}
		if n := len(have); n > 0 && have[n-1] != '\n' {
			have = append(have, '\n')
		}
		if err := replaceFile(allowedSigners(l.folder), append(have, text...), 0o644); err != nil {
			return fmt.Errorf("write allowed_signers: %w", err)
		}
	}
	l.known = true
	return nil
}
