package e2e

import (
	"net/http"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/gobwas/ws"
)

// GuestKilled ends every guest under a room with people in it. Nobody may
// notice more than a pause.
func GuestKilled(t *testing.T, d *Dormouse) {
	room := roomOf(t)
	ada, bob := Visit(t, d.Target, room, "Ada"), Visit(t, d.Target, room, "Bob")
	bob.Send(ws.OpBinary, somePicture(40_000))
	key := ada.Hear("portrait").Person.Portrait
	bob.Say("Before.")
	ada.HearSaid("Before.")
	bob.HearSaid("Before.")
	before := ada.Last.AwakeSince

	pids := d.GuestPIDs()
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		d.waitGone("guest", pid)
	}
	bob.Ping() // needs no guest

	bob.Say("After.")
	if m := ada.HearSaid("After."); m.Name != "Bob" {
		t.Errorf("said by %q, want Bob", m.Name)
	}
	if ada.Last.AwakeSince == before {
		t.Errorf("the room answered as the instance of %d, whose process was killed", before)
	}
	late := Visit(t, d.Target, room, "Late").Welcome
	if want := []Person{{"Ada", ""}, {"Bob", key}, {"Late", ""}}; !slices.Equal(late.People, want) {
		t.Errorf("after the kill %+v are here, want %+v", late.People, want)
	}
	if got, want := texts(late.Messages), []string{"Before.", "After."}; !slices.Equal(got, want) {
		t.Errorf("after the kill the history is %q, want %q", got, want)
	}
	for _, pid := range d.GuestPIDs() {
		if slices.Contains(pids, pid) {
			t.Errorf("process %d is listed as a guest, but it was killed", pid)
		}
	}
	bob.Leave()
	if got := ada.Hear("quit").Name; got != "Bob" {
		t.Errorf("%q left, want Bob", got)
	}
}

// ServerEnded ends the server and starts it again on the same data. What was
// heard is there, and no guest is left of the first.
func ServerEnded(t *testing.T, o Options, end func(*Dormouse)) {
	o.Data = filepath.Join(t.TempDir(), "data")
	room := roomOf(t)
	d := StartDormouse(t, o)
	ada, bob := Visit(t, d.Target, room, "Ada"), Visit(t, d.Target, room, "Bob")
	bob.Send(ws.OpBinary, somePicture(40_000))
	key := ada.Hear("portrait").Person.Portrait
	bob.Say("Remember this.")
	last := ada.HearSaid("Remember this.") // heard, so it must be on disk
	pids := d.GuestPIDs()
	end(d)
	for _, pid := range pids {
		d.waitGone("guest", pid)
	}

	d = StartDormouse(t, o)
	welcome := Visit(t, d.Target, room, "Ada").Welcome
	if want := []Message{last}; !slices.Equal(welcome.Messages, want) {
		t.Errorf("after the start the history is %+v, want %+v", welcome.Messages, want)
	}
	if want := []string{"Ada"}; !slices.Equal(names(welcome.People), want) {
		t.Errorf("after the start %v are here, want %v", names(welcome.People), want)
	}
	// Nobody could delete Bob's portrait when his socket went; the room sweeps.
	if status, _, _ := get(t, d.Portrait(room, key)); status != http.StatusNotFound {
		t.Errorf("the portrait of somebody whose socket is gone gives %d, want %d", status, http.StatusNotFound)
	}
}

func texts(messages []Message) []string {
	var all []string
	for _, m := range messages {
		all = append(all, m.Text)
	}
	return all
}
