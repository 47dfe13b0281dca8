package tui

import (
	"context"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/imaging"
	"snapcase/store"
	"snapcase/tui/widget"
)

type fileSource interface {
	FilePage(ctx context.Context, q store.FileQuery, r store.PageRequest) (store.Page[evidence.FileEntry], error)
	FileCount(ctx context.Context, q store.FileQuery, limit int64) (int64, error)
	OpenEntry(ctx context.Context, a evidence.Address) (imaging.Source, evidence.FileEntry, error)
	OpenImage(ctx context.Context, exhibit string) (imaging.Source, error)
	Accessed(ctx context.Context, exhibit, how string) error
}

// fileScreen is the file systems of the case: a tree of folders, the entries
// of one, and their bytes.
type fileScreen struct {
	focus
	a     *asker
	c     fileSource
	facts *facts
	tree  *fileTree
	list  paged[evidence.FileEntry]
	view  viewer
	q     store.FileQuery // of the list; Name and Deleted make it look at any depth below Dir
	shown mode
}

func newFiles(a *asker, c fileSource, f *facts) *fileScreen {
	s := &fileScreen{a: a, c: c, facts: f, tree: newTree(a, c), view: viewer{a: a, c: c}}
	s.list.a, s.list.to, s.list.name, s.list.row = a, secFiles, "files.list", func(e evidence.FileEntry) widget.Row { return fileRow(e, "") }
	s.list.Cols = []widget.Column{
		{Title: visible.Lit("FL"), Width: 3},
		{Title: visible.Lit("SIZE"), Width: 6, Right: true},
		{Title: visible.Lit("MODIFIED (UTC)"), Width: 20, Drop: 1},
		{Title: visible.Lit("CHANGED (UTC)"), Width: 20, Drop: 6},
		{Title: visible.Lit("BORN (UTC)"), Width: 20, Drop: 7},
		{Title: visible.Lit("MODE"), Width: 10, Drop: 3},
		{Title: visible.Lit("UID"), Width: 5, Right: true, Drop: 4},
		{Title: visible.Lit("INODE"), Width: 9, Right: true, Drop: 2},
		{Title: visible.Lit("NAME"), Width: 20, Need: 24},
	}
	return s
}

func (s *fileScreen) enter() tea.Cmd {
	if s.q.Volume == "" && len(s.tree.roots) > 0 {
		best := s.tree.roots[0]
		for _, x := range s.facts.stats.val { // the volume with the most in it
			for _, v := range x.Volumes {
				if n := s.tree.byKey[(&node{exhibit: x.Exhibit, volume: v.ID, path: "/"}).key()]; n != nil && v.Entries > s.entries(best) {
					best = n
				}
			}
		}
		s.tree.table.Go(best.key())
		return tea.Batch(s.tree.unfold(best), s.dir(best.exhibit, best.volume, "/"))
	}
	return nil
}

func (s *fileScreen) entries(n *node) int64 {
	for _, x := range s.facts.stats.val {
		for _, v := range x.Volumes {
			if x.Exhibit == n.exhibit && v.ID == n.volume {
				return v.Entries
			}
		}
	}
	return 0
}

func (s *fileScreen) factsChanged() { s.tree.fill(s.facts.stats.val) }

// dir shows the entries of a folder.
func (s *fileScreen) dir(exhibit, volume, path string) tea.Cmd {
	q := s.q
	q.Exhibit, q.Volume, q.Dir, q.Under, q.Name = exhibit, volume, path, "", ""
	s.list.SetHome("")
	return s.run(q)
}

func (s *fileScreen) run(q store.FileQuery) tea.Cmd {
	s.q = q
	base := q.Dir
	asked := q
	if q.Name != "" || q.Deleted {
		asked.Dir, asked.Under = "", q.Dir
	}
	s.list.row = func(e evidence.FileEntry) widget.Row { return fileRow(e, base) }
	return s.list.query(fmt.Sprintf("%+v", q), fetchOf(s.c.FilePage, asked), countOf(s.c.FileCount, asked))
}

// exhibit shows the first volume of an exhibit.
func (s *fileScreen) exhibit(id string) tea.Cmd {
	for _, r := range s.tree.roots {
		if r.exhibit == id {
			s.tree.table.Go(r.key())
			return tea.Batch(s.tree.unfold(r), s.dir(r.exhibit, r.volume, "/"))
		}
	}
	return say(widget.Warn, visible.Sprintf("warn: no file system of %s is read", id))
}

// openAddress shows the bytes of an entry, and the folder that it lies in.
func (s *fileScreen) openAddress(addr string, offset int64) tea.Cmd {
	length := int64(0)
	if offset > 0 {
		length = 20 // the length of an access key id
	}
	cmds := []tea.Cmd{s.view.open(addr, offset, length)}
	if a, err := evidence.ParseAddress(addr); err == nil && a.Path != "" {
		cmds = append(cmds, s.dir(a.Exhibit, a.Volume, parentOf(a.Path)))
	}
	s.pane = s.viewPane()
	return tea.Batch(cmds...)
}

func (s *fileScreen) viewPane() int {
	if s.shown == small {
		return 1
	}
	return 2
}

// fileRow is one entry; base is the folder that its name is relative to.
func fileRow(e evidence.FileEntry, base string) widget.Row {
	path := rawPath(e)
	name := path
	if base != "" {
		name = strings.TrimPrefix(strings.TrimPrefix(path, strings.TrimSuffix(base, "/")), "/")
	}
	if name == "" {
		name = "."
	}
	kind := map[string]string{"dir": "d", "symlink": "l", "fifo": "p", "socket": "s", "char": "c", "block": "b"}[e.Type]
	if kind == "" {
		kind = "·"
	}
	state, flags := "·", widget.Flags(0)
	switch e.Status {
	case "deleted":
		state, flags = "D", widget.IsDeleted
	case "orphan":
		state, flags = "O", widget.IsDeleted
	}
	damage := ""
	if e.Damage != nil {
		damage = "!"
	}
	t := esc(name)
	if t.Changed() {
		flags |= widget.Escaped
	}
	role := widget.Normal
	if e.Type == "dir" && flags&widget.IsDeleted == 0 {
		role = widget.Info
	}
	if e.Link != nil {
		t = visible.Sprintf("%s → %s", t, *e.Link)
	}
	amount := size(e.Size)
	if e.Type == "dir" {
		amount = none
	}
	return widget.Row{Flags: flags, Cells: []widget.Cell{
		{Role: widget.Dim, Text: visible.Escape(kind + state + damage)},
		{Text: amount},
		{Text: clock(e.Modified)},
		{Role: widget.Dim, Text: clock(e.Changed)},
		{Role: widget.Dim, Text: clock(e.Born)},
		{Role: widget.Dim, Text: modeText(e)},
		{Role: widget.Dim, Text: visible.Sprintf("%d", e.UID)},
		{Role: widget.Dim, Text: visible.Sprintf("%d", e.Inode)},
		{Role: role, Text: t},
	}}
}

// modeText is the mode as ls shows it.
func modeText(e evidence.FileEntry) visible.Text {
	var m uint32
	if _, err := fmt.Sscanf(e.Mode, "%o", &m); err != nil {
		return esc(e.Mode)
	}
	kind := map[string]byte{"dir": 'd', "symlink": 'l', "fifo": 'p', "socket": 's', "char": 'c', "block": 'b'}[e.Type]
	if kind == 0 {
		kind = '-'
	}
	b := []byte{kind, 'r', 'w', 'x', 'r', 'w', 'x', 'r', 'w', 'x'}
	for i := range 9 {
		if m&(1<<(8-i)) == 0 {
			b[i+1] = '-'
		}
	}
	for i, bit := range []uint32{0o4000, 0o2000, 0o1000} {
		if m&bit != 0 {
			b[3*(i+1)] = "sst"[i]
		}
	}
	return visible.Escape(string(b))
}

func (s *fileScreen) take(m answer) tea.Cmd {
	if s.tree.take(m) {
		return nil
	}
	if cmd, ok := s.view.take(m); ok {
		return cmd
	}
	cmd, _ := s.list.take(m)
	s.preview()
	return cmd
}

// preview shows the metadata of the row under the cursor, when the viewer
// shows nothing that the examiner opened.
func (s *fileScreen) preview() tea.Cmd {
	if s.pane == s.viewPane() || s.view.opened != "" && s.pane != 0 && s.list.Loading() {
		return nil
	}
	switch e, ok := s.list.value(); {
	case ok:
		s.view.preview(&e)
	case !s.list.Loading(): // an empty folder: what was shown lies in another
		s.view.preview(nil)
	}
	return nil
}

func (s *fileScreen) panes(body uv.Rectangle, m mode) []pane {
	s.shown = m
	tree := pane{
		title: widget.Plain(widget.Title, visible.Lit("Tree")), scopes: []scope{inList, inTree, inFiles}, table: &s.tree.table,
		state: s.facts.stats.state(s.a, s.facts.stats.done && len(s.tree.roots) == 0, "No file system is read yet."),
	}
	words := []string{"This folder is empty.", "backspace goes up"}
	if s.q.Name != "" || s.q.Deleted {
		words = []string{"No entry below this folder matches.", "esc drops the last filter, E all of them"}
	}
	list := pane{title: s.listTitle(), scopes: []scope{inList, inMarks, inFiles}, table: &s.list.Table, want: s.list.want, moved: s.preview, state: s.list.state(words...)}
	if s.q.Volume == "" {
		list.state = tree.state
	}
	view := pane{title: s.view.title(), scopes: []scope{inViewer}, draw: s.view.draw, state: s.view.state()}
	var out []pane
	switch m {
	case small:
		list.area, view.area = widget.Stack(body, body.Dy()-8)
		out = []pane{list, view}
	case wide:
		left, right := widget.Split(body, body.Dx()-(widget.HexWidth+4))
		tree.area, list.area = widget.Split(left, min(30, left.Dx()/3))
		view.area = right
		out = []pane{tree, list, view}
	default:
		top, low := widget.Stack(body, body.Dy()*55/100)
		tree.area, list.area = widget.Split(top, 26)
		view.area = low
		out = []pane{tree, list, view}
	}
	area := view.area
	if s.zoom && s.pane == len(out)-1 {
		area = body
	}
	s.view.fit(area.Dx()-4, area.Dy()-2)
	return out
}

func (s *fileScreen) listTitle() widget.Line {
	l := widget.Line{span(widget.Title, esc(s.q.Dir)), span(widget.Dim, visible.Sprintf(" (%s)", s.list.totals(false)))}
	if s.q.Name != "" || s.q.Deleted {
		l = append(l, span(widget.Chip, visible.Lit("  at any depth")))
	}
	return l
}

func (s *fileScreen) do(a action) (tea.Cmd, bool) {
	if s.pane == s.viewPane() {
		return s.view.do(a)
	}
	if s.pane == 0 && s.shown != small {
		if cmd, ok := s.doTree(a); ok {
			return cmd, true
		}
	}
	switch a {
	case actOpen:
		return s.openRow(), true
	case actParent:
		return s.dir(s.q.Exhibit, s.q.Volume, parentOf(s.q.Dir)), true
	case actFilter:
		return filterPrompt(s.q.Name, s.setName), true
	case actDeleted:
		q := s.q
		switch {
		case q.HideDeleted:
			q.HideDeleted, q.Deleted = false, true
		case q.Deleted:
			q.Deleted = false
		default:
			q.HideDeleted = true
		}
		return s.run(q), true
	case actNextTab, actPrevTab:
		return s.view.do(a)
	case actRetry:
		return s.list.reload(), false
	default:
		return nil, false
	}
}

func (s *fileScreen) setName(name string) tea.Cmd {
	q := s.q
	q.Name = name
	return s.run(q)
}

func (s *fileScreen) openRow() tea.Cmd {
	e, ok := s.list.value()
	if !ok {
		return nil
	}
	if e.Type == "dir" {
		return s.dir(e.Exhibit, e.Volume, rawPath(e))
	}
	cmd := s.view.open(e.Address, 0, 0)
	s.pane = s.viewPane()
	return cmd
}

func (s *fileScreen) doTree(a action) (tea.Cmd, bool) {
	n, ok := rowOf[*node](&s.tree.table)
	if !ok {
		return nil, false
	}
	switch a {
	case actRight:
		return s.tree.unfold(n), true
	case actLeft:
		s.tree.fold(n)
	case actOpen:
		cmd := s.tree.unfold(n)
		return tea.Batch(cmd, s.dir(n.exhibit, n.volume, n.path)), true
	default:
		return nil, false
	}
	return nil, true
}

func (s *fileScreen) crumbs() []visible.Text {
	if s.q.Volume == "" {
		return nil
	}
	return []visible.Text{visible.Escape(s.q.Exhibit), visible.Escape(s.q.Volume), esc(s.q.Dir)}
}

func (s *fileScreen) chips() []chip {
	var out []chip
	change := func(f func(q *store.FileQuery)) func() tea.Cmd {
		return func() tea.Cmd { q := s.q; f(&q); return s.run(q) }
	}
	if s.q.Deleted {
		out = append(out, chip{visible.Lit("only deleted"), change(func(q *store.FileQuery) { q.Deleted = false })})
	}
	if s.q.HideDeleted {
		out = append(out, chip{visible.Lit("without deleted"), change(func(q *store.FileQuery) { q.HideDeleted = false })})
	}
	if s.q.Name != "" {
		out = append(out, chip{visible.Sprintf("name:%s", s.q.Name), change(func(q *store.FileQuery) { q.Name = "" })})
	}
	return out
}

func (s *fileScreen) pick() pick {
	e, ok := s.list.value()
	if s.pane == s.viewPane() && s.view.entry != nil {
		e, ok = *s.view.entry, true
	}
	if !ok {
		return pick{copy: s.view.addr}
	}
	p := pick{at: e.Modified, record: e.Address, address: e.Address, copy: e.Address, row: e}
	for _, r := range s.list.Marked() {
		if m, ok := r.Data.(evidence.FileEntry); ok {
			p.marked = append(p.marked, m.Address)
		}
	}
	return p
}

func (s *fileScreen) status() widget.Line {
	l := widget.Line{}
	if s.view.gap != nil {
		l = append(l, span(widget.Warn, visible.Sprintf("! not all bytes could be read: %v", s.view.gap)))
	}
	if s.list.err != nil {
		l = append(l, span(widget.Bad, visible.Sprintf("error: %v", s.list.err)))
	}
	return l
}

func (s *fileScreen) place() func() tea.Cmd {
	q, home, at := s.q, s.list.Home(), s.pane
	return func() tea.Cmd {
		s.list.SetHome(home)
		s.pane = at
		if q.Volume == "" {
			return nil
		}
		return s.run(q)
	}
}
