package tui

import (
	"context"
	"errors"
	"time"

	tea "charm.land/bubbletea/v2"

	"snapcase/evidence"
)

// asker makes the commands that ask the case. A question has a slot; a newer
// question of the same slot cancels the older one, whose answer is dropped.
// It is used from update only.
type asker struct {
	ctx     context.Context
	slots   map[string]*slot
	pending int
	after   func(d time.Duration, m tea.Msg) tea.Cmd // a message later; tests give one that never comes
}

type slot struct {
	gen    uint64
	cancel context.CancelFunc
	busy   bool
	slow   bool // 150 ms passed
}

// answer is what a question gave.
type answer struct {
	to   section
	slot string
	gen  uint64
	val  any
	err  error
}

// slowMsg says that a question has been under way for a while.
type slowMsg struct {
	slot string
	gen  uint64
}

// patience is how long a pane stays as it is before it says that it waits.
const patience = 150 * time.Millisecond

func newAsker(ctx context.Context) *asker {
	return &asker{ctx: ctx, slots: map[string]*slot{}, after: func(d time.Duration, m tea.Msg) tea.Cmd {
		return tea.Tick(d, func(time.Time) tea.Msg { return m })
	}}
}

// ask makes a command of f. The answer goes to the screen of section to.
func ask[T any](a *asker, to section, name string, f func(ctx context.Context) (T, error)) tea.Cmd {
	s := a.slots[name]
	if s == nil {
		s = &slot{}
		a.slots[name] = s
	}
	if s.cancel != nil {
		s.cancel()
	}
	ctx, cancel := context.WithCancel(a.ctx)
	s.gen++
	s.cancel, s.busy, s.slow = cancel, true, false
	a.pending++
	gen := s.gen
	return tea.Batch(
		func() tea.Msg {
			defer cancel()
			v, err := f(ctx)
			return answer{to: to, slot: name, gen: gen, val: v, err: err}
		},
		a.after(patience, slowMsg{name, gen}),
	)
}

// accept says whether an answer is still wanted.
func (a *asker) accept(m answer) bool {
	a.pending--
	s := a.slots[m.slot]
	if s == nil || s.gen != m.gen {
		return false
	}
	s.busy, s.slow = false, false
	return true
}

// late marks the slot of a question that takes its time.
func (a *asker) late(m slowMsg) {
	if s := a.slots[m.slot]; s != nil && s.gen == m.gen && s.busy {
		s.slow = true
	}
}

// cancel stops the questions of a slot; it says whether one was under way.
func (a *asker) cancel(name string) bool {
	s := a.slots[name]
	if s == nil || !s.busy {
		return false
	}
	s.cancel()
	s.gen++
	s.busy, s.slow = false, false
	return true
}

// busy says whether a slot waits for its answer, and whether it does so for
// longer than a moment.
func (a *asker) busy(name string) (waits, slow bool) {
	s := a.slots[name]
	if s == nil {
		return false, false
	}
	return s.busy, s.slow
}

// errStopped stands in a pane whose question the examiner stopped.
var errStopped = errors.New("stopped before it was answered")

// loaded is a value that is asked for as a whole.
type loaded[T any] struct {
	slot string
	val  T
	err  error
	done bool
}

// take keeps an answer; it says whether it was one for this value.
func (l *loaded[T]) take(m answer) bool {
	if m.slot != l.slot {
		return false
	}
	l.done, l.err = true, m.err
	if m.err == nil {
		l.val, _ = m.val.(T)
	}
	return true
}

// state is that of a pane which shows the value.
func (l *loaded[T]) state(a *asker, empty bool, words ...string) paneState {
	waits, slow := a.busy(l.slot)
	switch {
	case l.done && l.err != nil && !evidence.Canceled(l.err):
		return paneState{kind: isError, err: l.err}
	case !l.done || waits && empty:
		return paneState{kind: isLoading, slow: slow, stop: func() {
			a.cancel(l.slot)
			l.done, l.err = true, errStopped
		}}
	case empty:
		return paneState{kind: isEmpty, words: words}
	}
	return paneState{}
}
