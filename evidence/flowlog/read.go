package flowlog

import (
	"bufio"
	"bytes"
	"io"
	"iter"
	"net/netip"
	"strconv"
	"strings"

	"snapcase/imaging"

	"github.com/klauspost/compress/gzip"
)

var v2 = strings.Fields("version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status")

func Read(r io.Reader) iter.Seq2[Record, error] { return ReadFormat(r, nil) }

func ReadFormat(r io.Reader, format []string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		br := bufio.NewReaderSize(r, 1<<16)
		if h, _ := br.Peek(2); len(h) == 2 && h[0] == 0x1f && h[1] == 0x8b {
			z, err := gzip.NewReader(br)
			if err != nil {
				yield(Record{}, &BadRecord{Reason: err.Error()})
				return
			}
			br = bufio.NewReaderSize(z, 1<<16)
		}
		strs := map[string]string{}
		in := func(b []byte) string {
			if s, ok := strs[string(b)]; ok {
				return s
			}
			s := string(b)
			strs[s] = s
			return s
		}
		fields := format
		var off, n, line int64
		for {
			l, err := br.ReadSlice('\n')
			if len(l) == 0 && err != nil {
				if err != io.EOF {
					yield(Record{}, &BadRecord{Offset: off, Reason: err.Error()})
				}
				return
			}
			if err != nil && err != io.EOF {
				yield(Record{}, &BadRecord{Offset: off, Reason: err.Error()})
				return
			}
			line++
			start := off
			off += int64(len(l))
			l = bytes.TrimRight(l, "\n")
			if len(l) == 0 {
				continue
			}
			if bytes.Contains(l, []byte("interface-id")) {
				fields = strings.Fields(string(l))
				continue
			}
			n++
			fs := fields
			if fs == nil {
				fs = v2
			}
			rec := Record{N: n, Line: line, Offset: start, Length: int64(len(l)), Version: -1, SrcPort: -1, DstPort: -1, Protocol: -1, Packets: -1, Bytes: -1, TCPFlags: -1}
			i := 0
			rest := l
			bad := ""
			for len(rest) > 0 {
				var v []byte
				v, rest, _ = bytes.Cut(rest, []byte(" "))
				if i >= len(fs) {
					bad = "more fields"
					break
				}
				name := fs[i]
				i++
				if len(v) == 1 && v[0] == '-' {
					continue
				}
				num := func() int64 {
					x, err := strconv.ParseInt(string(v), 10, 64)
					if err != nil || x < 0 {
						bad = "bad number"
					}
					return x
				}
				addr := func() netip.Addr {
					a, err := netip.ParseAddr(string(v))
					if err != nil {
						bad = "bad address"
					}
					return a
				}
				switch name {
				case "version":
					rec.Version = num()
				case "account-id":
					rec.Account = in(v)
				case "interface-id":
					rec.Interface = in(v)
				case "srcaddr":
					rec.Src = addr()
				case "dstaddr":
					rec.Dst = addr()
				case "pkt-srcaddr":
					rec.PktSrc = addr()
				case "pkt-dstaddr":
					rec.PktDst = addr()
				case "srcport":
					rec.SrcPort = num()
				case "dstport":
					rec.DstPort = num()
				case "protocol":
					rec.Protocol = num()
				case "packets":
					rec.Packets = num()
				case "bytes":
					rec.Bytes = num()
				case "tcp-flags":
					rec.TCPFlags = num()
				case "start":
					rec.Start = imaging.Time{Sec: num(), Set: true}
				case "end":
					rec.End = imaging.Time{Sec: num(), Set: true}
				case "action":
					rec.Action = in(v)
				case "log-status":
					rec.Status = in(v)
				case "vpc-id":
					rec.VPC = in(v)
				case "subnet-id":
					rec.Subnet = in(v)
				case "instance-id":
					rec.Instance = in(v)
				case "region":
					rec.Region = in(v)
				case "flow-direction":
					rec.Direction = in(v)
				default:
					rec.Other = append(rec.Other, Field{in([]byte(name)), in(v)})
				}
			}
			if i < len(fs) {
				bad = "fewer fields"
			}
			if bad != "" {
				if !yield(Record{}, &BadRecord{N: n, Line: line, Offset: start, Reason: bad}) {
					return
				}
				continue
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}
