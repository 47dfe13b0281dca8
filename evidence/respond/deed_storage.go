package respond

import (
	"context"
	"slices"
)

// snapshotsState maps each volume to its snapshot of this case.
func snapshotsState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	all, err := every(ctx, c, "ec2", "DescribeSnapshots", "Snapshots", map[string]any{"Filters": tagFilters(p), "OwnerIds": list("self")})
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, m := range all {
		if ours(m, p) {
			out[text(m, "VolumeId")] = m["SnapshotId"]
		}
	}
	return out, nil
}

// volumesNote lists the volumes beside the params of CreateSnapshots.
const volumesNote = "_volumes"

// allVolumes says whether each volume has its snapshot: what was just made is
// not seen all at once.
func allVolumes(p, state map[string]any) bool {
	for _, v := range sorted(p[volumesNote]) {
		if text(state, v) == "" {
			return false
		}
	}
	return len(state) > 0
}

func snapshotsMade(a map[string]any) map[string]any {
	out := map[string]any{}
	l, _ := a["Snapshots"].([]any)
	for _, x := range l {
		m, _ := x.(map[string]any)
		out[text(m, "VolumeId")] = m["SnapshotId"]
	}
	return out
}

func lockState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	m, err := find(ctx, c, "DescribeLockedSnapshots", "Snapshots", "SnapshotId", text(p, "SnapshotId"), map[string]any{"SnapshotIds": list(text(p, "SnapshotId"))})
	if err != nil || text(m, "LockState") == "" || text(m, "LockState") == "expired" {
		return map[string]any{}, err
	}
	return map[string]any{"LockState": m["LockState"]}, nil
}

// shareState lists the accounts that may use a snapshot; "all" is everybody.
func shareState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	m, err := one(ctx, c, "ec2", "DescribeSnapshotAttribute", map[string]any{"SnapshotId": p["SnapshotId"], "Attribute": "createVolumePermission"})
	if err != nil {
		return nil, err
	}
	l, _ := m["CreateVolumePermissions"].([]any)
	var who []string
	for _, x := range l {
		v, _ := x.(map[string]any)
		if id := text(v, "UserId"); id != "" {
			who = append(who, id)
		} else if g := text(v, "Group"); g != "" {
			who = append(who, g)
		}
	}
	slices.Sort(who)
	return map[string]any{"Accounts": list(who...)}, nil
}

func sharedWith(p, state map[string]any) bool {
	have := sorted(state["Accounts"])
	for _, id := range sorted(p["UserIds"]) {
		if !slices.Contains(have, id) {
			return false
		}
	}
	return true
}

func attachState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	m, err := find(ctx, c, "DescribeVolumes", "Volumes", "VolumeId", text(p, "VolumeId"), map[string]any{"VolumeIds": list(text(p, "VolumeId"))})
	if err != nil {
		return nil, err
	}
	l, _ := m["Attachments"].([]any)
	for _, x := range l {
		a, _ := x.(map[string]any)
		if s := text(a, "State"); s == "attached" || s == "attaching" {
			return map[string]any{"InstanceId": a["InstanceId"], "Device": a["Device"]}, nil
		}
	}
	return map[string]any{}, nil
}

func attachUndo(p, _ map[string]any) *takeBack {
	return &takeBack{Service: "ec2", Action: "DetachVolume", Params: map[string]any{"VolumeId": p["VolumeId"], "InstanceId": p["InstanceId"]}, Target: "attachment " + text(p, "VolumeId")}
}

func uploadState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	all, err := every(ctx, c, "s3", "ListMultipartUploads", "Uploads", map[string]any{"Bucket": p["Bucket"], "Prefix": p["Key"]})
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if text(m, "Key") == text(p, "Key") {
			return map[string]any{"UploadId": m["UploadId"]}, nil
		}
	}
	return map[string]any{}, nil
}

// commandState finds the command that this case sent by its comment.
func commandState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	ids, _ := p["InstanceIds"].([]any)
	if len(ids) == 0 {
		return map[string]any{}, nil
	}
	all, err := every(ctx, c, "ssm", "ListCommands", "Commands", map[string]any{"InstanceId": ids[0]})
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if text(m, "Comment") == text(p, "Comment") {
			return map[string]any{"CommandId": m["CommandId"]}, nil
		}
	}
	return map[string]any{}, nil
}

func objectState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	m, err := one(ctx, c, "s3", "HeadObject", map[string]any{"Bucket": p["Bucket"], "Key": p["Key"]})
	if err != nil || m["ContentLength"] == nil {
		return map[string]any{}, err
	}
	return map[string]any{"ContentLength": m["ContentLength"]}, nil
}
