package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"snapcase/evidence"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// reads are the calls that change nothing.
func reads(c sdk.Config) map[string]operation {
	all := readsOfEC2(ec2.NewFromConfig(c))
	maps.Copy(all, readsOfIAM(iam.NewFromConfig(c)))
	t, k, m, s := cloudtrail.NewFromConfig(c), kms.NewFromConfig(c), ssm.NewFromConfig(c), s3Client(c)
	maps.Copy(all, map[string]operation{
		"sts:GetCallerIdentity":        op(sts.NewFromConfig(c).GetCallerIdentity),
		"cloudtrail:DescribeTrails":    op(t.DescribeTrails),
		"cloudtrail:GetTrailStatus":    op(t.GetTrailStatus),
		"cloudtrail:GetEventSelectors": op(t.GetEventSelectors),
		"cloudtrail:ListPublicKeys":    op(t.ListPublicKeys),
		"cloudtrail:LookupEvents":      op(t.LookupEvents),
		"kms:DescribeKey":              op(k.DescribeKey),
		"ssm:ListCommands":             op(m.ListCommands),
		"ssm:GetCommandInvocation":     op(m.GetCommandInvocation),
		"s3:ListMultipartUploads":      op(s.ListMultipartUploads),
		"s3:ListParts":                 op(s.ListParts),
		"s3:HeadObject":                op(s.HeadObject),
	})
	return all
}

// changes are the calls that change something.
func changes(c sdk.Config) map[string]operation {
	all := changesOfEC2(ec2.NewFromConfig(c))
	maps.Copy(all, changesOfIAM(iam.NewFromConfig(c)))
	s := s3Client(c)
	maps.Copy(all, map[string]operation{
		"ssm:SendCommand":            op(ssm.NewFromConfig(c).SendCommand),
		"s3:CreateMultipartUpload":   op(s.CreateMultipartUpload),
		"s3:CompleteMultipartUpload": op(s.CompleteMultipartUpload),
	})
	return all
}

func s3Client(c sdk.Config) *s3.Client {
	return s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = c.BaseEndpoint != nil })
}

// Presign signs a call of S3 for somebody else to make. The address is worth as
// much as the call until it expires.
func (c *Calls) Presign(ctx context.Context, call evidence.CloudCall, valid time.Duration) (string, error) {
	b, err := json.Marshal(call.Params)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", call.Name(), err)
	}
	p := s3.NewPresignClient(s3Client(c.a.config), s3.WithPresignExpires(valid))
	var r *v4.PresignedHTTPRequest
	switch call.Name() {
	case "s3:GetObject":
		var in s3.GetObjectInput
		if err = json.Unmarshal(b, &in); err == nil {
			r, err = p.PresignGetObject(ctx, &in)
		}
	case "s3:UploadPart":
		var in s3.UploadPartInput
		if err = json.Unmarshal(b, &in); err == nil {
			r, err = p.PresignUploadPart(ctx, &in)
		}
	default:
		return "", fmt.Errorf("sign %s: this call is not signed for others", call.Name())
	}
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", call.Name(), err)
	}
	return r.URL, nil
}
