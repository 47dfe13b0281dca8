package aws

// The calls of Auto Scaling and of load balancers: what would end the evidence,
// or send it more traffic, is to let go of it first.

func readsOfScaling(a *Account) map[string]operation {
	s, l := queryService{a, "autoscaling", "2011-01-01"}, queryService{a, "elasticloadbalancing", "2015-12-01"}
	return map[string]operation{
		"autoscaling:DescribeAutoScalingInstances":  s.op("DescribeAutoScalingInstances"),
		"elasticloadbalancing:DescribeTargetGroups": l.op("DescribeTargetGroups"),
		"elasticloadbalancing:DescribeTargetHealth": l.op("DescribeTargetHealth"),
	}
}

func changesOfScaling(a *Account) map[string]operation {
	s, l := queryService{a, "autoscaling", "2011-01-01"}, queryService{a, "elasticloadbalancing", "2015-12-01"}
	return map[string]operation{
		"autoscaling:EnterStandby":               s.op("EnterStandby"),
		"autoscaling:ExitStandby":                s.op("ExitStandby"),
		"autoscaling:SetInstanceProtection":      s.op("SetInstanceProtection"),
		"elasticloadbalancing:DeregisterTargets": l.op("DeregisterTargets"),
		"elasticloadbalancing:RegisterTargets":   l.op("RegisterTargets"),
	}
}
