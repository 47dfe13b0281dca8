package store

import (
	"context"
	"database/sql"
	"net/netip"
	"regexp"
	"strings"

	"snapcase/evidence"
)

// The types of entity that a trace is of.
const (
	entityKey      = "access-key"
	entityUser     = "user"
	entitySession  = "role-session"
	entityInstance = "instance"
	entityAddress  = "address"
	entitySnapshot = "snapshot"
)

var (
	isKey      = regexp.MustCompile(`^(AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}$`)
	isInstance = regexp.MustCompile(`^i-[0-9a-f]{8,17}$`)
	isSnapshot = regexp.MustCompile(`^snap-[0-9a-f]{8,17}$`)
	isSession  = regexp.MustCompile(`^[A-Z0-9]{12,}:.`)
)

// entityOf says what a text names.
func entityOf(s string) evidence.Entity {
	e := evidence.Entity{Type: entityUser, ID: s}
	switch {
	case isKey.MatchString(s):
		e.Type = entityKey
	case isInstance.MatchString(s):
		e.Type = entityInstance
	case isSnapshot.MatchString(s):
		e.Type = entitySnapshot
	case strings.HasPrefix(s, "arn:") && (strings.Contains(s, ":assumed-role/") || strings.Contains(s, ":federated-user/")), isSession.MatchString(s):
		e.Type = entitySession
	default:
		if a, err := netip.ParseAddr(s); err == nil {
			e.Type, e.ID = entityAddress, a.String()
		}
	}
	return e
}

// traced is what a trace works on.
type traced struct {
	q      *question
	entity evidence.Entity
	id     int64   // of the entity's name in dict; 0 where no log has it
	own    cond    // the events of the entity itself; of an instance and a snapshot also those that name it
	made   cond    // those of them that it made
	keys   []int64 // the entity's own keys
	first  []link  // answers that gave the entity its keys without a calling key of its own
}

// resolve finds the events and the keys of an entity.
func (q *question) resolve(ctx context.Context, e evidence.Entity) (t *traced, err error) {
	t = &traced{q: q, entity: e}
	if t.id, err = q.word(ctx, e.ID); err != nil {
		return nil, err
	}
	switch e.Type {
	case entityKey:
		t.own.and("key = ?", t.id)
		t.keys = []int64{t.id}
	case entityUser:
		column := "user"
		if strings.HasPrefix(e.ID, "arn:") {
			column = "arn"
		}
		t.own.and(column+" = ?", t.id)
	case entitySession:
		column := "pid"
		if strings.HasPrefix(e.ID, "arn:") {
			column = "arn"
		}
		t.own.and(column+" = ?", t.id)
		if t.first, err = q.links(ctx, "principal = ?1 OR assumed = ?1", t.id); err != nil {
			return nil, err
		}
	case entityInstance:
		// What its credentials did: a session of an instance has its id as name.
		const session = "user = ? AND ptype IN (SELECT id FROM dict WHERE text = 'AssumedRole')"
		t.made.and(session, t.id)
		t.own.and("("+session+" OR id IN (SELECT event FROM resources WHERE name = ?))", t.id, t.id)
		if t.first, err = q.links(ctx, "session = ?", t.id); err != nil {
			return nil, err
		}
	case entityAddress:
		t.own.and("ip = ?", t.id)
	case entitySnapshot:
		t.made.and("0")
		t.own.and("id IN (SELECT event FROM resources WHERE name = ?)", t.id)
	}
	if len(t.made.sql) == 0 {
		t.made = t.own
	}
	if t.id == 0 {
		return t, nil
	}
	if e.Type == entityUser || e.Type == entitySession || e.Type == entityInstance {
		err = q.rows(ctx, "SELECT DISTINCT key FROM events WHERE key IS NOT NULL"+t.made.text(), t.made.args, func(r *sql.Rows) error {
			var k int64
			if err := r.Scan(&k); err != nil {
				return err
			}
			t.keys = append(t.keys, k)
			return nil
		})
	}
	if e.Type == entityUser && err == nil {
		err = t.madeKeys(ctx)
	}
	return t, err
}

// madeKeys adds the keys that CreateAccessKey made for the user, by whomever.
func (t *traced) madeKeys(ctx context.Context) error {
	links, err := t.q.links(ctx, "principal = ? AND permanent = 1", t.id)
	if err != nil {
		return err
	}
	for _, l := range links {
		if !contains(t.keys, l.issued) {
			t.keys = append(t.keys, l.issued)
		}
	}
	return nil
}
