package respond

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
)

func profileState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	_, arn, err := association(ctx, c, text(p, instanceNote))
	if err != nil {
		return nil, err
	}
	return map[string]any{"Arn": arn}, nil
}

// instanceNote names the instance beside the params of a profile's replacement.
const instanceNote = "_instance"

func sameProfile(p, state map[string]any) bool {
	want, _ := p["IamInstanceProfile"].(map[string]any)
	if arn := text(want, "Arn"); arn != "" {
		return arn == text(state, "Arn")
	}
	return text(want, "Name") == lastPart(text(state, "Arn"))
}

func profileUndo(p, before map[string]any) *takeBack {
	instance := text(p, instanceNote)
	return &takeBack{Service: "ec2", Action: "ReplaceIamInstanceProfileAssociation", Params: map[string]any{
		"AssociationId": "${association:" + instance + "}", "IamInstanceProfile": map[string]any{"Arn": before["Arn"]}, instanceNote: instance,
	}, Target: instance + " profile"}
}

// policyState reads an inline policy. IAM gives the document URL-encoded.
func policyState(action, who string) func(context.Context, Cloud, map[string]any) (map[string]any, error) {
	return func(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
		m, err := one(ctx, c, "iam", action, map[string]any{who: p[who], "PolicyName": p["PolicyName"]})
		if err != nil {
			return nil, err
		}
		doc := text(m, "PolicyDocument")
		if doc == "" {
			return map[string]any{}, nil
		}
		if d, err := url.QueryUnescape(doc); err == nil && strings.HasPrefix(doc, "%7B") {
			doc = d
		}
		return map[string]any{"PolicyDocument": doc}, nil
	}
}

func samePolicy(p, state map[string]any) bool {
	var a, b any
	if json.Unmarshal([]byte(text(p, "PolicyDocument")), &a) != nil || json.Unmarshal([]byte(text(state, "PolicyDocument")), &b) != nil {
		return false
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// policyUndo brings back what stood under the name before, or nothing. It revives
// sessions that were cut off, so it is made only where it is named.
func policyUndo(of string) func(p, before map[string]any) *takeBack {
	return func(p, before map[string]any) *takeBack {
		who := of + "Name"
		t := &takeBack{Service: "iam", Action: "Delete" + of + "Policy", Params: map[string]any{who: p[who], "PolicyName": p["PolicyName"]}, Target: of + " " + text(p, who) + " " + text(p, "PolicyName"), Named: text(p, who)}
		if doc := text(before, "PolicyDocument"); doc != "" {
			t.Action = "Put" + of + "Policy"
			t.Params["PolicyDocument"] = doc
		}
		return t
	}
}

func keyState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	all, err := every(ctx, c, "iam", "ListAccessKeys", "AccessKeyMetadata", map[string]any{"UserName": p["UserName"]})
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if text(m, "AccessKeyId") == text(p, "AccessKeyId") {
			return map[string]any{"Status": m["Status"]}, nil
		}
	}
	return map[string]any{}, nil
}

func keyUndo(p, before map[string]any) *takeBack {
	if text(before, "Status") == "" {
		return nil
	}
	return &takeBack{Service: "iam", Action: "UpdateAccessKey", Params: map[string]any{"UserName": p["UserName"], "AccessKeyId": p["AccessKeyId"], "Status": before["Status"]}, Target: "key " + text(p, "AccessKeyId"), Named: text(p, "AccessKeyId")}
}
