package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"snapcase/evidence"
	"snapcase/store"
)

func flowsCommand(e *edge) *cobra.Command {
	var q store.FlowQuery
	var port int64
	var from, to, group, format string
	c := &cobra.Command{
		Use:     "flows CASE",
		Short:   "Flow records of a VPC, or their sums by peer",
		Long:    "flows lists the records of flow logs. Two flow logs over one interface describe the same traffic: a record that both hold is listed twice, once marked as a copy (\"copy\":true), and summed once. Of files that --format reads again no copies are told.",
		Example: "snapcase flows case1 --instance i-0abc123def4567890 --protocol icmp\nsnapcase flows case1 --group peer --json",
		Args:    exactly(1, "one case or bundle"),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if q.From, err = parseTime("--from", from); err != nil {
				return err
			}
			if q.To, err = parseTime("--to", to); err != nil {
				return err
			}
			if group != "" && group != "peer" {
				return usageError{fmt.Errorf("--group %q: want peer", group)}
			}
			if c.Flags().Changed("port") {
				q.Port = &port
			}
			if format != "" {
				q.Format = strings.Fields(format)
			}
			cs, err := e.read(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer cs.Close() //nolint:errcheck // read-only
			if group == "peer" {
				err = e.flowPeers(c, cs, q)
			} else {
				err = e.flows(c, cs, q)
			}
			if err != nil {
				return err
			}
			err = e.gaps(c.Context(), cs, q.Exhibit, evidence.KindFlowLog)
			if group != "" { // a list that was not read whole may be missing
				if lists := e.gaps(c.Context(), cs, "", evidence.KindIntel); lists != nil {
					err = lists
				}
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&q.IP, "ip", "", "address on either side")
	f.StringVar(&q.Peer, "peer", "", "address on either side")
	f.StringVar(&q.Interface, "interface", "", "eni-…")
	f.StringVar(&q.Instance, "instance", "", "i-…")
	f.StringVar(&q.Protocol, "protocol", "", "icmp, tcp, udp, icmpv6 or a number")
	f.Int64Var(&port, "port", 0, "port on either side")
	f.StringVar(&q.Action, "action", "", "ACCEPT or REJECT")
	f.StringVar(&from, "from", "", "first time, RFC 3339 or a date")
	f.StringVar(&to, "to", "", "last time")
	f.StringVar(&q.Exhibit, "exhibit", "", "only this exhibit")
	f.StringVar(&group, "group", "", "peer: sums by remote address and protocol")
	f.StringVar(&format, "format", "", "LogFormat of files that have no header line")
	return c
}

func (e *edge) flows(c *cobra.Command, cs *store.Case, q store.FlowQuery) error {
	w := e.out()
	for f, err := range cs.Flows(c.Context(), q) {
		if err != nil {
			return err
		}
		if e.json {
			if err := emit(w, f); err != nil {
				return err
			}
			continue
		}
		row(w, stamp(f.Start), text(f.Interface), text(f.Instance), text(f.Src)+":"+number(f.SrcPort), "→", text(f.Dst)+":"+number(f.DstPort), text(f.Protocol), number(f.Packets)+" packets", number(f.Bytes)+" bytes", text(f.Action), text(f.Status), f.Record.String(), copyText(f.Copy))
	}
	return w.Flush()
}

func (e *edge) flowPeers(c *cobra.Command, cs *store.Case, q store.FlowQuery) error {
	peers, err := cs.FlowPeers(c.Context(), q)
	if err != nil {
		return err
	}
	w := e.out()
	for _, p := range peers {
		if e.json {
			if err := emit(w, p); err != nil {
				return err
			}
			continue
		}
		row(w, fmt.Sprintf("%-39s", p.Peer), fmt.Sprintf("%-6s", p.Protocol), fmt.Sprintf("%7d records %9d packets %12d bytes out %9d packets %12d bytes in", p.Records, p.PacketsOut, p.BytesOut, p.PacketsIn, p.BytesIn), stamp(p.First)+" to "+stamp(p.Last), listsText(p.Lists))
	}
	return w.Flush()
}

// copyText says of a record that sums leave it out.
func copyText(is bool) string {
	if is {
		return "(copy, not summed)"
	}
	return ""
}

func text(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

func number(n *int64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

func packetsCommand(e *edge) *cobra.Command {
	var q store.PacketQuery
	var vni int64
	c := &cobra.Command{
		Use:     "packets CASE",
		Short:   "Frames of captures, described by their innermost packet",
		Example: "snapcase packets case1 --protocol icmp --ip 198.51.100.77",
		Args:    exactly(1, "one case or bundle"),
		RunE: func(c *cobra.Command, args []string) error {
			if vni < 0 || vni >= 1<<24 {
				return usageError{fmt.Errorf("--vni %d: a VXLAN identifier is a number from 0 to %d", vni, 1<<24-1)}
			}
			if c.Flags().Changed("vni") {
				q.VNI = &vni
			}
			cs, err := e.read(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer cs.Close() //nolint:errcheck // read-only
			w := e.out()
			for p, err := range cs.Packets(c.Context(), q) {
				if err != nil {
					return err
				}
				if e.json {
					if err := emit(w, p); err != nil {
						return err
					}
					continue
				}
				packetText(w, p)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			return e.gaps(c.Context(), cs, q.Exhibit, evidence.KindPcap)
		},
	}
	f := c.Flags()
	f.StringVar(&q.IP, "ip", "", "address on either side")
	f.StringVar(&q.Protocol, "protocol", "", "icmp, tcp, udp, icmpv6 or a number")
	f.Int64Var(&vni, "vni", 0, "VXLAN network identifier")
	f.StringVar(&q.Exhibit, "exhibit", "", "only this exhibit")
	return c
}

func packetText(w io.Writer, p evidence.Packet) {
	detail := ""
	switch {
	case p.ICMP != nil:
		detail = fmt.Sprintf("type %d code %d id %s seq %s payload %d", p.ICMP.Type, p.ICMP.Code, number(p.ICMP.ID), number(p.ICMP.Seq), p.ICMP.PayloadBytes)
	case p.DNS != nil:
		detail = "dns " + p.DNS.Type + " " + p.DNS.Name + " " + strings.Join(p.DNS.Answers, " ")
	case p.SNI != nil:
		detail = "sni " + *p.SNI
	case p.HTTPHost != nil:
		detail = "http " + *p.HTTPHost
	}
	row(w, stamp(p.Time), text(p.Src)+":"+number(p.SrcPort), "→", text(p.Dst)+":"+number(p.DstPort), text(p.Protocol), fmt.Sprintf("%d bytes", p.Length), "vni "+number(p.VNI), detail, p.Record.String())
}
