package custody

import "fmt"

// The records of a hand-over.
const (
	TypeRelease = "custody.release"
	TypeReceive = "custody.receive"
	TypeDispose = "custody.dispose"
)

// Imbalance is something in the chain of hands that does not fit: a release
// without its receipt, a receipt without its release, other people than the
// record before names, content that came back changed.
type Imbalance struct {
	Exhibit string // "" is the whole case
	Seq     int64  // of the record that does not fit
	What    string
}

// Holding is where an exhibit is by the records: with Holder, or under way to
// somebody since Given.
type Holding struct {
	Holder FormPerson // who received it last; empty where nobody did
	Given  *Record    // a release that nobody received yet
	Ended  *Record    // its disposal
	last   int64      // the record that says who holds it
}

// Hands follows exhibits from hand to hand.
type Hands struct {
	by   map[string]*Holding
	told []Imbalance
}

// Take follows one record; others than hand-overs say nothing of hands.
func (h *Hands) Take(r Record) {
	if r.Type != TypeRelease && r.Type != TypeReceive && r.Type != TypeDispose {
		return
	}
	if h.by == nil {
		h.by = map[string]*Holding{}
	}
	x := h.by[r.Exhibit]
	if x == nil {
		x = &Holding{}
		h.by[r.Exhibit] = x
	}
	say := func(format string, args ...any) {
		h.told = append(h.told, Imbalance{r.Exhibit, r.Seq, fmt.Sprintf("record %d ", r.Seq) + fmt.Sprintf(format, args...)})
	}
	if x.Ended != nil {
		say("comes after record %d, which disposes of it", x.Ended.Seq)
	}
	if match, there := r.Data["match"].(bool); there && !match {
		say("tells that the content is not what it was (hash before %s, after %s)", text(r.Data, "hash_before"), first(text(r.Data, "hash_after"), "none"))
	}
	switch r.Type {
	case TypeRelease:
		x.release(r, say)
	case TypeReceive:
		x.receive(r, say)
	default:
		if x.Given != nil {
			say("disposes of it, and nobody received what record %d released", x.Given.Seq)
		}
		x.Ended = &r
	}
}

func (x *Holding) release(r Record, say func(string, ...any)) {
	from := PersonOf(r.Data["from"])
	switch {
	case x.Given != nil:
		say("releases it again, and nobody received what record %d released", x.Given.Seq)
	case differ(x.Holder, from):
		say("releases it from %s; %s received it in record %d", from, x.Holder, x.last)
	}
	x.Given = &r
}

func (x *Holding) receive(r Record, say func(string, ...any)) {
	from, to := PersonOf(r.Data["from"]), PersonOf(r.Data["to"])
	if x.Given == nil {
		say("receives it, and no record released it")
	} else {
		g := x.Given
		if gave := PersonOf(g.Data["from"]); differ(gave, from) {
			say("receives it from %s; record %d released it from %s", from, g.Seq, gave)
		}
		if meant := PersonOf(g.Data["to"]); differ(meant, to) {
			say("receives it by %s; record %d released it to %s", to, g.Seq, meant)
		}
		was, now := text(g.Data, "hash_after"), text(r.Data, "hash_before")
		if was != "" && now != "" && was != now {
			say("has the hash before %s; record %d released %s", now, g.Seq, was)
		}
	}
	x.Given, x.Holder, x.last = nil, to, r.Seq
}

// differ says that two people are not the same: by their ids where both have
// one, else by their names. Nobody differs from anybody.
func differ(a, b FormPerson) bool {
	switch {
	case a == FormPerson{} || b == FormPerson{}:
		return false
	case a.ID != "" && b.ID != "":
		return a.ID != b.ID
	}
	return first(a.Name, a.ID) != first(b.Name, b.ID)
}

// Told is what did not fit in the records that were taken, in their order.
func (h *Hands) Told() []Imbalance { return h.told[:len(h.told):len(h.told)] }

// Of is where an exhibit is; the zero Holding where no record told.
func (h *Hands) Of(exhibit string) Holding {
	if x := h.by[exhibit]; x != nil {
		return *x
	}
	return Holding{}
}

// Unbalanced is everything that does not fit: what was told, then what is still
// under way, by exhibit.
func (h *Hands) Unbalanced() []Imbalance {
	all := h.Told()
	for _, id := range sortedKeys(h.by) {
		if g := h.by[id].Given; g != nil && h.by[id].Ended == nil {
			all = append(all, Imbalance{id, g.Seq, fmt.Sprintf("record %d releases it to %s, and nobody received it", g.Seq, first(PersonOf(g.Data["to"]).String(), "nobody"))})
		}
	}
	return all
}
