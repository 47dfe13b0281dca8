package custody

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"snapcase/evidence"
)

// Checkpoint signs length and content of the ledger as it is on disk now, and
// returns once the checkpoint and its signature are there. A checkpoint of the
// same length that is there already is used, and signed by this key too.
func (l *Ledger) Checkpoint(ctx context.Context) (Checkpoint, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.checkpoint(ctx)
}

func (l *Ledger) checkpoint(ctx context.Context) (Checkpoint, error) {
	if err := l.begin(ctx); err != nil {
		return Checkpoint{}, fmt.Errorf("make a checkpoint: %w", err)
	}
	c, err := l.checkpointLocked(ctx)
	return c, errors.Join(err, l.unlock())
}

func (l *Ledger) checkpointLocked(ctx context.Context) (Checkpoint, error) {
	if l.chain.n == 0 {
		return Checkpoint{}, errors.New("make a checkpoint: the ledger has no record yet")
	}
	if err := ctx.Err(); err != nil {
		return Checkpoint{}, fmt.Errorf("make a checkpoint: %w", err)
	}
	prev, last, err := l.lastCheckpoint()
	if err != nil {
		return Checkpoint{}, fmt.Errorf("make a checkpoint: %w", err)
	}
	c := l.chain.checkpoint(prev, l.o.Now(), signerLine(l.o.Actor))
	text := c.Text()
	if last != nil {
		c, text = *last, last.Text()
	}
	if _, err := ParseCheckpoint(text); err != nil {
		return Checkpoint{}, fmt.Errorf("make a checkpoint: %w", err)
	}
	if err := l.putCheckpoint(c, text, last != nil); err != nil {
		return Checkpoint{}, fmt.Errorf("make a checkpoint: %w", err)
	}
	l.written, l.sealed, l.sealFail = 0, l.o.Now(), nil
	return c, nil
}

// putCheckpoint writes signature and checkpoint, in this order: killed in
// between, no checkpoint is without a signature.
func (l *Ledger) putCheckpoint(c Checkpoint, text []byte, there bool) error {
	path := filepath.Join(l.folder.Checkpoints(), c.Name)
	sigPath := path + "." + Key16(l.o.Signer.PublicKey()) + ".sig"
	if there {
		if _, err := os.Stat(sigPath); err == nil {
			return nil
		}
	}
	sig, err := l.o.Signer.Sign(text, CheckpointNamespace)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	if err := replaceFile(sigPath, sig, 0o444); err != nil {
		return err
	}
	if there {
		return nil
	}
	return replaceFile(path, text, 0o444)
}

// lastCheckpoint gives the digest of the newest checkpoint file, and that
// checkpoint itself when it already covers all records.
func (l *Ledger) lastCheckpoint() (prev string, same *Checkpoint, err error) {
	names, err := checkpointNames(l.folder)
	if err != nil || len(names) == 0 {
		return zeroHash, nil, err
	}
	name := names[len(names)-1]
	b, err := readSmall(filepath.Join(l.folder.Checkpoints(), name), maxCheckpoint)
	if err != nil {
		return "", nil, err
	}
	c, err := ParseCheckpoint(b)
	if err != nil {
		return "", nil, fmt.Errorf("the last checkpoint %s: %w", name, err)
	}
	c.Name = name
	switch {
	case c.Size > l.chain.n:
		return "", nil, l.diverged("checkpoint %s covers %d records, the ledger has %d", name, c.Size, l.chain.n)
	case c.Size < l.chain.n:
		return sha256Hex(b), nil, nil
	case c.Head != l.chain.head || c.Root != l.chain.tree.root() || c.Bytes != l.chain.bytes:
		return "", nil, l.diverged("checkpoint %s is not of this ledger", name)
	}
	return "", &c, nil
}

// checkpointNames are the names of the checkpoint files, by size.
func checkpointNames(folder evidence.Folder) ([]string, error) {
	entries, err := os.ReadDir(folder.Checkpoints())
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var names []string
	for _, e := range entries {
		if checkpointName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	sortCheckpoints(names)
	return names, nil
}

// Export gives what a copy of the ledger needs: its newest checkpoint, made
// now if records came after the last one, and the names of all checkpoint and
// signature files up to it. The first c.Bytes bytes of the ledger file belong
// to it.
func (l *Ledger) Export(ctx context.Context) (c Checkpoint, files []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, err = l.checkpoint(ctx); err != nil {
		return c, nil, err
	}
	entries, err := os.ReadDir(l.folder.Checkpoints())
	if err != nil {
		return c, nil, fmt.Errorf("list checkpoints: %w", err)
	}
	for _, e := range entries {
		base, _, _ := strings.Cut(e.Name(), ".txt")
		if (checkpointName.MatchString(e.Name()) || signatureName.MatchString(e.Name())) && !laterThan(base, c.Name) {
			files = append(files, e.Name())
		}
	}
	return c, files, nil
}

func laterThan(base, name string) bool {
	name = strings.TrimSuffix(name, ".txt")
	return len(base) > len(name) || len(base) == len(name) && base > name
}

// Sealed is when this Ledger last made a checkpoint, or was opened.
func (l *Ledger) Sealed() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sealed
}
