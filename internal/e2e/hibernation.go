package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// hibernation leaves a room alone until it has left memory, and then looks
// whether everything is there that must be: sockets, names, portraits, what a
// client has spent of its rate limit, and what was said.
func hibernation(t *testing.T, s Target) {
	room := roomOf(t)
	ada, bob := Visit(t, s, room, "Ada"), Visit(t, s, room, "Bob")
	ada.Hear("join")
	picture := somePicture(40_000)
	bob.Send(ws.OpBinary, picture)
	key := bob.Hear("portrait").Person.Portrait
	for i := range burst {
		ada.Say(fmt.Sprint("number ", i))
	}
	bob.HearSaid(fmt.Sprint("number ", burst-1))
	ada.HearSaid(fmt.Sprint("number ", burst-1))
	spent := time.Now()
	before := ada.Last.AwakeSince

	asleep(t, s, room)
	// The runtime answers these, and nobody wakes.
	ada.Ping()
	bob.Ping()
	pinged := time.Now()
	if s.Asleep != nil {
		if is, err := s.Asleep(t.Context(), room); err != nil || !is {
			t.Errorf("after pings the room sleeps: %v (%v), want that it does", is, err)
		}
	}

	bob.Say("Anybody awake?")
	if m := ada.HearSaid("Anybody awake?"); m.Name != "Bob" {
		t.Errorf("said by %q, want Bob", m.Name)
	}
	woke := ada.Last.AwakeSince
	if woke == before {
		t.Fatalf("the room answered as the instance of %d, which should have left memory", before)
	}
	// One machine, one clock: the instance is younger than the pings.
	if woke < pinged.UnixMilli() {
		t.Errorf("the room has been awake since %d, before the pings of %d were answered: a ping woke it", woke, pinged.UnixMilli())
	}

	late := Visit(t, s, room, "Late").Welcome
	if want := []Person{{"Ada", ""}, {"Bob", key}, {"Late", ""}}; !slices.Equal(late.People, want) {
		t.Errorf("after the sleep %+v are here, want %+v", late.People, want)
	}
	if len(late.Messages) != burst+1 {
		t.Errorf("after the sleep the history has %d messages, want %d", len(late.Messages), burst+1)
	}
	if status, body, _ := get(t, s.Portrait(room, key)); status != http.StatusOK || !bytes.Equal(body, picture) {
		t.Errorf("after the sleep the portrait is %d bytes, status %d; want the %d that were sent", len(body), status, len(picture))
	}

	// Ada had spent everything. A room that forgot it would let all of these in.
	for i := range burst {
		ada.SayAs("again", fmt.Sprint("again ", i))
	}
	heard := ada.HearAll(func(n News) bool { return n.Type == "slow" || n.Message.Ref == fmt.Sprint("again ", burst-1) })
	if time.Since(spent) > (burst-1)*pace {
		t.Log("too slow to tell: by now Ada may speak as if nothing had been said")
	} else if heard[len(heard)-1].Type != "slow" {
		t.Errorf("Ada said %d messages, want her rate limit to have outlasted the sleep", burst)
	}

	bob.Leave()
	if got := ada.Hear("quit").Name; got != "Bob" {
		t.Errorf("%q left, want Bob", got)
	}
}

// asleep waits until a room has left memory.
func asleep(t *testing.T, s Target, room string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*s.HibernateAfter+limit)
	defer cancel()
	if err := s.WaitAsleep(ctx, room); err != nil {
		t.Fatal(err)
	}
}
