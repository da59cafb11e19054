package e2e

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

// startWaiting serves rooms whose messages can be made to wait, in one guest.
func startWaiting(t *testing.T) *Dormouse {
	return StartDormouse(t, Options{Dir: Project(t, "waiting"), HibernateAfter: time.Minute, More: []string{"--guests", "1"}})
}

// tells says several things.
func (p *peer) tells(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.say(text)
	}
}

// hears waits for texts.
func (p *peer) hears(want ...string) {
	p.t.Helper()
	for _, w := range want {
		if got := p.hear(); got != w {
			p.t.Fatalf("%s said %q, want %q", p.name, got, w)
		}
	}
}

// TestMessagesThatWaitInAGuestThatDies: those behind a closed input gate are
// delivered, once and in order; those that had begun are reported one by one,
// also if their frames had long been handled.
func TestMessagesThatWaitInAGuestThatDies(t *testing.T) {
	d := startWaiting(t)
	amy, ben := dial(t, d, "amy"), dial(t, d, "ben")
	amy.say("one")
	amy.hears("one 1")
	amy.say("last")
	amy.hears("lasting")
	amy.say("hold")
	amy.hears("holding")
	amy.tells("a", "b", "c")
	ben.say("x")
	ben.hears("x 1") // by the same guest, so it has what amy said
	for _, pid := range d.GuestPIDs() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	amy.hears("a 1", "b 1", "c 1")
	ben.say("y")
	ben.hears("y 1")
	var numbers []uint64
	for _, u := range d.Unfinished() {
		numbers = append(numbers, u.Number)
	}
	slices.Sort(numbers)
	if !slices.Equal(numbers, []uint64{2, 3}) {
		t.Errorf("the messages %v are reported, want 2 and 3", numbers)
	}
}

// TestMessagesThatWaitWhenCodeChanges: an object that is never quiet moves at the
// deadline, and what waited in it is heard by the new code.
func TestMessagesThatWaitWhenCodeChanges(t *testing.T) {
	d := startWaiting(t)
	amy, ben := dial(t, d, "amy"), dial(t, d, "ben")
	amy.say("hold")
	amy.hears("holding")
	amy.tells("a", "b", "c")
	ben.say("x")
	ben.hears("x 1")
	d.Deploy(Project(t, "waiting", `"CODE": "1"`, `"CODE": "2"`), "--deploy-deadline", "200ms")
	amy.hears("a 2", "b 2", "c 2")
	ben.say("y")
	ben.hears("y 2")
}

// TestMessagesThatWaitInAnInstanceThatIsReset are for the next one, if the sockets
// stay.
func TestMessagesThatWaitInAnInstanceThatIsReset(t *testing.T) {
	d := startWaiting(t)
	amy := dial(t, d, "amy")
	amy.say("fall")
	amy.hears("falling")
	amy.tells("a", "b", "c")
	amy.hears("a 1", "b 1", "c 1")
	if u := d.Unfinished(); len(u) != 0 {
		t.Errorf("%v are reported, want none", u)
	}
}
