package tui

import (
	tea "charm.land/bubbletea/v2"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// describe writes the detail of the row under the cursor.
func (s *flowScreen) describe() tea.Cmd {
	w := max(s.width, 40)
	switch s.tab {
	case tabFlows:
		if f, ok := s.list.value(); ok {
			s.info.set(flowLines(f, w))
			return nil
		}
	case tabEcho:
		if p, ok := rowOf[pick](&s.echo); ok {
			if i, ok := p.row.(evidence.ICMPPair); ok {
				s.info.set(echoLines(i, w))
				return nil
			}
		}
	default:
		if p, ok := rowOf[pick](&s.talkers); ok {
			if f, ok := p.row.(evidence.FlowPeer); ok {
				s.info.set(talkerLines(f))
				return nil
			}
		}
	}
	s.info.set(nil)
	return nil
}

func flowLines(f evidence.Flow, w int) []widget.Line {
	n := widget.Normal
	l := []widget.Line{
		field(visible.Lit("window"), n, visible.Sprintf("%s – %s   a row is a window, not a packet", clockFull(f.Start), clockFull(f.End))),
		field(visible.Lit("from"), n, visible.Sprintf("%s   packet %s", escPtr(f.Src), escPtr(f.PktSrc))),
		field(visible.Lit("to"), n, visible.Sprintf("%s   packet %s", escPtr(f.Dst), escPtr(f.PktDst))),
		field(visible.Lit("traffic"), n, visible.Sprintf("%s packets, %s bytes, TCP flags %s, %s", number(f.Packets, count), number(f.Bytes, count), number(f.TCPFlags, count), escPtr(f.Direction))),
		field(visible.Lit("interface"), n, visible.Sprintf("%s   instance %s   vpc %s   subnet %s", escPtr(f.Interface), escPtr(f.Instance), escPtr(f.VPC), escPtr(f.Subnet))),
		field(visible.Lit("account"), n, visible.Sprintf("%s   %s   log status %s   version %s", escPtr(f.Account), escPtr(f.Region), escPtr(f.Status), number(f.Version, count))),
	}
	if f.Copy {
		l = append(l, field(visible.Lit("note"), widget.Warn, visible.Sprintf("a copy (%s): another flow log holds this record too; sums leave it out", escPtr(f.Action))))
	}
	if f.Protocol != nil && *f.Protocol == "icmp" {
		l = append(l, field(visible.Lit("note"), widget.Dim, visible.Lit("a flow log has no ICMP type or code; a capture has (tab ICMP)")))
	}
	return append(l, fields(w, visible.Lit("record"), widget.Dim, visible.Escape(f.Record.String()))...)
}

func echoLines(p evidence.ICMPPair, w int) []widget.Line {
	n := widget.Normal
	l := []widget.Line{
		field(visible.Lit("pair"), n, visible.Sprintf("%s ↔ %s", esc(p.Local), esc(p.Peer))),
		field(visible.Lit("time"), n, visible.Sprintf("%s – %s", clockFull(p.First), clockFull(p.Last))),
		field(visible.Lit("echo"), n, visible.Sprintf("%s requests, %s replies, %s bytes of payload, %.2f bits a byte", count(p.Requests), count(p.Replies), count(p.PayloadBytes), p.Entropy)),
	}
	for i, r := range p.Reasons {
		l = append(l, fields(w, first(i, visible.Lit("why")), n, visible.Escape(r))...)
	}
	l = append(l, fields(w, visible.Lit("reading"), widget.Dim, visible.Lit("consistent with; the examiner confirms. Path-MTU tests and monitoring also send large or regular echo."))...)
	for i, r := range p.Records {
		l = append(l, field(first(i, visible.Lit("frames")), widget.Dim, visible.Escape(r.String())))
	}
	return l
}

func talkerLines(p evidence.FlowPeer) []widget.Line {
	n := widget.Normal
	l := []widget.Line{
		field(visible.Lit("peer"), n, visible.Sprintf("%s   %s   %s", esc(p.Peer), esc(p.Protocol), escPtr(p.Country))),
		field(visible.Lit("out"), n, visible.Sprintf("%s packets, %s bytes", count(p.PacketsOut), count(p.BytesOut))),
		field(visible.Lit("in"), n, visible.Sprintf("%s packets, %s bytes", count(p.PacketsIn), count(p.BytesIn))),
		field(visible.Lit("records"), n, visible.Sprintf("%s: %s accepted, %s rejected", count(p.Records), count(p.Accepted), count(p.Rejected))),
		field(visible.Lit("time"), n, visible.Sprintf("%s – %s", clockFull(p.First), clockFull(p.Last))),
	}
	if p.Lower {
		l = append(l, field(visible.Lit("note"), widget.Warn, visible.Lit("! records were lost (SKIPDATA): lower bounds")))
	}
	return l
}
