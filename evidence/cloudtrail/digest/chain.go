package digest

import (
	"fmt"
	"slices"
	"time"

	"snapcase/evidence"
)

// mostHours is how many missing hours are named one by one: those of about
// eleven years.
const mostHours = 100_000

// window is a time for which nothing is proved, and for which a failure says so.
type window struct{ from, to time.Time }

// slack is how far the time in the name of a log may be from its delivery.
const slack = 15 * time.Minute

func (w window) has(t time.Time) bool {
	return !t.Before(w.from.Add(-slack)) && !t.After(w.to.Add(slack))
}

// cover is what is known of the logs of an area.
type cover struct {
	proved []window
	open   []window // holes, and digests that prove nothing
	last   time.Time
	newest *node
}

// tile looks at how the digests of a chain follow one another, newest first.
func (v *validator) tile(id chainID, nodes []*node) {
	v.passedOver(nodes)
	newestFirst(nodes)
	c := v.cover(id.area)
	frontier, last := time.Time{}, (*node)(nil)
	for _, n := range nodes {
		from, to := n.span()
		if n.slot.end.IsZero() && n.state == broken {
			continue // nothing says where it belongs
		}
		if n.state == proved {
			c.proved = append(c.proved, window{from, to})
		} else {
			c.open = append(c.open, window{from, to})
		}
		if last != nil {
			v.join(c, last, n, frontier)
		} else if !id.backfill {
			v.ends[id] = n
			if to.After(c.last) {
				c.last, c.newest = to, n
			}
		}
		if last == nil || from.Before(frontier) {
			frontier, last = from, n
		}
	}
	v.lost(nodes)
	v.summary(id, nodes, last)
}

// join looks at the place between a digest and the next older one; frontier is
// where that which is covered so far begins.
func (v *validator) join(c *cover, newer, older *node, frontier time.Time) {
	_, to := older.span()
	hole := to.Before(frontier)
	linked := newer.state != broken && slices.Contains(v.before(newer), older)
	switch {
	case newer.state != broken && newer.d.first() && !newer.slot.backfill:
		if to.After(frontier) {
			to = frontier
		}
		c.open = append(c.open, window{to, frontier})
		v.failure(CodeGap, newer.file.Address, "a chain starts here, and there are older digests: the trail or its validation was off, look for StopLogging, DeleteTrail, UpdateTrail and PutEventSelectors", to, frontier)
	case hole && linked:
		c.open = append(c.open, window{to, frontier})
		v.failure(CodeGap, newer.file.Address, "it follows "+older.file.Address+", which ends earlier than it starts", to, frontier)
	case hole && newer.slot.backfill && (newer.state == broken || newer.d.first()):
		// Backfill digests need not touch.
	case hole:
		c.open = append(c.open, window{to, frontier})
		v.hours(newer, to, frontier)
	}
}

// hours names every hour of a hole before a digest.
func (v *validator) hours(newer *node, from, to time.Time) {
	const hour = time.Hour
	object := newer.file.Key
	if newer.d != nil {
		object = newer.d.Object
	}
	bucket := newer.file.Bucket
	if newer.d != nil {
		bucket = newer.d.Bucket
	}
	for n := 0; to.After(from); n++ {
		start := to.Add(-hour)
		if start.Before(from) {
			start = from
		}
		key := sibling(object, to)
		if n == 0 && newer.state != broken && newer.d != nil && !newer.d.first() {
			bucket, key = *newer.d.PreviousBucket, *newer.d.PreviousObject
		}
		if v.named++; v.named > mostHours {
			rest := int64((to.Sub(from) + hour - 1) / hour)
			v.out.Digests.Missing += rest
			v.failure(CodeDigestMissing, "s3://"+bucket+"/"+key, fmt.Sprintf("this and %d more before it are not here", rest-1), from, to)
			return
		}
		v.missing(bucket, key, start, to)
		to = start
	}
}

func (v *validator) missing(bucket, key string, from, to time.Time) {
	path := "s3://" + bucket + "/" + key
	if v.gone[path] {
		return
	}
	v.gone[path] = true
	v.out.Digests.Missing++
	reason := "it is not here"
	for _, f := range v.index.older.find(bucket, key) {
		reason += "; " + f.Address + " is an older version of it"
	}
	v.failure(CodeDigestMissing, path, reason, from, to)
}

// passedOver finds signed digests that the chain passes over: the digest after
// such a one names another before itself.
func (v *validator) passedOver(nodes []*node) {
	var next *node // the next newer one, nil where it is broken
	for _, n := range nodes {
		if n.state == broken {
			next = nil
			continue
		}
		if next != nil && len(n.claims) == 0 && len(v.before(next)) > 0 {
			v.fail(n, CodeDigestUnlinked, broken, "the chain passes it over: "+next.file.Address+" names another one before itself")
			continue
		}
		next = n
	}
}

// lost names predecessors that are not here though older digests are.
func (v *validator) lost(nodes []*node) {
	if len(nodes) == 0 {
		return
	}
	_, oldest := nodes[len(nodes)-1].span()
	for _, n := range nodes {
		if n.state != broken && !n.d.first() && !oldest.After(n.d.Start) && len(v.before(n)) == 0 {
			v.missing(*n.d.PreviousBucket, *n.d.PreviousObject, time.Time{}, n.d.Start)
		}
	}
}

// summary adds a chain to the result.
func (v *validator) summary(id chainID, nodes []*node, oldest *node) {
	t := evidence.TrailChain{Account: id.account, Region: id.region, Trail: id.trail, Backfill: id.backfill, Digests: int64(len(nodes))}
	var first, last time.Time
	for _, n := range nodes {
		switch n.state {
		case proved:
			v.out.Digests.Valid++
			if first.IsZero() || n.d.Start.Before(first) {
				first = n.d.Start
			}
			if n.d.End.After(last) {
				last = n.d.End
			}
		case broken:
			v.out.Digests.Invalid++
		default:
			v.out.Digests.Unproved++
		}
	}
	t.First, t.Last = stamp(first), stamp(last)
	t.Begins = oldest != nil && oldest.state == proved && oldest.d.first()
	v.out.Chains = append(v.out.Chains, t)
	if oldest != nil && oldest.state != broken && !oldest.d.first() {
		v.note("%s %s %s: the first digest, %s, follows s3://%s/%s, which is not here: nothing is said of the time before %s", id.account, id.region, id.trail, oldest.file.Address, *oldest.d.PreviousBucket, *oldest.d.PreviousObject, oldest.d.Start.Format(time.RFC3339))
	}
}
