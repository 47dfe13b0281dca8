package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"snapcase/evidence"
	"snapcase/imaging"
)

// Trace tells what an access key, user, role session, instance, address or
// snapshot did and touched, over all exhibits. Regions, calls, addresses and
// created things are those of the entity and of the keys it issued. An entity
// that no exhibit knows is evidence.ErrNotFound.
func (c *Case) Trace(ctx context.Context, entity string) (evidence.Trace, error) {
	q, err := c.ask(ctx)
	if err != nil {
		return evidence.Trace{}, fmt.Errorf("trace %s: %w", entity, err)
	}
	defer q.end() //nolint:errcheck // read-only
	t, err := q.trace(ctx, entityOf(strings.TrimSpace(entity)))
	if errors.Is(err, evidence.ErrNotFound) {
		return t, evidence.WithHint(fmt.Errorf("trace %s: %w", entity, err), "an entity is a key id, a user name or ARN, a session's ARN, i-…, an IP address or snap-…; snapcase keys CASE --all lists the keys")
	}
	if err != nil {
		return t, fmt.Errorf("trace %s: %w", entity, err)
	}
	return t, nil
}

func (q *question) trace(ctx context.Context, e evidence.Entity) (evidence.Trace, error) {
	out := evidence.Trace{
		Entity: e, FoundAt: []evidence.Place{}, Issued: []evidence.IssuedKey{}, IssuedBy: []evidence.IssuedKey{}, Regions: []evidence.RegionUse{},
		Calls: []evidence.CallCount{}, Created: []evidence.Created{}, Instances: []evidence.Instance{}, Peers: []evidence.TracePeer{}, ICMP: []evidence.ICMPPair{}, Addresses: []evidence.AddressUse{},
	}
	t, err := q.resolve(ctx, e)
	if err != nil {
		return out, err
	}
	down, err := q.down(ctx, t.keys, t.first)
	if err != nil {
		return out, err
	}
	up, err := t.up(ctx)
	if err != nil {
		return out, err
	}
	if out.Issued, err = q.issuedKeys(ctx, down, false); err != nil {
		return out, err
	}
	if out.IssuedBy, err = q.issuedKeys(ctx, up, true); err != nil {
		return out, err
	}
	all := slices.Clone(t.keys)
	for _, s := range down {
		all = append(all, s.key)
	}
	for _, step := range []func(context.Context, *evidence.Trace, []int64) error{t.foundAt, t.span, t.calls, t.regions, t.addresses, t.created, t.instances, t.traffic} {
		if err := step(ctx, &out, all); err != nil {
			return out, err
		}
	}
	if err := q.listTrace(ctx, &out); err != nil {
		return out, err
	}
	if len(out.FoundAt)+len(out.Issued)+len(out.IssuedBy)+len(out.Instances)+len(out.Peers)+len(out.ICMP) == 0 && out.Events == 0 {
		return out, errNoEntity
	}
	return out, nil
}

// up follows back who issued the entity's keys; of an instance, who launched
// it.
func (t *traced) up(ctx context.Context) ([]step, error) {
	up, err := t.q.up(ctx, t.keys)
	if err != nil || t.entity.Type != entityInstance {
		return up, err
	}
	var launches []step
	var keys []int64
	err = t.q.rows(ctx, "SELECT c.event, coalesce(e.key, 0), e.ts FROM created c JOIN events e ON e.id = c.event WHERE c.name = ? AND c.type = 'AWS::EC2::Instance'", []any{t.id}, func(r *sql.Rows) error {
		s := step{by: t.id, depth: 1}
		err := r.Scan(&s.event, &s.key, &s.ts)
		if launches = append(launches, s); s.key != 0 {
			keys = append(keys, s.key)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	before, err := t.q.up(ctx, keys)
	for i := range before {
		before[i].depth++
	}
	return slices.Concat(up, launches, before), err
}

// both is the condition for the events of the entity and of keys.
func (t *traced) both(own cond, keys []int64) (where string, args []any) {
	return "(" + strings.Join(own.sql, " AND ") + " OR key IN (SELECT value FROM json_each(?)))", slices.Concat(own.args, []any{list(keys)})
}

// foundAt are the places of the entity's own keys.
func (t *traced) foundAt(ctx context.Context, out *evidence.Trace, _ []int64) error {
	if t.entity.Type == entityAddress || t.entity.Type == entitySnapshot || t.id == 0 {
		return nil
	}
	keys, err := t.q.describeKeys(ctx, slices.Clone(t.keys))
	for _, k := range keys {
		out.FoundAt = append(out.FoundAt, k.Places...)
	}
	return err
}

// span is how many events the entity itself has, and from when to when.
func (t *traced) span(ctx context.Context, out *evidence.Trace, _ []int64) error {
	return t.q.rows(ctx, "SELECT count(*), min(ts), max(ts) FROM events WHERE "+strings.Join(t.own.sql, " AND "), t.own.args, func(r *sql.Rows) error {
		var first, last sql.NullInt64
		if err := r.Scan(&out.Events, &first, &last); err != nil {
			return err
		}
		out.First, out.Last = earliest(imaging.Time{}, first), latest(imaging.Time{}, last)
		return nil
	})
}

const failed = "(error IS NOT NULL OR message IS NOT NULL)"

func (t *traced) calls(ctx context.Context, out *evidence.Trace, keys []int64) error {
	where, args := t.both(t.own, keys)
	var names []sql.NullInt64
	strs := lookup{}
	err := t.q.rows(ctx, "SELECT name, sum(NOT "+failed+"), sum("+failed+") FROM events WHERE "+where+" GROUP BY name", args, func(r *sql.Rows) error {
		var name sql.NullInt64
		var c evidence.CallCount
		if err := r.Scan(&name, &c.OK, &c.Failed); err != nil {
			return err
		}
		strs.want(name)
		names, out.Calls = append(names, name), append(out.Calls, c)
		return nil
	})
	if err != nil {
		return err
	}
	if err := t.q.texts(ctx, strs); err != nil {
		return err
	}
	for i := range out.Calls {
		out.Calls[i].Name = strs.of(names[i])
	}
	slices.SortFunc(out.Calls, func(a, b evidence.CallCount) int {
		return cmp.Or(cmp.Compare(b.OK+b.Failed, a.OK+a.Failed), strings.Compare(a.Name, b.Name))
	})
	return nil
}

func (t *traced) regions(ctx context.Context, out *evidence.Trace, keys []int64) error {
	where, args := t.both(t.own, keys)
	var ids []sql.NullInt64
	strs := lookup{}
	err := t.q.rows(ctx, "SELECT region, count(*), sum("+failed+"), min(ts), max(ts) FROM events WHERE region IS NOT NULL AND "+where+" GROUP BY region", args, func(r *sql.Rows) error {
		var id, first, last sql.NullInt64
		var u evidence.RegionUse
		if err := r.Scan(&id, &u.Events, &u.Failed, &first, &last); err != nil {
			return err
		}
		u.First, u.Last = earliest(u.First, first), latest(u.Last, last)
		strs.want(id)
		ids, out.Regions = append(ids, id), append(out.Regions, u)
		return nil
	})
	if err != nil {
		return err
	}
	if err := t.q.texts(ctx, strs); err != nil {
		return err
	}
	arns, err := t.ownARNs(ctx, keys)
	if err != nil {
		return err
	}
	for i := range out.Regions {
		u := &out.Regions[i]
		u.Region = strs.of(ids[i])
		if u.Unusual, err = t.q.unusual(ctx, ids[i].Int64, keys, arns, u.First); err != nil {
			return err
		}
	}
	slices.SortFunc(out.Regions, func(a, b evidence.RegionUse) int {
		return cmp.Or(a.First.Compare(b.First), strings.Compare(a.Region, b.Region))
	})
	return nil
}

// ownARNs are the names under which the entity and keys act.
func (t *traced) ownARNs(ctx context.Context, keys []int64) (arns []int64, err error) {
	query, args := "SELECT DISTINCT arn FROM uses WHERE arn IS NOT NULL AND key IN (SELECT value FROM json_each(?))", []any{list(keys)}
	if t.entity.Type != entityKey {
		query += " UNION SELECT DISTINCT arn FROM events WHERE arn IS NOT NULL" + t.made.text()
		args = append(args, t.made.args...)
	}
	err = t.q.rows(ctx, query, args, func(r *sql.Rows) error {
		var id int64
		if err := r.Scan(&id); err != nil {
			return err
		}
		arns = append(arns, id)
		return nil
	})
	return arns, err
}

// unusual says that in the evidence no user or role other than the holders of
// keys, and the principals arns where no key is told, acted in a region
// before first. Calls by AWS services do not count.
func (q *question) unusual(ctx context.Context, region int64, keys, arns []int64, first imaging.Time) (bool, error) {
	if !first.Set {
		return false, nil
	}
	ns, _ := nano(first)
	_, before, err := q.number(ctx, `SELECT 1 FROM uses WHERE region = ? AND service = 0 AND first < ?
		AND NOT (key IS NOT NULL AND key IN (SELECT value FROM json_each(?))) AND NOT (key IS NULL AND arn IS NOT NULL AND arn IN (SELECT value FROM json_each(?))) LIMIT 1`,
		region, ns, list(keys), list(arns))
	return !before, err
}

func (t *traced) addresses(ctx context.Context, out *evidence.Trace, keys []int64) error {
	where, args := t.both(t.own, keys)
	var ids []sql.NullInt64
	strs := lookup{}
	err := t.q.rows(ctx, "SELECT ip, count(*), min(ts), max(ts) FROM events WHERE ip IS NOT NULL AND "+where+" GROUP BY ip", args, func(r *sql.Rows) error {
		var id, first, last sql.NullInt64
		var u evidence.AddressUse
		if err := r.Scan(&id, &u.Events, &first, &last); err != nil {
			return err
		}
		u.First, u.Last = earliest(u.First, first), latest(u.Last, last)
		strs.want(id)
		ids, out.Addresses = append(ids, id), append(out.Addresses, u)
		return nil
	})
	if err != nil {
		return err
	}
	if err := t.q.texts(ctx, strs); err != nil {
		return err
	}
	for i := range out.Addresses {
		out.Addresses[i].IP = strs.of(ids[i])
	}
	slices.SortFunc(out.Addresses, func(a, b evidence.AddressUse) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), strings.Compare(a.IP, b.IP))
	})
	return nil
}

func (t *traced) created(ctx context.Context, out *evidence.Trace, keys []int64) error {
	where, args := t.both(t.made, keys)
	var events []int64
	var names []sql.NullInt64
	strs := lookup{}
	err := t.q.rows(ctx, "SELECT event, type, name FROM created WHERE event IN (SELECT id FROM events WHERE "+where+") ORDER BY event, type, name", args, func(r *sql.Rows) error {
		var event int64
		var name sql.NullInt64
		var c evidence.Created
		if err := r.Scan(&event, &c.Type, &name); err != nil {
			return err
		}
		strs.want(name)
		events, names, out.Created = append(events, event), append(names, name), append(out.Created, c)
		return nil
	})
	if err != nil {
		return err
	}
	if err := t.q.texts(ctx, strs); err != nil {
		return err
	}
	list, err := t.q.eventsByID(ctx, events)
	if err != nil {
		return err
	}
	for i := range out.Created {
		c, e := &out.Created[i], &list[i]
		c.ID, c.Region, c.EventID, c.Time, c.Record = strs.of(names[i]), e.Region, e.EventID, e.Time, e.Record
	}
	slices.SortStableFunc(out.Created, func(a, b evidence.Created) int { return a.Time.Compare(b.Time) })
	return nil
}

// instances are those that the entity made, or is, or that have its address.
func (t *traced) instances(ctx context.Context, out *evidence.Trace, _ []int64) error {
	var ids []string
	for _, c := range out.Created {
		if c.Type == "AWS::EC2::Instance" && !slices.Contains(ids, c.ID) {
			ids = append(ids, c.ID)
		}
	}
	switch t.entity.Type {
	case entityInstance:
		ids = []string{t.entity.ID}
	case entityAddress:
		err := t.q.rows(ctx, "SELECT DISTINCT d.text FROM instances i JOIN dict d ON d.id = i.instance WHERE i.attr IN ('private', 'public') AND i.value = ? ORDER BY d.text", []any{t.id}, func(r *sql.Rows) error {
			var s string
			if err := r.Scan(&s); err != nil {
				return err
			}
			ids = append(ids, s)
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, id := range ids {
		i, known, err := t.q.instance(ctx, id)
		if err != nil {
			return err
		}
		if known || t.entity.Type != entityInstance {
			out.Instances = append(out.Instances, i)
		}
	}
	return nil
}

// instance is what records show of an instance; known is false where none
// does.
func (q *question) instance(ctx context.Context, id string) (i evidence.Instance, known bool, err error) {
	i = evidence.Instance{ID: id, PrivateIPs: []string{}, PublicIPs: []string{}, Interfaces: []string{}}
	err = q.rows(ctx, `SELECT i.attr, v.text, coalesce(r.text, '') FROM instances i JOIN dict d ON d.id = i.instance JOIN dict v ON v.id = i.value LEFT JOIN dict r ON r.id = i.region
		WHERE d.text = ? ORDER BY i.attr, v.text`, []any{id}, func(r *sql.Rows) error {
		var attr, value, region string
		if err := r.Scan(&attr, &value, &region); err != nil {
			return err
		}
		known = true
		if attr == "launched" || i.Region == "" {
			i.Region = region
		}
		switch attr {
		case "private":
			i.PrivateIPs = insert(i.PrivateIPs, value)
		case "public":
			i.PublicIPs = insert(i.PublicIPs, value)
		case "interface":
			i.Interfaces = insert(i.Interfaces, value)
		}
		return nil
	})
	return i, known, err
}

// traffic is whom the instances, or the address itself, talked to.
func (t *traced) traffic(ctx context.Context, out *evidence.Trace, _ []int64) error {
	var e endpoints
	own := map[string]bool{}
	add := func(to *[]int64, texts ...string) error {
		for _, s := range texts {
			id, err := t.q.word(ctx, s)
			if err != nil {
				return err
			}
			if id != 0 {
				*to = append(*to, id)
			}
		}
		return nil
	}
	for _, i := range out.Instances {
		if err := errors.Join(add(&e.instances, i.ID), add(&e.interfaces, i.Interfaces...), add(&e.addresses, i.PrivateIPs...), add(&e.addresses, i.PublicIPs...)); err != nil {
			return err
		}
		for _, ip := range slices.Concat(i.PrivateIPs, i.PublicIPs) {
			own[ip] = true
		}
	}
	switch t.entity.Type {
	case entityAddress:
		e, own = endpoints{}, map[string]bool{t.entity.ID: true}
		if err := add(&e.addresses, t.entity.ID); err != nil {
			return err
		}
	case entityInstance:
		if err := add(&e.instances, t.entity.ID); err != nil {
			return err
		}
	}
	if len(e.instances)+len(e.interfaces)+len(e.addresses) == 0 {
		return nil
	}
	var err error
	if out.Peers, err = t.q.peers(ctx, e); err != nil {
		return err
	}
	if out.Peers == nil {
		out.Peers = []evidence.TracePeer{}
	}
	pairs, err := t.q.echoes(ctx)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		switch {
		case own[p.Local]:
		case own[p.Peer]:
			p.Local, p.Peer = p.Peer, p.Local
		default:
			continue
		}
		out.ICMP = append(out.ICMP, p)
	}
	return nil
}
