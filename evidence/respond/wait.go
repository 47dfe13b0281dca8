package respond

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"snapcase/evidence"
)

// snapshotIDs are the snapshots that the plan has made so far, sorted.
func (r *runner) snapshotIDs() []string {
	var all []string
	if p := r.h.calls["snapshot/create"]; p != nil && p.done {
		for k := range p.result {
			all = append(all, text(p.result, k))
		}
	}
	slices.Sort(all)
	return all
}

// complete waits until every snapshot is completed. It stands after the
// containment: what is in a snapshot is fixed when the call is answered.
func (r *runner) complete(ctx context.Context) (why string, err error) {
	ids := r.snapshotIDs()
	if len(ids) == 0 {
		return "there is no snapshot", nil
	}
	if why, err = r.completed(ctx, stepComplete, ids); err != nil || why != "" {
		return why, err
	}
	r.held("completed: %s", strings.Join(ids, ", "))
	return "", nil
}

// completed polls snapshots until all are completed; why tells of one that
// ended in an error.
func (r *runner) completed(ctx context.Context, step string, ids []string) (why string, err error) {
	looks := max(int(r.pace.Limit/max(r.pace.Wait, time.Millisecond)), r.pace.Looks)
	for i := 0; i < looks; i++ {
		all, err := every(ctx, r.s.Cloud, "ec2", "DescribeSnapshots", "Snapshots", map[string]any{"SnapshotIds": list(ids...)})
		if kind, ok := evidence.CloudKind(err); err != nil && (!ok || kind != evidence.CloudThrottled && kind != evidence.CloudLost) {
			return "", err
		}
		done, share := 0, 0
		for _, m := range all {
			n, _ := strconv.Atoi(strings.TrimSuffix(text(m, "Progress"), "%"))
			switch text(m, "State") {
			case "completed":
				done++
				n = 100
			case "error", "recoverable":
				return fmt.Sprintf("%s failed: %s", text(m, "SnapshotId"), text(m, "StateMessage")), nil
			}
			share += n
		}
		r.progress(step, strings.Join(ids, ", "), share, 100*len(ids))
		if done == len(ids) {
			return "", nil
		}
		if err := sleep(ctx, r.pace.Wait); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("not complete after %s", r.pace.Limit), nil
}

// waitFor waits until the snapshot that is to be shared is completed: a copy
// may still turn out to have failed, since its key is looked at late.
func (r *runner) waitFor(ctx context.Context, step string, c *Call) (why string, err error) {
	params, err := r.resolve(ctx, c.Params, nil)
	if passable(err) {
		return c.ID + ": " + err.Error(), nil
	}
	if err != nil {
		return "", err
	}
	why, err = r.completed(ctx, step, []string{text(params, "SnapshotId")})
	if passable(err) {
		return c.ID + ": " + err.Error(), nil
	}
	return why, err
}
