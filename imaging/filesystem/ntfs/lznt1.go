package ntfs

const chunkSize = 4096

// lznt1 unpacks in to out, of which the rest is cleared: n is how much came
// out and ok says whether all of in made sense. A chunk is two bytes (length
// less three in the low 12 bits, the top bit set when it is packed), then
// plain bytes or groups of a flag byte and eight items: a byte, or a pair of
// distance and length whose bits are shared out by the place in the chunk.
func lznt1(out, in []byte) (n int, ok bool) {
	for len(in) >= 2 && n < len(out) {
		head := le.Uint16(in)
		if head == 0 {
			break
		}
		size := int(head&0xfff) + 1
		if size > len(in)-2 {
			clear(out[n:])
			return n, false
		}
		body := in[2 : 2+size]
		dst := out[n:min(n+chunkSize, len(out))]
		k := 0
		if head&0x8000 == 0 {
			k = copy(dst, body)
		} else if k, ok = chunk(dst, body); !ok {
			clear(out[n+k:])
			return n + k, false
		}
		clear(dst[k:])
		n += len(dst)
		in = in[2+size:]
	}
	clear(out[n:])
	return n, true
}

// chunk unpacks one packed chunk.
func chunk(out, in []byte) (n int, ok bool) {
	for i := 0; i < len(in); {
		flags := in[i]
		i++
		for bit := 0; bit < 8 && i < len(in); bit++ {
			if flags>>bit&1 == 0 {
				if n == len(out) {
					return n, false
				}
				out[n] = in[i]
				n++
				i++
				continue
			}
			if i+2 > len(in) || n == 0 {
				return n, false
			}
			pair := int(le.Uint16(in[i:]))
			i += 2
			shift := 12
			for v := n - 1; v >= 16; v >>= 1 {
				shift--
			}
			back, length := pair>>shift+1, pair&(1<<shift-1)+3
			if back > n || length > len(out)-n {
				return n, false
			}
			for range length {
				out[n] = out[n-back]
				n++
			}
		}
	}
	return n, true
}
