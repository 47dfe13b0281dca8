package netcap

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"snapcase/imaging"
)

var le = binary.LittleEndian

// sample is a few frames of one kind each.
func sample() []madeFrame {
	fs := frames(
		ether(etherIPv4, ip4(hostA, hostB, 1, icmpEcho(8, 7, 1, linuxPing(1767658000, 56)))),
		ether(etherIPv4, ip4(hostA, hostB, 17, udp(4000, 53, dnsAsk("a.example", 1)))),
		ether(etherARP, make([]byte, 28)),
		ether(etherIPv4, ip4(hostA, hostB, 6, tcp(4000, 80, []byte("GET / HTTP/1.1\r\nHost: x.example\r\n\r\n")))),
	)
	fs[1].nsec = 999999000
	return fs
}

func zip(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

func TestClassic(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{le, be} {
		for _, nano := range []bool{false, true} {
			fs := sample()
			if nano {
				fs[2].nsec = 123456789
			}
			file := makePcap(order, nano, linkEthernet, fs)
			for _, file := range [][]byte{file, zip(file)} {
				recs, bad := all(t, file)
				if len(recs) != len(fs) || len(bad) != 0 {
					t.Fatalf("%d records, %v", len(recs), bad)
				}
				offset := int64(fileHeader)
				for i, r := range recs {
					if r.N != int64(i+1) || r.Offset != offset || r.Time != at(fs[i].sec, int32(fs[i].nsec)) || r.Length != int64(len(fs[i].b)) || r.Captured != r.Length {
						t.Errorf("%+v, want offset %d and %+v", r, offset, fs[i])
					}
					offset += frameHeader + r.Captured
				}
			}
		}
	}
}

// TestOldVersions: before 2.3 the two lengths stand the other way round, in
// 2.3 some of them do.
func TestOldVersions(t *testing.T) {
	for minor, swapped := range map[byte][]bool{2: {true}, 3: {true, false}, 4: {false}} {
		for _, swap := range swapped {
			f := sample()[:1]
			f[0].length = len(f[0].b) + 100
			file := makePcap(le, false, linkEthernet, f)
			file[6] = minor
			if swap {
				length := bytes.Clone(file[fileHeader+12 : fileHeader+16])
				copy(file[fileHeader+12:], file[fileHeader+8:fileHeader+12])
				copy(file[fileHeader+8:], length)
			}
			recs, bad := all(t, file)
			if len(recs) != 1 || len(bad) != 0 || recs[0].Length != int64(f[0].length) || !recs[0].Truncated() {
				t.Errorf("2.%d: %+v, %v", minor, recs, bad)
			}
		}
	}
}

func sampleNG() (file []byte, want []imaging.Time) {
	f := sample()
	const day = 86400
	file = cat(
		ngSection(le, 1),
		ngInterface(le, linkEthernet, 0),
		ngInterface(le, linkEthernet, 60, ngOption(le, 2, []byte("eth1")), ngOption(le, optResol, []byte{9}), ngOption(le, optEnd, nil)),
		ngPacket(le, 0, 1767658000_123456, f[0].b),
		ngPacket(le, 1, 1767658001_123456789, f[1].b, ngOption(le, 1, []byte("a comment")), ngOption(le, 0, nil)),
		ngBlock(le, blockCustom, []byte("\x01\x02\x03\x04what another program keeps here")),
		ngSection(be, 1),
		ngInterface(be, linkRaw, 30, ngOption(be, optResol, []byte{0x8a}), ngOption(be, optOffset, be.AppendUint64(nil, ^uint64(day)+1))),
		ngPacket(be, 0, (1767658002+day)<<10|512, f[0].b[14:]),
		ngOld(be, 0, (1767658003+day)<<10, f[3].b[14:]),
		ngSimple(be, len(f[0].b)-14, f[0].b[14:44]),
	)
	return file, []imaging.Time{at(1767658000, 123456000), at(1767658001, 123456789), at(1767658002, 500000000), at(1767658003, 0), {}}
}

func TestNG(t *testing.T) {
	file, want := sampleNG()
	for _, file := range [][]byte{file, zip(file)} {
		recs, bad := all(t, file)
		if len(recs) != len(want) || len(bad) != 0 {
			t.Fatalf("%d records, %v", len(recs), bad)
		}
		for i, r := range recs {
			if r.N != int64(i+1) || r.Time != want[i] {
				t.Errorf("frame %d: number %d, %v, want %v", i+1, r.N, r.Time, want[i])
			}
		}
		if r := recs[1]; r.DNS == nil || r.DNS.Name != "a.example" {
			t.Errorf("%+v", r)
		}
		if r := recs[4]; r.Captured != 30 || !r.Truncated() || r.ICMP == nil || r.ICMP.PayloadBytes != 56 || len(r.ICMP.Payload) != 2 {
			t.Errorf("simple packet: %+v", r)
		}
	}
}

// TestTimeUnits covers the resolutions that a file may declare.
func TestTimeUnits(t *testing.T) {
	for _, c := range []struct {
		resol byte
		stamp uint64
		sec   uint64
		nsec  uint64
	}{
		{0, 77, 77, 0},
		{3, 77012, 77, 12000000},
		{6, 77000001, 77, 1000},
		{9, 77000000001, 77, 1},
		{12, 77000000001999, 77, 1},
		{19, 1<<64 - 1, 1, 844674407},
		{20, 1<<64 - 1, 0, 184467440},
		{28, 1<<64 - 1, 0, 1},
		{127, 1<<64 - 1, 0, 0},
		{0x80, 77, 77, 0},
		{0x80 | 1, 155, 77, 500000000},
		{0x80 | 32, 77<<32 | 1<<31, 77, 500000000},
		{0x80 | 63, 1<<64 - 1, 1, 999999999},
		{0x80 | 64, 1 << 63, 0, 500000000},
		{0x80 | 65, 1 << 63, 0, 250000000},
		{0x80 | 127, 1<<64 - 1, 0, 0},
	} {
		if sec, nsec := split(c.stamp, c.resol); sec != c.sec || nsec != c.nsec {
			t.Errorf("resolution %#x of %d: %d.%09d, want %d.%09d", c.resol, c.stamp, sec, nsec, c.sec, c.nsec)
		}
	}
	for _, c := range []capturer{{resol: 0}, {resol: 6, offset: 1<<63 - 1}, {resol: 6, offset: -1 << 63}, {resol: 6, broken: true}} {
		if got := c.time(1 << 62); got.Set {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestCutAnywhere: a file cut at any byte gives the frames before the cut as
// they were, and one report.
func TestCutAnywhere(t *testing.T) {
	ng, _ := sampleNG()
	for name, file := range map[string][]byte{"pcap": makePcap(be, true, linkEthernet, sample()), "pcapng": ng} {
		whole, _ := all(t, file)
		for n := range len(file) {
			recs, bad := all(t, file[:n])
			if len(bad) > 1 {
				t.Fatalf("%s cut at %d: %v", name, n, bad)
			}
			for i := range recs {
				if lineOf(&recs[i]) != lineOf(&whole[i]) || recs[i].Offset != whole[i].Offset {
					t.Errorf("%s cut at %d: frame %d is another", name, n, i+1)
				}
			}
			if len(bad) == 1 && bad[0].N != int64(len(recs)+1) {
				t.Errorf("%s cut at %d: %v after %d frames", name, n, bad[0], len(recs))
			}
			clean := len(bad) == 0
			atFrame := n >= fileHeader && name == "pcap" && (len(recs) == len(whole) || whole[len(recs)].Offset == int64(n))
			if name == "pcap" && clean != atFrame {
				t.Errorf("pcap cut at %d: %v after %d frames", n, bad, len(recs))
			}
		}
	}
}

func TestDamagedClassic(t *testing.T) {
	file := makePcap(le, false, linkEthernet, sample())
	whole, _ := all(t, file)
	third := int(whole[2].Offset)
	le.PutUint32(file[third+8:], 1<<31)
	recs, bad := all(t, file)
	if len(recs) != 2 || len(bad) != 1 || bad[0].N != 3 || bad[0].Offset != int64(third) || !strings.Contains(bad[0].Reason, "2147483648") {
		t.Errorf("%d records, %v", len(recs), bad)
	}
	for reason, file := range map[string][]byte{
		"the file is empty":                      nil,
		"inside the file header":                 {0xd4, 0xc3},
		"begins with 6e6f7468":                   []byte("nothing of the kind"),
		"pcap version 3.4 is not read":           append([]byte{0xd4, 0xc3, 0xb2, 0xa1, 3, 0, 4, 0}, make([]byte, 16)...),
		"the gzip stream is cut short":           zip(makePcap(le, false, 1, sample()))[:60],
		"gzip: invalid header":                   {0x1f, 0x8b, 9, 9, 9, 9, 9, 9, 9, 9, 9},
		"a section header with the byte order m": append([]byte{10, 13, 13, 10, 28, 0, 0, 0}, make([]byte, 30)...),
	} {
		recs, bad := all(t, file)
		if len(bad) != 1 || !strings.Contains(bad[0].Error(), reason) {
			t.Errorf("want %q: %d records, %v", reason, len(recs), bad)
		}
	}
}

// TestDamagedNG: behind a damaged block the walk finds the next one.
func TestDamagedNG(t *testing.T) {
	f := sample()
	head := cat(ngSection(le, 1), ngInterface(le, linkEthernet, 0))
	// A frame that carries a capture must not be taken for its blocks.
	carrier := ngPacket(le, 0, 2, ether(etherIPv4, ip4(hostA, hostB, 6, tcp(80, 4000, cat([]byte("xx"), head, ngPacket(le, 0, 9, f[2].b))))))
	p := func(i int) []byte { return ngPacket(le, 0, uint64(i), f[i].b) }
	change := func(b []byte, at int, v uint32) []byte {
		b = bytes.Clone(b)
		le.PutUint32(b[at:], v)
		return b
	}
	end := func(b []byte) int { return len(b) - 4 }
	for name, c := range map[string]struct {
		file       []byte
		good, bad  int
		badReasons string
	}{
		"length again":            {cat(head, p(0), change(p(1), end(p(1)), 12), p(2), p(3)), 3, 1, "ends as one of 12"},
		"length":                  {cat(head, p(0), change(p(1), 4, 16), p(2), p(3)), 3, 1, "bytes are not read"},
		"length absurd":           {cat(head, p(0), change(p(1), 4, 1<<31), p(2), p(3)), 3, 1, "2147483648"},
		"length odd":              {cat(head, p(0), change(p(1), 4, 33), p(2), p(3)), 3, 1, "33"},
		"length behind the end":   {cat(head, p(0), change(p(1), 4, 1<<22), p(2), p(3)), 3, 1, "none that its packet needs"},
		"length of a carrier":     {cat(head, p(0), change(carrier, 4, 1<<22), p(3)), 2, 1, "none that its packet needs"},
		"length again, a carrier": {cat(head, p(0), change(carrier, end(carrier), 1<<22), p(3)), 2, 1, "ends as one"},
		"captured length":         {cat(head, p(0), change(p(1), 20, 1<<30), p(2)), 2, 1, "more than 262144"},
		"captured a bit long":     {cat(head, p(0), change(p(1), 20, 200), p(2)), 2, 1, "room for"},
		"unknown interface":       {cat(head, p(0), change(p(1), 8, 5), p(2)), 2, 1, "interface 5"},
		"no interface":            {cat(ngSection(le, 1), p(0), p(1)), 0, 2, "interface 0"},
		"lost bytes":              {cat(head, p(0), p(1)[9:], p(2), p(3)), 3, 1, "bytes are not read"},
		"zeros":                   {cat(head, p(0), make([]byte, 4099), p(1)), 2, 1, "4099 bytes are not read"},
		"far":                     {cat(head, p(0), make([]byte, 3<<20+1), p(1)), 2, 1, "3145729 bytes are not read"},
		"to the end":              {cat(head, p(0), bytes.Repeat([]byte{6, 0, 0, 0}, 1<<19)), 1, 1, "2097152 bytes are not read"},
		"short packet block":      {cat(head, ngBlock(le, blockPacket, make([]byte, 16)), p(1)), 1, 1, "too short"},
		"short simple block":      {cat(head, ngBlock(le, blockSimple, nil), p(1)), 1, 1, "too short"},
		"short section header":    {cat(ngBlock(le, blockSection, []byte{0x4d, 0x3c, 0x2b, 0x1a}), p(0), head, p(1)), 1, 1, "section"},
		"section of the future":   {cat(ngSection(le, 2), ngInterface(le, 1, 0), p(0), head, p(1)), 1, 1, "version 2.0"},
		"broken options":          {cat(ngSection(le, 1), ngInterface(le, 1, 0, []byte{9, 0, 99, 0}), p(1)), 1, 1, "times of its frames are not known"},
		"short interface":         {cat(ngSection(le, 1), ngBlock(le, blockInterface, []byte{1, 0, 0, 0}), p(1)), 1, 1, "too short"},
	} {
		recs, bad := all(t, c.file)
		if len(recs) != c.good || len(bad) != c.bad || !strings.Contains(bad[0].Reason, c.badReasons) {
			t.Errorf("%s: %d records, want %d; %v", name, len(recs), c.good, bad)
		}
		seen := map[int64]bool{}
		for _, r := range recs {
			if seen[r.N] {
				t.Errorf("%s: two frames have the number %d", name, r.N)
			}
			seen[r.N] = true
		}
	}
}

// TestBrokenOptionsHideTimes: where the resolution may be lost, no time is
// better than a wrong one.
func TestBrokenOptionsHideTimes(t *testing.T) {
	recs, _ := all(t, cat(ngSection(le, 1), ngInterface(le, 1, 0, []byte{9, 0, 99, 0}), ngPacket(le, 0, 1767658000_000000, sample()[0].b)))
	if recs[0].Time.Set || recs[0].ICMP == nil {
		t.Errorf("%+v", recs[0])
	}
}

func TestFailingReader(t *testing.T) {
	broken := errors.New("the disk is broken")
	file := makePcap(le, false, linkEthernet, sample())
	for _, file := range [][]byte{file, zip(file)} {
		r := io.MultiReader(bytes.NewReader(file[:len(file)-5]), iotest.ErrReader(broken))
		var last error
		for _, err := range Read(r) {
			last = err
		}
		var bad *BadFrame
		if !errors.Is(last, broken) || errors.As(last, &bad) {
			t.Errorf("%v", last)
		}
	}
	for _, err := range Read(iotest.DataErrReader(iotest.OneByteReader(bytes.NewReader(file)))) {
		if err != nil {
			t.Error(err)
		}
	}
	if _, _, err := ReadFrame(iotest.ErrReader(broken), 1); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestStop(t *testing.T) {
	ng, _ := sampleNG()
	for _, file := range [][]byte{makePcap(le, false, 1, sample()), ng, []byte("x")} {
		for range Read(bytes.NewReader(file)) {
			break
		}
	}
}

func TestReadFrame(t *testing.T) {
	ng, _ := sampleNG()
	damaged := makePcap(le, false, linkEthernet, sample())
	damaged = damaged[:len(damaged)-3]
	for _, file := range [][]byte{makePcap(le, false, 1, sample()), ng, zip(ng), damaged} {
		recs, bad := all(t, file)
		for _, want := range recs {
			r, b, err := ReadFrame(bytes.NewReader(file), want.N)
			if err != nil || lineOf(&r) != lineOf(&want) || r.Offset != want.Offset || int64(len(b)) != want.Captured {
				t.Errorf("frame %d: %+v, %d bytes, %v", want.N, r, len(b), err)
			}
		}
		for _, want := range bad {
			var got *BadFrame
			if _, _, err := ReadFrame(bytes.NewReader(file), want.N); !errors.As(err, &got) || *got != *want {
				t.Errorf("bad frame %d: %v", want.N, err)
			}
		}
		for _, n := range []int64{-1, 0, int64(len(recs)+len(bad)) + 1} {
			if r, b, err := ReadFrame(bytes.NewReader(file), n); err == nil {
				t.Errorf("frame %d: %+v, %x", n, r, b)
			}
		}
	}
}
