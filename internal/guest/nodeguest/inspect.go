//go:build unix

package nodeguest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dormouse-dev/dormouse/internal/guest/guestwire"
)

// inspection is what is known of a debugger in a guest. Owned by the loop.
type inspection struct {
	on      bool // one may be in: code is not ended for standing still
	waiting []func(url string, err error)
}

// answered takes the guest's answer.
func (i *inspection) answered(body []byte) error {
	url, failure, err := guestwire.ReadInspecting(body)
	if err != nil {
		return err
	}
	if failure != "" {
		err = fmt.Errorf("the guest cannot be inspected: %s", failure)
	}
	i.on = url != ""
	i.answer(url, err)
	return nil
}

func (i *inspection) answer(url string, err error) {
	waiting := i.waiting
	i.waiting = nil
	for _, f := range waiting {
		f(url, err)
	}
}

func (i *inspection) over() { i.answer("", errors.New("the guest has ended")) }

// ErrNoGuest is returned for a guest that does not run in this slot.
var ErrNoGuest = errors.New("there is no such guest here")

// Inspect lets a debugger into a guest that runs, on loopback, or no longer, and
// returns its URL. A guest that stands at a breakpoint does not answer. Any
// goroutine.
func (s *Slot) Inspect(ctx context.Context, incarnation uint32, on bool) (string, error) {
	type answer struct {
		url string
		err error
	}
	got := make(chan answer, 1)
	s.cfg.Loop.Post(func() {
		i := slices.IndexFunc(s.procs, func(p *Process) bool { return p.incarnation == incarnation && p.ready && p.alive() })
		if i < 0 {
			got <- answer{err: ErrNoGuest}
			return
		}
		p := s.procs[i]
		if on {
			p.inspection.on = true // from now on: it may stand still before it answers
		}
		p.inspection.waiting = append(p.inspection.waiting, func(url string, err error) { got <- answer{url, err} })
		p.out.Inspect(on)
		p.flush()
	})
	select {
	case a := <-got:
		return a.url, a.err
	case <-ctx.Done():
		return "", errors.New("the guest does not answer; does it stand at a breakpoint?")
	}
}
