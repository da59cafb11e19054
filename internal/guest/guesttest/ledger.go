package guesttest

import "github.com/dormouse-dev/dormouse/internal/guest"

// ledger is the account of one activation.
type ledger struct {
	guest  *Guest
	begun  uint32
	closed bool
	next   struct{ event, message uint32 } // of what comes next
	events []numbered
}

type numbered struct {
	event uint32
	guest.Event
}

// Ledger implements guest.Bookkeeper.
func (g *Guest) Ledger(guest.Object) guest.Ledger {
	if g.NoLedger {
		return nil
	}
	return &ledger{guest: g}
}

func (l *ledger) Next(event, message uint32) {
	l.next.event, l.next.message = event, message
	l.guest.noting = l
}

func (l *ledger) Begun(event uint32) { l.begun = event }

func (l *ledger) Close() (unbegun []guest.Event) {
	if l.closed || l.guest.gone { // what a dead guest leaves is for Remains
		return nil
	}
	l.closed = true
	for _, e := range l.events {
		if int32(e.event-l.begun) > 0 {
			unbegun = append(unbegun, e.Event)
		}
	}
	return unbegun
}

// note keeps an event that the guest is told.
func (g *Guest) note(e guest.Event) {
	l := g.noting
	if l == nil {
		return
	}
	g.noting = nil
	e.Number = l.next.message
	l.events = append(l.events, numbered{l.next.event, e})
}
