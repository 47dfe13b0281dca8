package netcap

import (
	"bytes"
	"testing"
)

// BenchmarkRead goes once through 200,000 frames of web traffic.
func BenchmarkRead(b *testing.B) {
	var fs []madeFrame
	for i := range 200000 {
		fs = append(fs, madeFrame{sec: int64(i / 5000), b: benchFrames[i%len(benchFrames)]})
	}
	file := makePcap(le, false, linkEthernet, fs)
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		n := 0
		for _, err := range Read(bytes.NewReader(file)) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != len(fs) {
			b.Fatal(n)
		}
	}
}

var benchFrames = func() (out [][]byte) {
	for i, n := range []int{0, 40, 400, 1400, 1400} {
		out = append(out, ether(etherIPv4, ip4(hostA, hostB, 6, tcp(4000+i, 443, noise(i, n)))))
	}
	return out
}()

// BenchmarkMirror reads and judges 200,000 frames of mirrored pings.
func BenchmarkMirror(b *testing.B) {
	k := newTalk()
	for i := range 100000 {
		request := i%2 == 0
		kind := map[bool]byte{true: 8}[request]
		k.raw(ether(etherIPv4, ip4("10.1.0.1", "10.1.0.2", 17, vxlan(7, ether(etherIPv4, ip4(hostA, hostB, 1, icmpEcho(kind, 7, i/2, linuxPing(k.now, 56))))))))
		k.raw(ether(etherIPv4, ip4("10.1.0.1", "10.1.0.2", 17, vxlan(7, ether(etherIPv4, ip4(hostA, hostB, 17, udp(4000, 53, dnsAsk("www.example", 1))))))))
	}
	file := makePcap(le, false, linkEthernet, k.frames)
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		var j Judge
		for r, err := range Read(bytes.NewReader(file)) {
			if err != nil {
				b.Fatal(err)
			}
			j.Add(&r, 1)
		}
		j.Pairs()
	}
}
