package tui

import (
	"context"
	"maps"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/store"
	"snapcase/tui/widget"
)

// keyScreen lists the access keys of the case: where each was found and how
// it was used. Secrets are never shown, only whether there is one.
type keyScreen struct {
	focus
	a      *asker
	c      factSource
	facts  *facts
	all    bool // also the keys that only the logs know
	known  loaded[[]evidence.Key]
	rows   widget.Table
	places widget.Table
	use    doc
	filter string
}

func newKeys(a *asker, c factSource, f *facts) *keyScreen {
	s := &keyScreen{a: a, c: c, facts: f}
	s.known.slot = "keys.all"
	s.rows.Cols = []widget.Column{
		{Title: visible.Lit("KEY ID"), Width: 20},
		{Title: visible.Lit("KIND"), Width: 9, Drop: 2},
		{Title: visible.Lit("SECRET"), Width: 6},
		{Title: visible.Lit("PLACES"), Width: 6, Right: true},
		{Title: visible.Lit("EVENTS"), Width: 7, Right: true},
		{Title: visible.Lit("REGIONS"), Width: 7, Right: true, Drop: 1},
		{Title: visible.Lit("LAST USED (UTC)"), Width: 20, Drop: 1},
		{Title: visible.Lit("PRINCIPAL"), Width: 12},
	}
	s.places.Cols = []widget.Column{
		{Title: visible.Lit("EXHIBIT"), Width: 7},
		{Title: visible.Lit("STATUS"), Width: 11},
		{Title: visible.Lit("OFFSET"), Width: 14, Right: true, Drop: 1},
		{Title: visible.Lit("SECRET"), Width: 6, Drop: 2},
		{Title: visible.Lit("WHERE"), Width: 16, Need: 30},
	}
	return s
}

func (s *keyScreen) enter() tea.Cmd {
	if !s.all || s.known.done {
		return nil
	}
	return ask(s.a, secKeys, s.known.slot, func(ctx context.Context) ([]evidence.Key, error) { return s.c.Keys(ctx, true) })
}

func (s *keyScreen) take(m answer) tea.Cmd {
	if s.known.take(m) {
		s.factsChanged()
	}
	return nil
}

func (s *keyScreen) source() *loaded[[]evidence.Key] {
	if s.all {
		return &s.known
	}
	return &s.facts.keys
}

func (s *keyScreen) factsChanged() {
	var rows []widget.Row
	for _, k := range s.source().val {
		who := strings.Join(k.Principals, " ")
		if s.filter != "" && !strings.Contains(strings.ToLower(k.KeyID+" "+who+" "+strings.Join(k.Regions, " ")), strings.ToLower(s.filter)) {
			continue
		}
		secret, role := secretBeside(k.Places...)
		rows = append(rows, widget.Row{Key: widget.Key(k.KeyID), Data: k, Cells: []widget.Cell{
			{Role: widget.KeyID, Text: visible.Escape(k.KeyID)},
			{Text: esc(k.Kind)},
			{Role: role, Text: secret},
			{Text: count(int64(len(k.Places)))},
			{Text: count(k.Events)},
			{Text: count(int64(len(k.Regions)))},
			{Text: clock(k.Last)},
			{Text: esc(shortNames(k.Principals))},
		}})
	}
	s.rows.SetRows(rows)
	s.describe()
}

func (s *keyScreen) describe() tea.Cmd {
	k, ok := rowOf[evidence.Key](&s.rows)
	if !ok {
		s.places.SetRows(nil)
		s.use.set(nil)
		return nil
	}
	var rows []widget.Row
	prints := map[string]int{}
	for _, p := range k.Places {
		rows = append(rows, placeRow(p))
		if p.Fingerprint != "" {
			prints[p.Fingerprint]++
		}
	}
	s.places.SetRows(rows)
	n := widget.Normal
	l := []widget.Line{
		field(visible.Lit("key"), widget.KeyID, visible.Escape(k.KeyID)), field(visible.Lit("events"), n, count(k.Events)),
		field(visible.Lit("first"), n, clockFull(k.First)), field(visible.Lit("last"), n, clockFull(k.Last)),
	}
	if k.Documentation {
		l = append(l, field(visible.Lit("note"), widget.Info, visible.Lit("AWS documentation id")))
	}
	for i, r := range k.Regions {
		l = append(l, field(first(i, visible.Lit("regions")), n, visible.Escape(r)))
	}
	for i, p := range k.Principals {
		l = append(l, fields(42, first(i, visible.Lit("principal")), n, visible.Escape(p))...)
	}
	for _, f := range slices.Sorted(maps.Keys(prints)) {
		l = append(l, field(visible.Lit("fingerprint"), widget.Bad, visible.Sprintf("%s ×%d", f, prints[f])))
	}
	if len(prints) > 0 {
		l = append(l, nil, widget.Plain(widget.Dim, visible.Lit("A secret stands beside the id in the")), widget.Plain(widget.Dim, visible.Lit("evidence. It is never shown; finds are")), widget.Plain(widget.Dim, visible.Lit("compared by fingerprint.")))
	}
	s.use.set(l)
	return nil
}

// shortNames are principals without the head of their ARNs.
func shortNames(all []string) string {
	var out []string
	for _, p := range all {
		out = append(out, p[strings.LastIndexByte(p, ':')+1:])
	}
	return strings.Join(out, " ")
}

// first is the label of the first of several lines.
func first(i int, t visible.Text) visible.Text {
	if i > 0 {
		return widget.Blank
	}
	return t
}

// secretBeside says whether a secret stands beside a key: yes, no, or nothing
// where nobody looked.
func secretBeside(places ...evidence.Place) (visible.Text, widget.Role) {
	switch evidence.SecretBeside(places...) {
	case "yes":
		return visible.Lit("yes"), widget.Bad
	case "no":
		return visible.Lit("no"), widget.Dim
	}
	return none, widget.Dim
}

// placeRow is a row of where a credential was found.
func placeRow(p evidence.Place) widget.Row {
	secret, role := secretBeside(p)
	where, flags := visible.Sprintf("image offset %d", p.Offset), widget.Flags(0)
	if p.Address != nil {
		where = visible.Escape(*p.Address)
		if _, path, ok := strings.Cut(*p.Address, ":"); ok && p.Status != "log" {
			if _, rest, ok := strings.Cut(path, "/"); ok {
				where = visible.Escape("/" + rest)
			}
		}
	}
	if p.Status == "deleted" || p.Status == "unallocated" || p.Status == "slack" {
		flags = widget.IsDeleted
	}
	return widget.Row{Key: widget.Key(visible.Sprintf("%s %d", p.Exhibit, p.Offset).String() + p.Status + where.String()), Data: p, Flags: flags, Cells: []widget.Cell{
		{Text: visible.Escape(p.Exhibit)}, {Text: esc(p.Status)}, {Text: offsetText(p.Offset)}, {Role: role, Text: secret}, {Text: where},
	}}
}

// offsetText is a byte of an image; nothing where it is not known.
func offsetText(off int64) visible.Text {
	if off < 0 {
		return widget.Blank
	}
	return visible.Sprintf("%#x", off)
}

// openPlace opens the bytes of a place.
func openPlace(p evidence.Place) tea.Cmd {
	if p.Status == "log" && p.Address != nil {
		return goRecord(*p.Address)
	}
	if p.InnerOffset != nil { // the file as it lies
		if p.Offset < 0 && p.Address != nil {
			file, _, _ := strings.Cut(*p.Address, "!")
			return goBytes(file, 0)
		}
		return goBytes(p.Exhibit, max(0, p.Offset))
	}
	if p.Address != nil && p.Area != "swap" {
		var off int64
		if p.FileOffset != nil {
			off = *p.FileOffset
		}
		return goBytes(*p.Address, off)
	}
	return goBytes(p.Exhibit, p.Offset)
}

func (s *keyScreen) panes(body uv.Rectangle, m mode) []pane {
	var list, places, use uv.Rectangle
	switch m {
	case small:
		list, places = detail(body, m)
		places, use = widget.Split(places, places.Dx()*60/100)
	case wide:
		list, use = widget.Split(body, body.Dx()-58)
		list, places = widget.Stack(list, list.Dy()*55/100)
	default:
		list, places = widget.Stack(body, body.Dy()/2)
		places, use = widget.Split(places, places.Dx()-46)
	}
	name := visible.Lit("Places")
	if k, ok := rowOf[evidence.Key](&s.rows); ok {
		name = visible.Sprintf("Places of %s", k.KeyID)
	}
	src := s.source()
	empty := src.done && s.rows.Empty()
	words := []string{"No access key id was found in the evidence.", "a also lists the keys that only the logs know"}
	if s.filter != "" {
		words = []string{"No key matches the filter.", "esc drops it"}
	}
	return []pane{
		{title: title(visible.Lit("Access keys in the evidence"), s.rows.Total().N, src.done), area: list, scopes: []scope{inList, inKeys, withKeys}, table: &s.rows, moved: s.describe, state: src.state(s.a, empty, words...)},
		{title: title(name, s.places.Total().N, src.done), area: places, scopes: []scope{inList, withKeys}, table: &s.places},
		{title: widget.Plain(widget.Title, visible.Lit("Use")), area: use, scopes: []scope{inList}, doc: &s.use},
	}
}

func (s *keyScreen) do(a action) (tea.Cmd, bool) {
	switch a {
	case actAllKeys:
		s.all = !s.all
		cmd := s.enter()
		s.factsChanged()
		return cmd, true
	case actFilter:
		return filterPrompt(s.filter, s.setFilter), true
	case actBytes, actOpen:
		if a == actOpen && s.pane != 1 {
			return nil, false
		}
		if p, ok := rowOf[evidence.Place](&s.places); ok {
			return openPlace(p), true
		}
		return nil, true
	default:
		return nil, false
	}
}

func (s *keyScreen) setFilter(f string) tea.Cmd {
	s.filter = f
	s.factsChanged()
	return nil
}

func (s *keyScreen) chips() []chip {
	var out []chip
	if s.all {
		out = append(out, chip{visible.Lit("also from logs"), func() tea.Cmd { s.all = false; s.factsChanged(); return nil }})
	}
	if s.filter != "" {
		out = append(out, chip{visible.Sprintf("text:%s", s.filter), func() tea.Cmd { return s.setFilter("") }})
	}
	return out
}

func (s *keyScreen) pick() pick {
	k, ok := rowOf[evidence.Key](&s.rows)
	if !ok {
		return pick{}
	}
	p := pick{entity: k.KeyID, copy: k.KeyID, at: k.First, row: k, events: &store.EventQuery{Key: k.KeyID}}
	if pl, ok := rowOf[evidence.Place](&s.places); ok && s.pane == 1 {
		p.row, p.copy = pl, pl.Exhibit
		if pl.Address != nil {
			p.copy, p.record = *pl.Address, *pl.Address
		}
	}
	return p
}

func (s *keyScreen) status() widget.Line {
	return widget.Line{span(widget.Dim, visible.Lit("secrets are never shown"))}
}

func (s *keyScreen) place() func() tea.Cmd { return nil }
