package custody

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"snapcase/evidence"
	"snapcase/imaging"
)

// The record types that this package itself writes or acts on.
const (
	typeCaseOpen     = "case.open"
	typeClockJump    = "clock.jump"
	typeTorn         = "ledger.torn"
	typeKeyAdd       = "key.add"
	typeAcquireStart = "evidence.acquire.start"
	typeAcquireEnd   = "evidence.acquire.end"
)

// recordTypes are the types of CUSTODY.md; another one is a note in a verify
// report.
var recordTypes = []string{
	typeCaseOpen, "case.close", typeKeyAdd, "key.revoke", typeAcquireStart, typeAcquireEnd, "evidence.acquire.error",
	"evidence.verify", "evidence.access", "evidence.derive", "respond.plan", "respond.intent", "respond.call", "respond.step", "respond.undo",
	"review.tag", "review.note", "review.finding", TypeRelease, TypeReceive, TypeDispose, typeClockJump, typeTorn,
	"bundle.export", "bundle.import",
}

// ledgerFile is what the append path needs of the file; tests put faults in.
type ledgerFile interface {
	io.ReaderAt
	Write(p []byte) (int, error)
	Truncate(size int64) error
	Datasync() error
	Stat() (os.FileInfo, error)
	Close() error
}

type osFile struct{ *os.File }

func (f osFile) Datasync() error { return unix.Fdatasync(int(f.Fd())) } //nolint:gosec // a descriptor fits

// Ledger is the open custody ledger of a case. It is safe for concurrent use;
// several processes may hold one each.
type Ledger struct {
	folder evidence.Folder
	caseID string
	o      Options

	mu      sync.Mutex
	f       ledgerFile
	chain   chain
	known   bool  // our key is in allowed_signers
	looked  bool  // for signatures without a checkpoint
	stopped error // why nothing more is written
	locked  *os.File

	written  int       // records appended since the last checkpoint
	sealed   time.Time // of the last checkpoint made here
	sealFail error     // of an automatic checkpoint; the next one tries again
}

// Create makes an empty ledger, its checkpoint folder and allowed_signers in a
// case folder that has none, and opens it. It writes no record: the caller
// appends case.open. caseID is urn:uuid:….
func Create(folder evidence.Folder, caseID string, o Options) (*Ledger, error) {
	if !caseURN.MatchString(caseID) {
		return nil, fmt.Errorf("make ledger: case id %q is no urn:uuid in lower case", caseID)
	}
	if o.Signer == nil {
		return nil, fmt.Errorf("make ledger: no signing key: %w", evidence.ErrReadOnly)
	}
	if err := localFileSystem(string(folder)); err != nil {
		return nil, fmt.Errorf("make ledger: %w", err)
	}
	line, err := signerText(o.Actor, o.Signer.PublicKey())
	if err != nil {
		return nil, fmt.Errorf("make ledger: %w", err)
	}
	if err := os.Mkdir(folder.Checkpoints(), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make ledger: %w", err)
	}
	if err := replaceFile(allowedSigners(folder), []byte(line), 0o644); err != nil {
		return nil, fmt.Errorf("make ledger: %w", err)
	}
	if err := writeNew(folder.Ledger(), nil, 0o644); err != nil {
		return nil, fmt.Errorf("make ledger: %w", err)
	}
	if err := syncDir(string(folder)); err != nil {
		return nil, fmt.Errorf("make ledger: %w", err)
	}
	return open(folder, caseID, o)
}

// Open opens the ledger of a case to append, and reads all of it. A ledger
// that does not hold is evidence.ErrBroken: then nothing may be added, and
// Verify says where it breaks. A torn tail is repaired by the first Append.
func Open(folder evidence.Folder, o Options) (*Ledger, error) {
	if err := localFileSystem(string(folder)); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return open(folder, "", o)
}

func open(folder evidence.Folder, caseID string, o Options) (*Ledger, error) {
	f, err := os.OpenFile(folder.Ledger(), os.O_RDWR|os.O_APPEND|syscall.O_CLOEXEC|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l := &Ledger{folder: folder, caseID: caseID, o: o, f: osFile{f}, chain: newChain()}
	if l.o.Boot == nil {
		l.o.Boot = SystemBoot
	}
	if l.o.Now != nil {
		l.sealed = l.o.Now()
	}
	if l.caseID == "" {
		c, err := evidence.ReadCase(folder)
		if err == nil {
			l.caseID = c.ID
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, errors.Join(err, f.Close())
		}
	}
	if err := l.catchUp(); err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger: %w", err), f.Close())
	}
	return l, nil
}

// Head is the SHA-256 of the last record's line, in hex, and the number of
// records that this process knows of.
func (l *Ledger) Head() (head string, records int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.chain.head, l.chain.n
}

// Signer is the signer that the ledger was opened with; nil when read-only.
func (l *Ledger) Signer() Signer { return l.o.Signer }

// CaseID is the urn:uuid of the case.
func (l *Ledger) CaseID() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.caseID
}

// Close makes a checkpoint when records were written since the last one, and
// closes the file. The ledger cannot be used after it.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	var err error
	switch {
	case l.stopped != nil:
		err = l.sealFail
	case l.written > 0:
		_, err = l.checkpoint(context.Background())
	}
	err = errors.Join(err, l.f.Close())
	l.f, l.stopped = nil, errors.Join(l.stopped, os.ErrClosed)
	return err
}

// catchUp reads and checks what was added to the file since this process last
// saw it. A torn tail is left for the caller: it is what lies beyond
// chain.bytes.
func (l *Ledger) catchUp() error {
	fi, err := l.f.Stat()
	if err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	if err := l.sameFile(fi); err != nil {
		return err
	}
	if err := l.sameTail(fi.Size()); err != nil {
		return err
	}
	if fi.Size() == l.chain.bytes {
		return nil
	}
	lines := newLineReader(io.NewSectionReader(l.f, l.chain.bytes, fi.Size()-l.chain.bytes))
	for {
		line, torn, err := lines.next()
		if errors.Is(err, io.EOF) || torn {
			return nil
		}
		if errors.Is(err, errLongLine) {
			if torn, err := lines.skip(func([]byte) {}); torn && err == nil {
				return nil
			}
			return l.diverged("line %d has more than %d bytes", l.chain.n+1, maxLine)
		}
		if err != nil {
			return fmt.Errorf("read ledger: %w", err)
		}
		r, bad := decodeRecord(line)
		if bad == nil {
			if all := l.chain.problems(r); len(all) > 0 {
				bad = all[0]
			} else if l.caseID != "" && r.Case != l.caseID {
				bad = lineProblem(codeCaseMismatch, "case is %s, the folder's is %s", r.Case, l.caseID)
			}
		}
		if bad != nil {
			return l.diverged("line %d at byte %d: %s", l.chain.n+1, l.chain.bytes, bad)
		}
		l.chain.add(line)
		l.chain.follow(r)
		l.caseID = r.Case
	}
}

// sameFile says whether the name still means the file that is open.
func (l *Ledger) sameFile(fi os.FileInfo) error {
	there, err := os.Lstat(l.folder.Ledger())
	if err != nil {
		return l.diverged("the file is gone: %v", err)
	}
	if !os.SameFile(there, fi) {
		return l.diverged("the file was replaced by another")
	}
	return nil
}

// sameTail says whether the last line that this process knows is still there.
func (l *Ledger) sameTail(size int64) error {
	if size < l.chain.bytes {
		return l.diverged("it has %d bytes, it had %d", size, l.chain.bytes)
	}
	if l.chain.n == 0 {
		return nil
	}
	b := make([]byte, l.chain.bytes-l.chain.start)
	if _, err := l.f.ReadAt(b, l.chain.start); err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	if b[len(b)-1] != '\n' || sha256Hex(b[:len(b)-1]) != l.chain.head {
		return l.diverged("the last line that was read before differs now")
	}
	return nil
}

// diverged stops the ledger for good.
func (l *Ledger) diverged(format string, args ...any) error {
	l.stopped = evidence.WithHint(fmt.Errorf("%s: %s: %w", codeLedgerDiverged, fmt.Sprintf(format, args...), evidence.ErrBroken),
		"nothing is added to this case any more; look with: snapcase verify %s", l.folder)
	return l.stopped
}

func allowedSigners(folder evidence.Folder) string {
	return filepath.Join(string(folder), "allowed_signers")
}

// tornFolder is where torn tails are kept.
func tornFolder(folder evidence.Folder) string { return filepath.Join(string(folder), "torn") }

// replaceFile writes a file whole: temporary name, sync, rename, sync of the
// folder. A temporary file that a crash left is overwritten.
func replaceFile(path string, b []byte, mode os.FileMode) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := writeNew(tmp, b, mode); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// temporary matches what replaceFile leaves when it is killed.
var temporary = regexp.MustCompile(`^\..*\.tmp$`)

// now is the wall clock in whole microseconds, as records hold it.
func (l *Ledger) now() imaging.Time {
	t := imaging.TimeOf(l.o.Now().UTC().Truncate(time.Microsecond))
	t.Set = true
	return t
}
