package tui

import (
	"context"
	"strings"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/store"
	"snapcase/tui/widget"
)

// node is one folder of the tree.
type node struct {
	exhibit, volume, path string
	label                 visible.Text
	role                  widget.Role
	depth                 int
	open, asked           bool
	kids                  []*node
	more                  store.Cursor // where the next folders begin, "" when all are here
	err                   error
}

func (n *node) key() widget.Key {
	return widget.Key(n.exhibit + "\x00" + n.volume + "\x00" + n.path)
}

// treePage is how many folders are asked for at a time.
const treePage = 500

// fileTree is the folders of all volumes, as rows with a depth.
type fileTree struct {
	a       *asker
	c       fileSource
	roots   []*node
	table   widget.Table
	byKey   map[widget.Key]*node
	orphans map[widget.Key]bool // volumes with deleted entries
}

func newTree(a *asker, c fileSource) *fileTree {
	t := &fileTree{a: a, c: c, byKey: map[widget.Key]*node{}, orphans: map[widget.Key]bool{}}
	t.table.Cols = []widget.Column{{Title: visible.Lit("FOLDER"), Width: 10}}
	return t
}

// fill makes the roots: a volume each.
func (t *fileTree) fill(stats []evidence.ExhibitStats) {
	have := map[widget.Key]*node{}
	for _, r := range t.roots {
		have[r.key()] = r
	}
	t.roots = nil
	for _, x := range stats {
		for _, v := range x.Volumes {
			n := &node{exhibit: x.Exhibit, volume: v.ID, path: "/", label: visible.Sprintf("%s %s %s %s", x.Exhibit, v.ID, v.FS, v.Label), role: widget.Info}
			if v.Error != nil {
				n.role = widget.Warn
			}
			if old := have[n.key()]; old != nil {
				n = old
			}
			if v.Entries > 0 || v.FS != "" {
				t.roots = append(t.roots, n)
				t.byKey[n.key()] = n
				t.orphans[n.key()] = v.Deleted > 0
			}
		}
	}
	t.flatten()
}

// flatten makes the rows that show.
func (t *fileTree) flatten() {
	var rows []widget.Row
	var walk func(n *node)
	walk = func(n *node) {
		sign := visible.Lit("▸ ")
		if n.open {
			sign = visible.Lit("▾ ")
			if n.asked && len(n.kids) == 0 {
				sign = visible.Lit("  ")
			}
		}
		indent := visible.Escape(strings.Repeat(" ", 2*min(n.depth, 12)))
		rows = append(rows, widget.Row{Key: n.key(), Data: n, Cells: []widget.Cell{{Role: n.role, Text: visible.Join("", indent, sign, n.label)}}})
		if !n.open {
			return
		}
		if n.err != nil {
			rows = append(rows, widget.Row{Key: n.key() + "\x00error", Cells: []widget.Cell{{Role: widget.Bad, Text: visible.Sprintf("%s    ✗ %v", indent, n.err)}}})
		}
		for _, k := range n.kids {
			walk(k)
		}
		if n.more != "" {
			rows = append(rows, widget.Row{Key: n.key() + "\x00more", Data: n, Cells: []widget.Cell{{Role: widget.Dim, Text: visible.Sprintf("%s    … more (→)", indent)}}})
		}
	}
	for _, r := range t.roots {
		walk(r)
	}
	t.table.SetRows(rows)
}

// unfold opens a folder and asks for its folders; on "… more" for the next.
func (t *fileTree) unfold(n *node) tea.Cmd {
	row := t.table.Current()
	next := row != nil && strings.HasSuffix(string(row.Key), "\x00more")
	n.open = true
	if n.asked && !next {
		t.flatten()
		return nil
	}
	n.asked = true
	q := store.FileQuery{Exhibit: n.exhibit, Volume: n.volume, Dir: n.path, Dirs: true}
	from, key, c := n.more, n.key(), t.c
	if !next {
		from = ""
	}
	t.flatten()
	return ask(t.a, secFiles, "tree "+string(key), func(ctx context.Context) (store.Page[evidence.FileEntry], error) {
		return c.FilePage(ctx, q, store.PageRequest{From: from, Rows: treePage})
	})
}

func (t *fileTree) fold(n *node) {
	if n.open && !strings.HasSuffix(string(t.table.Current().Key), "\x00more") {
		n.open = false
		t.flatten()
		return
	}
	if up := t.byKey[parentKey(n)]; up != nil {
		t.table.Go(up.key())
	}
}

func parentKey(n *node) widget.Key {
	p := *n
	p.path = parentOf(n.path)
	return p.key()
}

// parentOf is the folder above a path; that of "/" is "/".
func parentOf(path string) string {
	i := strings.LastIndexByte(strings.TrimSuffix(path, "/"), '/')
	if i <= 0 {
		return "/"
	}
	return path[:i]
}

// baseOf is the last part of a path.
func baseOf(path string) string {
	return path[strings.LastIndexByte(path, '/')+1:]
}

// addOrphans adds the folder of entries whose own folder is gone: it is a name
// that the index gives, not an entry of the volume.
func (t *fileTree) addOrphans(root *node) {
	k := &node{exhibit: root.exhibit, volume: root.volume, path: "/$Orphan", label: visible.Lit("$Orphan"), role: widget.Deleted, depth: 1}
	if t.orphans[root.key()] && t.byKey[k.key()] == nil {
		t.byKey[k.key()] = k
		root.kids = append(root.kids, k)
	}
}

func (t *fileTree) take(m answer) bool {
	key, ok := strings.CutPrefix(m.slot, "tree ")
	n := t.byKey[widget.Key(key)]
	if !ok || n == nil {
		return false
	}
	g, _ := m.val.(store.Page[evidence.FileEntry])
	if n.err = m.err; m.err != nil {
		n.asked = false
		t.flatten()
		return true
	}
	for _, e := range g.Rows {
		path := rawPath(e)
		k := &node{exhibit: n.exhibit, volume: n.volume, path: path, label: visible.Escape(baseOf(path)), depth: n.depth + 1}
		if e.Status != "allocated" {
			k.role = widget.Deleted
		}
		if path == n.path || t.byKey[k.key()] != nil {
			continue // a deleted folder of the same path, or one that is here already
		}
		t.byKey[k.key()] = k
		n.kids = append(n.kids, k)
	}
	if n.path == "/" {
		t.addOrphans(n)
	}
	n.more = ""
	if g.After && len(g.Cursors) > 0 {
		n.more = g.Cursors[len(g.Cursors)-1]
	}
	t.flatten()
	return true
}
