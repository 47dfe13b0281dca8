package fat

import "context"

// labelRecords bounds how many records of the root are searched for a label.
const labelRecords = 1 << 16

// findLabel takes the label from the root directory, where systems look for
// it, and tells of older ones.
func (fs *FS) findLabel() error {
	w := &tree{fs: fs, ctx: context.Background(), t: fs.table()}
	l := &level{parent: rootInode, first: fs.g.rootCluster, cluster: fs.g.rootCluster}
	if fs.g.kind == 32 {
		ch, err := w.t.follow(fs.g.rootCluster, fs.newSet(), nil)
		if err != nil {
			return err
		}
		if ch.count == 0 {
			fs.note("the root directory cannot be read: %s", ch.damage)
			return nil
		}
		l.left = ch.count - 1
	}
	boot, live, old := fs.info.Label, "", 0
	found := false
	for range labelRecords {
		r, _, ok, err := w.step(l)
		if err != nil {
			return err
		}
		if !ok || r.end() {
			break
		}
		if r.long() || !r.volume() || r.dir() || r.cluster(fs.g.kind) != 0 {
			continue
		}
		switch {
		case r.deleted():
			if old++; old <= 8 {
				fs.note("an older label stands in the root directory, without its first character: %q", "_"+trim(r[1:11]))
			}
		case !found:
			live, found = trim(r[:11]), true
			if r[0] == 0x05 {
				live = "\xe5" + live[1:]
			}
		default:
			fs.note("the root directory has a second label: %q", trim(r[:11]))
		}
	}
	if found {
		fs.info.Label = live
		if boot != "" && boot != live {
			fs.note("the label in the boot sector is another one: %q", boot)
		}
	}
	return nil
}
