package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// flow is one aggregated conversation direction of one interface.
type flow struct {
	h              host
	src, dst       string
	sport, dport   int
	proto, flags   int
	packets, bytes int
	start, end     time.Time
	action, dir    string
	status         string
}

const v5Header = "version account-id interface-id instance-id vpc-id subnet-id srcaddr dstaddr pkt-srcaddr pkt-dstaddr srcport dstport protocol packets bytes start end action tcp-flags type flow-direction traffic-path az-id region log-status"

func (f flow) v5() string {
	if f.status != "OK" {
		return fmt.Sprintf("5 %s %s %s %s %s - - - - - - - - - %d %d - - - - - apne3-az1 %s %s", account, f.h.eni, f.h.id, f.h.vpc, f.h.subnet, f.start.Unix(), f.end.Unix(), f.h.region, f.status)
	}
	path := "-"
	if f.dir == "egress" {
		path = "8"
	}
	return fmt.Sprintf("5 %s %s %s %s %s %s %s %s %s %d %d %d %d %d %d %d %s %d IPv4 %s %s apne3-az1 %s OK", account, f.h.eni, f.h.id, f.h.vpc, f.h.subnet,
		f.src, f.dst, f.src, f.dst, f.sport, f.dport, f.proto, f.packets, f.bytes, f.start.Unix(), f.end.Unix(), f.action, f.flags, f.dir, path, f.h.region)
}

func (f flow) v2() string {
	if f.status != "OK" {
		return fmt.Sprintf("2 %s %s - - - - - - - %d %d - %s", account, f.h.eni, f.start.Unix(), f.end.Unix(), f.status)
	}
	return fmt.Sprintf("2 %s %s %s %s %d %d %d %d %d %d %d %s OK", account, f.h.eni, f.src, f.dst, f.sport, f.dport, f.proto, f.packets, f.bytes, f.start.Unix(), f.end.Unix(), f.action)
}

// both adds the two directions of a conversation begun by the interface's
// side (out) or by the other.
func both(list []flow, h host, peer string, sport, dport, proto int, t time.Time, outP, outB, inP, inB int, fromUs bool, action string) []flow {
	end := t.Add(58 * time.Second)
	f := flow{h: h, proto: proto, start: t, end: end, action: action, status: "OK"}
	first, back := 0, 0
	if proto == 6 {
		first, back = 3, 19
	}
	eg, in := f, f
	eg.src, eg.dst, eg.sport, eg.dport, eg.packets, eg.bytes, eg.dir, eg.flags = h.private, peer, sport, dport, outP, outB, "egress", first
	in.src, in.dst, in.sport, in.dport, in.packets, in.bytes, in.dir, in.flags = peer, h.private, dport, sport, inP, inB, "ingress", back
	if !fromUs {
		eg.flags, in.flags = back, first
	}
	if outP > 0 {
		list = append(list, eg)
	}
	if inP > 0 {
		list = append(list, in)
	}
	return list
}

// flows writes the flow logs of two interfaces: with a header and version 5
// fields in the new region, in the default format without header at home.
func (w *world) flows(dir string, seen []flow, facts map[string]any) {
	rogue := w.rogueFlows(seen, facts)
	byDay := map[string][]flow{}
	for _, f := range rogue {
		d := f.start.Truncate(6 * time.Hour).Format("2006/01/02/15")
		byDay[d] = append(byDay[d], f)
	}
	id := "fl-0" + w.hex(16)
	records := 0
	for _, d := range sorted(byDay) {
		lines := []string{v5Header}
		for _, f := range byDay[d] {
			lines = append(lines, f.v5())
		}
		records += len(lines) - 1
		t := at(strings.ReplaceAll(d[:10], "/", "-") + "T" + d[11:] + ":00:00Z")
		name := fmt.Sprintf("%s_vpcflowlogs_%s_%s_%s_%s.log", account, newRegion, id, t.Format("20060102T1504Z"), w.hex(8))
		write(filepath.Join(dir, "AWSLogs", account, "vpcflowlogs", newRegion, d[:10], name), []byte(strings.Join(lines, "\n")+"\n"))
	}
	home := w.homeFlows()
	var lines []string
	for _, f := range home {
		lines = append(lines, f.v2())
	}
	write(filepath.Join(dir, "cloudwatch-export", w.web.eni+"-all.log"), []byte(strings.Join(lines, "\n")+"\n"))
	facts["flowlogs"] = obj{"records_v5": records, "records_v2": len(lines), "nodata": 1, "skipdata": 1}
}

func sorted[V any](m map[string]V) []string {
	var s []string
	for k := range m {
		s = append(s, k)
	}
	slices.Sort(s)
	return s
}

func (w *world) rogueFlows(seen []flow, facts map[string]any) []flow {
	list := slices.Clone(seen)
	h := w.rogue
	span := func(t time.Time) bool { return !t.Before(captureStart.Truncate(time.Minute)) && t.Before(captureEnd) }
	begin, end := at("2026-10-14T02:10:00Z"), at("2026-10-16T09:30:00Z")
	for t := begin; t.Before(end); t = t.Add(10 * time.Minute) {
		if span(t) {
			continue // the capture's own packets stand there
		}
		m := t.Add(time.Duration(w.r.IntN(60)) * time.Second)
		if t.After(at("2026-10-14T02:20:00Z")) && w.r.IntN(8) > 0 {
			out, in := 30+w.r.IntN(60), 0
			in = out - w.r.IntN(3)
			list = both(list, h, peerIP, 0, 0, 1, m, out, out*(640+w.r.IntN(140)), in, in*(420+w.r.IntN(200)), true, "ACCEPT")
		}
		if w.r.IntN(3) == 0 {
			list = both(list, h, w.pick("192.0.2.30", "192.0.2.31"), 40000+w.r.IntN(20000), 123, 17, m, 1, 76, 1, 76, true, "ACCEPT")
		}
		if w.r.IntN(4) == 0 {
			list = both(list, h, "203.0.113.20", 40000+w.r.IntN(20000), 443, 6, m, 12+w.r.IntN(9), 1900+w.r.IntN(900), 14+w.r.IntN(9), 5200+w.r.IntN(9000), true, "ACCEPT")
		}
		if w.r.IntN(3) == 0 { // the Internet's background noise
			probe := fmt.Sprintf("203.0.113.%d", 100+w.r.IntN(80))
			list = both(list, h, probe, []int{23, 3389, 8080, 5900, 445}[w.r.IntN(5)], 40000+w.r.IntN(20000), 6, m, 0, 0, 1, 40+4*w.r.IntN(6), false, "REJECT")
		}
	}
	// The attacker logs in over SSH, twice.
	for _, s := range []string{"2026-10-14T02:09:12Z", "2026-10-14T23:31:05Z"} {
		list = both(list, h, badIP2, 22, 51514, 6, at(s), 214, 38112, 260, 29044, false, "ACCEPT")
	}
	// Ordinary pings of a name server, and what the log itself says it lost.
	list = both(list, h, "192.0.2.53", 0, 0, 1, at("2026-10-14T02:11:00Z"), 5, 420, 5, 420, true, "ACCEPT")
	none := flow{h: h, start: at("2026-10-14T02:04:00Z"), end: at("2026-10-14T02:04:59Z"), status: "NODATA"}
	lost := flow{h: h, start: at("2026-10-15T11:20:00Z"), end: at("2026-10-15T11:20:59Z"), status: "SKIPDATA"}
	list = append(list, none, lost)
	slices.SortStableFunc(list, func(a, b flow) int { return a.start.Compare(b.start) })
	icmp := obj{}
	var packets, out, in int
	for _, f := range list {
		if f.proto == 1 && (f.src == peerIP || f.dst == peerIP) {
			packets += f.packets
			if f.dir == "egress" {
				out += f.bytes
			} else {
				in += f.bytes
			}
		}
	}
	icmp["peer"], icmp["packets"], icmp["bytes_out"], icmp["bytes_in"] = peerIP, packets, out, in
	facts["flow_icmp"] = icmp
	return list
}

// homeFlows is one interface of the machine in evidence over two days: web
// traffic, updates, monitoring pings, the attacker's login.
func (w *world) homeFlows() []flow {
	var list []flow
	h := w.web
	for t := at("2026-10-13T12:00:00Z"); t.Before(at("2026-10-15T08:00:00Z")); t = t.Add(10 * time.Minute) {
		m := t.Add(time.Duration(w.r.IntN(60)) * time.Second)
		for range 1 + w.r.IntN(3) {
			list = both(list, h, fmt.Sprintf("203.0.113.%d", 1+w.r.IntN(40)), 443, 40000+w.r.IntN(20000), 6, m, 9+w.r.IntN(30), 3000+w.r.IntN(40000), 8+w.r.IntN(20), 900+w.r.IntN(4000), false, "ACCEPT")
		}
		if w.r.IntN(5) == 0 {
			list = both(list, h, fmt.Sprintf("203.0.113.%d", 100+w.r.IntN(90)), []int{22, 23, 3389}[w.r.IntN(3)], 40000+w.r.IntN(20000), 6, m, 0, 0, 1, 44, false, "REJECT")
		}
		if t.Minute() == 0 {
			list = both(list, h, "10.20.1.5", 0, 0, 1, m, 3, 252, 3, 252, false, "ACCEPT")
		}
	}
	list = both(list, h, badIP, 22, 40918, 6, at("2026-10-13T23:47:40Z"), 402, 71210, 391, 40117, false, "ACCEPT")
	list = both(list, h, badIP, 22, 42206, 6, at("2026-10-14T04:38:51Z"), 188, 30964, 201, 22480, false, "ACCEPT")
	slices.SortStableFunc(list, func(a, b flow) int { return a.start.Compare(b.start) })
	return list
}
