package ntfs

import "fmt"

// maxClusters bounds what one value maps: NTFS counts clusters in 32 bits.
const maxClusters = 1 << 32

// run is clusters of a value.
type run struct {
	vcn, n uint64
	lcn    int64 // -1: a hole
}

// appendRuns decodes the runs of an attribute behind those before; damage is
// "" or what stopped it. The volume has that many clusters.
func appendRuns(all []run, p []byte, vcn, clusters uint64) (_ []run, damage string) {
	lcn := int64(0)
	for len(p) > 0 && p[0] != 0 {
		nn, no := int(p[0]&15), int(p[0]>>4)
		if nn == 0 || nn > 8 || no > 8 || 1+nn+no > len(p) {
			return all, fmt.Sprintf("range: the run behind cluster %d of the content makes no sense", vcn)
		}
		n := uint64(0)
		for i := nn - 1; i >= 0; i-- {
			n = n<<8 | uint64(p[1+i])
		}
		if n == 0 || n > maxClusters || vcn > maxClusters-n {
			return all, fmt.Sprintf("range: a run of %d clusters behind cluster %d of the content", n, vcn)
		}
		r := run{vcn: vcn, n: n, lcn: -1}
		if no > 0 {
			d := int64(int8(p[nn+no])) //nolint:gosec // the sign
			for i := no - 2; i >= 0; i-- {
				d = d<<8 | int64(p[1+nn+i])
			}
			lcn += d
			if lcn < 0 || uint64(lcn) >= clusters || n > clusters-uint64(lcn) {
				join(&damage, "range: %d clusters from cluster %d lie outside the volume", n, lcn)
				r.lcn = -1
			} else {
				r.lcn = lcn
			}
		}
		all = append(all, r)
		vcn += n
		p = p[1+nn+no:]
	}
	return all, damage
}
