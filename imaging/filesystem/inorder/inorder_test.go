package inorder

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestDo uses results in order, whichever is done first, and no more after the
// first error of work, of use and of the context.
func TestDo(t *testing.T) {
	var got []int
	work := func(worker, i int) (int, error) {
		if worker < 0 || worker >= Workers() {
			t.Errorf("worker %d of %d", worker, Workers())
		}
		time.Sleep(time.Duration((i*7)%5) * 100 * time.Microsecond)
		return i * i, nil
	}
	use := func(i, v int) error {
		if v != i*i || i != len(got) {
			t.Errorf("%d: %d, after %d others", i, v, len(got))
		}
		got = append(got, v)
		return nil
	}
	if err := Do(t.Context(), 200, work, use); err != nil || len(got) != 200 {
		t.Fatalf("%d results: %v", len(got), err)
	}
	if err := Do(t.Context(), 0, work, use); err != nil {
		t.Error(err)
	}

	bad := errors.New("bad")
	ctx, cancel := context.WithCancel(t.Context())
	for name, c := range map[string]struct {
		ctx  context.Context
		work func(worker, i int) (int, error)
		use  func(i, v int) error
		want error
	}{
		"work": {t.Context(), func(_, i int) (int, error) {
			if i == 20 {
				return 0, bad
			}
			return i, nil
		}, func(int, int) error { return nil }, bad},
		"use": {t.Context(), func(_, i int) (int, error) { return i, nil }, func(i, _ int) error {
			if i == 20 {
				return bad
			}
			return nil
		}, bad},
		"context": {ctx, func(_, i int) (int, error) { return i, nil }, func(i, _ int) error {
			if i == 20 {
				cancel()
			}
			return nil
		}, context.Canceled},
	} {
		most := 0
		err := Do(c.ctx, 1_000_000, c.work, func(i, v int) error { most = i; return c.use(i, v) })
		if !errors.Is(err, c.want) || most < 19 || name != "context" && most > 20 {
			t.Errorf("%s: %v after %d", name, err, most)
		}
	}
}
