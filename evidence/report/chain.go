package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"snapcase/evidence"
)

// maxNodes bounds the chain that the page draws.
const maxNodes = 120

// chain is the tree of a trace: who issued the key, the keys it issued, what
// they made, whom that talked to.
func chain(t evidence.Trace) node {
	root := node{Kind: t.Entity.Type, Title: t.Entity.ID, Sub: joinText(", ", many(t.Events, "call", "calls"), span(t.First, t.Last))}
	b := chainBuilder{left: maxNodes, by: map[string][]evidence.IssuedKey{}, seen: map[string]bool{t.Entity.ID: true}}
	for _, i := range t.Issued {
		b.by[i.By] = append(b.by[i.By], i)
	}
	root.Children = b.keys(t.Entity.ID)
	for _, i := range t.Issued { // links whose other end is not in the tree
		switch {
		case b.seen[i.KeyID]:
		case b.left == 0:
			b.lost++
		default:
			b.left--
			root.Children = append(root.Children, keyNode(i))
		}
		b.seen[i.KeyID] = true
	}
	root.Children = append(root.Children, b.created(t)...)
	if b.lost > 0 {
		root.Children = append(root.Children, node{Kind: "more", Title: fmt.Sprintf("and %d more; traces.csv has all", b.lost)})
	}
	for _, i := range t.IssuedBy {
		up := node{Kind: "issuer", Title: cmp.Or(i.KeyID, i.Principal), Sub: joinText(", ", i.EventName, stamp(i.Time)), Detail: i.Principal}
		if up.Detail == up.Title {
			up.Detail = ""
		}
		up.Children = []node{root}
		root = up
		if i.Depth > 1 {
			break
		}
	}
	return root
}

type chainBuilder struct {
	left, lost int
	by         map[string][]evidence.IssuedKey
	seen       map[string]bool
}

func keyNode(i evidence.IssuedKey) node {
	n := node{Kind: "key", Title: i.KeyID, Sub: joinText(", ", i.EventName, stamp(i.Time), "joined by "+i.Join), Detail: i.Principal}
	switch {
	case i.Permanent:
		n.Mark = "long-term key"
	case i.Events == 0:
		n.Mark = "never used"
	default:
		n.Detail = joinText(", ", i.Principal, many(i.Events, "call", "calls"))
	}
	return n
}

func (b *chainBuilder) keys(of string) []node {
	var out []node
	for _, i := range b.by[of] {
		if b.seen[i.KeyID] {
			continue
		}
		b.seen[i.KeyID] = true
		if b.left == 0 {
			b.lost++
			continue
		}
		b.left--
		n := keyNode(i)
		n.Children = b.keys(i.KeyID)
		out = append(out, n)
	}
	return out
}

// created are the things made, instances with their peers, others by region.
func (b *chainBuilder) created(t evidence.Trace) []node {
	var out []node
	others := map[string][]string{}
	known := map[string]bool{}
	for _, i := range t.Instances {
		known[i.ID] = true
	}
	for _, c := range t.Created {
		if !known[c.ID] {
			others[c.Region] = append(others[c.Region], short(c.Type)+" "+c.ID)
		}
	}
	for _, i := range t.Instances {
		if b.left == 0 {
			b.lost++
			continue
		}
		b.left--
		n := node{Kind: "instance", Title: i.ID, Sub: i.Region, Detail: joinText(" · ", addresses("private", i.PrivateIPs), addresses("public", i.PublicIPs), strings.Join(i.Interfaces, " "))}
		for _, r := range t.Regions {
			if r.Region == i.Region && r.Unusual {
				n.Mark = "region not in use before"
			}
		}
		if len(t.Instances) == 1 {
			n.Children = b.talks(t)
		}
		out = append(out, n)
	}
	for _, region := range sortedKeys(others) {
		list := others[region]
		rest := ""
		if len(list) > 6 {
			rest = fmt.Sprintf(" and %d more", len(list)-6)
			list = list[:6]
		}
		out = append(out, node{Kind: "created", Title: "also created in " + region, Detail: strings.Join(list, " · ") + rest})
	}
	return out
}

func (b *chainBuilder) talks(t evidence.Trace) []node {
	var out []node
	for _, i := range t.ICMP {
		if i.Verdict == "ordinary" {
			continue
		}
		out = append(out, node{Kind: "peer", Title: i.Peer, Sub: "ICMP, " + span(i.First, i.Last), Mark: verdictWords(i.Verdict), Detail: strings.Join(i.Reasons, "; ")})
	}
	return out[:min(len(out), 12)]
}

func addresses(what string, ips []string) string {
	if len(ips) == 0 {
		return ""
	}
	return what + " " + strings.Join(ips, " ")
}

// short is the last part of a resource type: AWS::EC2::KeyPair → KeyPair.
func short(kind string) string { return kind[strings.LastIndexByte(kind, ':')+1:] }

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
