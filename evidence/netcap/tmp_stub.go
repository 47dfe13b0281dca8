package netcap

import "io"

func ReadFrame(r io.Reader, n int64) (Record, []byte, error) { panic("not built yet") }
