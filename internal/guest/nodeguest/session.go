//go:build unix

package nodeguest

import (
	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

var _ guest.RPC = (*Process)(nil)

// The contract of sessions, one frame for each method.

func (p *Process) BeginSession(x guest.Session, o guest.Object, s *guest.Opening) {
	if p.alive() {
		p.out.BeginSession(x, o, s)
	}
}

func (p *Process) SessionMessage(x guest.Session, b []byte) {
	if p.alive() {
		p.out.SessionMessage(x, b)
	}
}

func (p *Process) SessionCredit(x guest.Session, n uint32) {
	if p.alive() {
		p.out.SessionCredit(x, n)
	}
}

func (p *Process) SessionClose(x guest.Session, last []byte) {
	if p.alive() {
		p.out.SessionClose(x, last)
	}
}

func (p *Process) SessionFailure(x guest.Session, e *dormouse.Error) {
	if p.alive() {
		p.out.SessionFailure(x, e)
	}
}
