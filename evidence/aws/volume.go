package aws

import (
	"context"
	"fmt"

	"snapcase/evidence"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Volume is what EC2 says of a volume.
type Volume struct {
	Origin   evidence.Origin
	Size     int64  // bytes
	Instance string // it is attached to; "" for none
	Asked    string // the device name that the attachment was asked for with
}

// Volume describes a volume.
func (a *Account) Volume(ctx context.Context, id string) (Volume, error) {
	doing := "look up " + id
	v := Volume{Origin: evidence.Origin{Service: "ec2", Region: a.Region, Volume: id}}
	out, err := ec2.NewFromConfig(a.config).DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{id}})
	if r := refused(err); r.code == "InvalidVolume.NotFound" || err == nil && len(out.Volumes) != 1 {
		return v, evidence.WithHint(fmt.Errorf("%s is not known in %s: %w", id, a.Region, evidence.ErrNotFound), "volumes belong to one region: give the right one with --region")
	}
	if err != nil {
		return v, a.explain(doing, err)
	}
	if request, ok := middleware.GetRequestIDMetadata(out.ResultMetadata); ok {
		v.Origin.Requests = []string{"ec2:DescribeVolumes " + request}
	}
	d := out.Volumes[0]
	v.Size = int64(sdk.ToInt32(d.Size)) << 30
	v.Origin.Snapshot, v.Origin.Encrypted, v.Origin.KMSKey = sdk.ToString(d.SnapshotId), sdk.ToBool(d.Encrypted), sdk.ToString(d.KmsKeyId)
	for _, at := range d.Attachments {
		if at.State == types.VolumeAttachmentStateAttached {
			v.Instance, v.Asked = sdk.ToString(at.InstanceId), sdk.ToString(at.Device)
		}
	}
	return v, nil
}
