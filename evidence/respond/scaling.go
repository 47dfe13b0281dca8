package respond

import (
	"context"
	"fmt"
	"strings"
)

// scaling plans to let go of the instance what would end it or send it traffic:
// its Auto Scaling group and its load balancers.
func (b *builder) scaling(ctx context.Context, st *Step) ([]Call, error) {
	var all []Call
	if group := b.subject.ASG; group != "" {
		of := func() map[string]any {
			return map[string]any{"AutoScalingGroupName": group, "InstanceIds": list(b.o.Instance)}
		}
		keep := of()
		keep["ProtectedFromScaleIn"] = "true"
		stand := of()
		stand["ShouldDecrementDesiredCapacity"] = "true"
		all = append(all, b.call("protect/scale-in", "autoscaling", "SetInstanceProtection", keep), b.call("protect/standby", "autoscaling", "EnterStandby", stand))
		st.Warnings = append(st.Warnings, "the group "+group+" wants one instance less while this one stands by; a group at its least size refuses that")
	}
	groups, err := every(ctx, b.s.Cloud, "elasticloadbalancing", "DescribeTargetGroups", "TargetGroups", map[string]any{})
	if passable(err) {
		st.Warnings = append(st.Warnings, "load balancers could not be asked for: "+err.Error())
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		arn := text(g, "TargetGroupArn")
		ports, err := targets(ctx, b.s.Cloud, arn, b.o.Instance)
		if err != nil && !passable(err) {
			return nil, err
		}
		for _, port := range ports {
			all = append(all, b.call("protect/"+lastPart(strings.TrimSuffix(arn, "/"))+"/"+port, "elasticloadbalancing", "DeregisterTargets", map[string]any{
				"TargetGroupArn": arn, "Targets": []any{map[string]any{"Id": b.o.Instance, "Port": port}},
			}))
		}
	}
	return all, nil
}

// targets lists the ports under which an instance is registered with a group.
func targets(ctx context.Context, c Cloud, arn, instance string) ([]string, error) {
	all, err := every(ctx, c, "elasticloadbalancing", "DescribeTargetHealth", "TargetHealthDescriptions", map[string]any{"TargetGroupArn": arn})
	if err != nil {
		return nil, err
	}
	var ports []string
	for _, m := range all {
		t, _ := m["Target"].(map[string]any)
		h, _ := m["TargetHealth"].(map[string]any)
		if text(t, "Id") == instance && text(h, "State") != "draining" && text(h, "Reason") != "Target.NotRegistered" {
			ports = append(ports, text(t, "Port"))
		}
	}
	return ports, nil
}

// scalingState is what an Auto Scaling group does with the instance.
func scalingState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	who, _ := p["InstanceIds"].([]any)
	all, err := every(ctx, c, "autoscaling", "DescribeAutoScalingInstances", "AutoScalingInstances", map[string]any{"InstanceIds": who})
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if len(who) == 1 && m["InstanceId"] == who[0] {
			return map[string]any{"LifecycleState": m["LifecycleState"], "ProtectedFromScaleIn": m["ProtectedFromScaleIn"]}, nil
		}
	}
	return map[string]any{}, nil
}

func standing(_, state map[string]any) bool {
	s := text(state, "LifecycleState")
	return s == "Standby" || s == "EnteringStandby"
}

func protectionUndo(p, before map[string]any) *takeBack {
	if text(before, "ProtectedFromScaleIn") == "" {
		return nil
	}
	return &takeBack{Service: "autoscaling", Action: "SetInstanceProtection", Params: map[string]any{
		"AutoScalingGroupName": p["AutoScalingGroupName"], "InstanceIds": p["InstanceIds"], "ProtectedFromScaleIn": before["ProtectedFromScaleIn"],
	}, Target: "scale-in protection in " + text(p, "AutoScalingGroupName")}
}

func standbyUndo(p, _ map[string]any) *takeBack {
	return &takeBack{Service: "autoscaling", Action: "ExitStandby", Params: map[string]any{
		"AutoScalingGroupName": p["AutoScalingGroupName"], "InstanceIds": p["InstanceIds"],
	}, Target: "standby in " + text(p, "AutoScalingGroupName")}
}

// targetState says whether the target of p is registered.
func targetState(ctx context.Context, c Cloud, p map[string]any) (map[string]any, error) {
	l, _ := p["Targets"].([]any)
	if len(l) != 1 {
		return nil, fmt.Errorf("%d targets in one call", len(l))
	}
	t, _ := l[0].(map[string]any)
	ports, err := targets(ctx, c, text(p, "TargetGroupArn"), text(t, "Id"))
	if err != nil {
		return nil, err
	}
	for _, port := range ports {
		if port == text(t, "Port") {
			return map[string]any{"Registered": true}, nil
		}
	}
	return map[string]any{}, nil
}

func registered(_, state map[string]any) bool { return state["Registered"] == true }

func targetUndo(p, _ map[string]any) *takeBack {
	t, _ := p["Targets"].([]any)
	return &takeBack{Service: "elasticloadbalancing", Action: "RegisterTargets", Params: map[string]any{"TargetGroupArn": p["TargetGroupArn"], "Targets": t}, Target: text(p, "TargetGroupArn") + " " + fmt.Sprint(t)}
}
