package awstest

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// DefaultKey is the key aws/ebs of the account: what is encrypted with it cannot
// be shared.
const DefaultKey = "arn:aws:kms:eu-west-1:111122223333:key/00000000-aws-ebs"

func (e *EC2) describeVolumes(f url.Values, here bool) (string, error) {
	var all []thing
	for _, v := range e.Volumes {
		var at []string
		if v.Instance != "" {
			at = append(at, el("item", txt("instanceId", v.Instance), txt("device", v.Device), txt("status", "attached"), txt("volumeId", v.ID)))
		}
		x := txt("volumeId", v.ID) + txt("size", v.GiB) + txt("availabilityZone", v.Zone) + txt("encrypted", v.KMSKey != "") + txt("kmsKeyId", v.KMSKey) +
			txt("status", "available") + txt("snapshotId", v.Snapshot) + el("attachmentSet", at...) + tagSet(v.Tags)
		all = append(all, thing{id: v.ID, xml: x, tags: v.Tags})
	}
	return e.show(f, here, "volumeSet", "VolumeId", "InvalidVolume.NotFound", all)
}

func (e *EC2) describeSnapshots(f url.Values, here bool) (string, error) {
	var all []thing
	for _, s := range e.Snapshots {
		if want := listed(f, "SnapshotId"); len(want) == 0 || slices.Contains(want, s.ID) {
			e.ripen(s)
		}
		x := txt("snapshotId", s.ID) + txt("volumeId", s.VolumeID) + txt("status", s.State) + txt("progress", s.Progress) + txt("statusMessage", s.Message) +
			txt("volumeSize", s.GiB) + txt("ownerId", s.Owner) + txt("encrypted", s.KMSKey != "") + txt("kmsKeyId", s.KMSKey) +
			txt("startTime", s.Started.UTC().Format("2006-01-02T15:04:05.000Z")) + tagSet(s.Tags)
		all = append(all, thing{id: s.ID, xml: x, tags: s.Tags, attrs: map[string][]string{"volume-id": {s.VolumeID}, "status": {s.State}}})
	}
	return e.show(f, here, "snapshotSet", "SnapshotId", "InvalidSnapshot.NotFound", all)
}

// ripen lets a pending snapshot get on with every look at it.
func (e *EC2) ripen(s *Snapshot) {
	if s.State != "pending" || e.unseen[s.ID] > 0 {
		return
	}
	e.ages[s.ID]++
	if e.ages[s.ID] <= e.Pending {
		s.Progress = fmt.Sprintf("%d%%", 100*e.ages[s.ID]/(e.Pending+1))
		return
	}
	if s.VolumeID == "vol-ffffffff" && e.FailCopy != "" {
		s.State, s.Message = "error", e.FailCopy
		return
	}
	s.State, s.Progress = "completed", "100%"
}

func (e *EC2) createSnapshots(f url.Values, here bool) (string, error) {
	i := e.Instances[f.Get("InstanceSpecification.InstanceId")]
	if i == nil || !here {
		return "", bad("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", f.Get("InstanceSpecification.InstanceId"))
	}
	var all []string
	for _, name := range keysOf(i.Devices) {
		v := e.Volumes[i.Devices[name].Volume]
		s := &Snapshot{
			ID: e.fresh("snap"), VolumeID: v.ID, Owner: e.Account, Region: e.Region, KMSKey: v.KMSKey, State: "pending", Progress: "0%",
			Started: e.Now(), Tags: tagsIn(f), GiB: v.GiB, Description: f.Get("Description"),
		}
		e.Snapshots[s.ID] = s
		e.unseen[s.ID] += len(all) // one is seen before the other
		all = append(all, el("item", txt("snapshotId", s.ID), txt("volumeId", v.ID), txt("state", s.State), txt("progress", ""), txt("volumeSize", v.GiB), txt("ownerId", s.Owner), tagSet(s.Tags)))
	}
	return el("snapshotSet", all...), nil
}

func (e *EC2) snapshot(f url.Values, name string) (*Snapshot, error) {
	s := e.Snapshots[f.Get(name)]
	if s == nil {
		return nil, bad("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", f.Get(name))
	}
	return s, nil
}

func (e *EC2) copySnapshot(f url.Values, _ bool) (string, error) {
	s, err := e.snapshot(f, "SourceSnapshotId")
	if err != nil {
		return "", err
	}
	if s.State != "completed" {
		return "", bad("IncorrectState", "The snapshot '%s' is %s", s.ID, s.State)
	}
	c := *s
	c.ID, c.VolumeID, c.State, c.Progress, c.Tags, c.SharedWith = e.fresh("snap"), "vol-ffffffff", "pending", "0%", tagsIn(f), nil
	if k := f.Get("KmsKeyId"); k != "" {
		c.KMSKey = k
	}
	e.Snapshots[c.ID] = &c
	return txt("snapshotId", c.ID) + tagSet(c.Tags), nil
}

func (e *EC2) modifySnapshot(f url.Values, _ bool) (string, error) {
	s, err := e.snapshot(f, "SnapshotId")
	if err != nil {
		return "", err
	}
	if s.KMSKey == DefaultKey {
		return "", bad("InvalidParameter", "Snapshots encrypted with the AWS Managed CMK can't be shared. Specify another snapshot.")
	}
	for _, id := range listed(f, "UserId") {
		if f.Get("OperationType") == "add" && !slices.Contains(s.SharedWith, id) {
			s.SharedWith = append(s.SharedWith, id)
		}
	}
	return txt("return", true), nil
}

func (e *EC2) describeSnapshotAttribute(f url.Values, _ bool) (string, error) {
	s, err := e.snapshot(f, "SnapshotId")
	if err != nil {
		return "", err
	}
	var all []string
	for _, id := range s.SharedWith {
		all = append(all, el("item", txt("userId", id)))
	}
	return txt("snapshotId", s.ID) + el("createVolumePermission", all...), nil
}

// lockTag marks a locked snapshot in its own tags, which no test looks at.
const lockTag = "awstest:locked"

func (e *EC2) lockSnapshot(f url.Values, _ bool) (string, error) {
	s, err := e.snapshot(f, "SnapshotId")
	if err != nil {
		return "", err
	}
	s.Tags = maps.Clone(s.Tags)
	s.Tags[lockTag] = f.Get("LockMode")
	return txt("snapshotId", s.ID) + txt("lockState", f.Get("LockMode")) + txt("lockDuration", f.Get("LockDuration")), nil
}

func (e *EC2) describeLocked(f url.Values, here bool) (string, error) {
	var all []thing
	for _, s := range e.Snapshots {
		if m := s.Tags[lockTag]; m != "" {
			all = append(all, thing{id: s.ID, xml: txt("snapshotId", s.ID) + txt("lockState", m)})
		}
	}
	g := maps.Clone(f)
	want := listed(f, "SnapshotId")
	for k := range g {
		if strings.HasPrefix(k, "SnapshotId.") {
			delete(g, k)
		}
	}
	all = slices.DeleteFunc(all, func(t thing) bool { return len(want) > 0 && !slices.Contains(want, t.id) })
	return e.show(g, here, "snapshotSet", "SnapshotId", "", all)
}

func (e *EC2) createVolume(f url.Values, _ bool) (string, error) {
	s, err := e.snapshot(f, "SnapshotId")
	if err != nil {
		return "", err
	}
	if s.State != "completed" {
		return "", bad("IncorrectState", "Snapshot is in invalid state - %s", s.State)
	}
	id, made := e.once(f, "vol")
	if made {
		e.Volumes[id] = &Volume{ID: id, Zone: f.Get("AvailabilityZone"), KMSKey: s.KMSKey, GiB: s.GiB, Snapshot: s.ID, Tags: tagsIn(f)}
	}
	return txt("volumeId", id) + txt("size", s.GiB) + txt("status", "creating"), nil
}

func (e *EC2) attachVolume(f url.Values, here bool) (string, error) {
	v := e.Volumes[f.Get("VolumeId")]
	i, err := e.instance(f, here)
	switch {
	case err != nil:
		return "", err
	case v == nil:
		return "", bad("InvalidVolume.NotFound", "The volume '%s' does not exist.", f.Get("VolumeId"))
	case v.Instance != "":
		return "", bad("VolumeInUse", "%s is already attached to an instance", v.ID)
	case v.Zone != i.Zone:
		return "", bad("InvalidVolume.ZoneMismatch", "The volume '%s' is not in the same availability zone as instance '%s'", v.ID, i.ID)
	}
	v.Instance, v.Device = i.ID, f.Get("Device")
	return txt("volumeId", v.ID) + txt("instanceId", i.ID) + txt("device", v.Device) + txt("status", "attaching"), nil
}

func (e *EC2) detachVolume(f url.Values, _ bool) (string, error) {
	v := e.Volumes[f.Get("VolumeId")]
	if v == nil || v.Instance == "" {
		return "", bad("IncorrectState", "Volume '%s' is in the 'available' state.", f.Get("VolumeId"))
	}
	v.Instance, v.Device = "", ""
	return txt("volumeId", v.ID) + txt("status", "detaching"), nil
}
