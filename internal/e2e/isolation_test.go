package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestKillerGetsAGuestOfItsOwn: an object that ends its guest again and again is
// not started for a while, longer each time, and then where it harms nobody. Who
// looks can see all of it; its socket and those of its neighbours stay.
func TestKillerGetsAGuestOfItsOwn(t *testing.T) {
	t.Parallel()
	d := startRunaway(t)
	bad, good := pairOf(t, d)
	const kills = "loop in a query" // only the end of the process ends it
	shared := d.GuestPIDs()[0]
	bad.say(kills)
	d.waitGone("the guest of all", shared)
	good.ask("with another guest")
	shared = d.shared()
	bad.say(kills)
	d.waitGone("the guest of all, again", shared)
	d.deaths(bad, 2)
	neighbour := good.ask("with a third guest")
	shared = d.shared()

	bad.ask("alone now")
	row, _ := d.Object(bad.name)
	guests := d.Guests()
	own := slices.IndexFunc(guests, func(g Guest) bool { return g.Place != "" && g.Place == row.Place && g.State == "running" })
	if own < 0 || row.Guest != guests[own].ID {
		t.Fatalf("the object is in guest %d, %q, want one of its own of %+v", row.Guest, row.Place, guests)
	}
	// For a while, longer each time, it can be seen that it is isolated: a slow
	// machine may need more than one look.
	for n, seen := 3, false; !seen; n++ {
		if n == 7 {
			t.Fatal("it is never seen isolated")
		}
		bad.say(kills)
		d.deaths(bad, n)
		row, _ := d.Object(bad.name)
		seen = row.IsolatedUntil != nil && d.metric("dormouse_objects_isolated") == 1
	}
	if r := good.ask("and of this nothing"); r.Born != neighbour.Born || r.Count != neighbour.Count+1 {
		t.Errorf("the neighbour answered %+v after %+v: it was to notice nothing", r, neighbour)
	}
	if now := d.shared(); now != shared {
		t.Errorf("the guest of all is process %d, was %d", now, shared)
	}
	if n := d.metric(`dormouse_guest_restarts_total{slot="0"}`); n != 2 {
		t.Errorf("the guest of all has ended %v times, want 2", n)
	}
	// Each pause is twice the one before.
	d.waitLog(t, "times=2 pause=1s own_guest=true")
	d.waitLog(t, "times=3 pause=2s own_guest=true")
	bad.say("attachment and tags") // waits
	if got, want := bad.hear(), `["kept",["visitor"]]`; got != want {
		t.Errorf("attachment and tags are %s, want %s", got, want)
	}
}

// TestPlacementOfAClass: its objects have a guest of their own from the start, and
// its death is none of the Worker's.
func TestPlacementOfAClass(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "runaway")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root(t), "internal/e2e/testdata/runaway"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "dormouse.jsonc"), []byte(`{"classes": {"Misbehaving": {"placement": "own"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	d := StartDormouse(t, Options{Dir: dir, More: []string{"--guests", "1"}})
	one := dial(t, d, "one")
	one.ask("who?")
	row, _ := d.Object("one")
	if row.Place != "class:Misbehaving" {
		t.Fatalf("the object is in place %q", row.Place)
	}
	shared, guests := d.shared(), d.Guests()
	at := slices.IndexFunc(guests, func(g Guest) bool { return g.ID == row.Guest })
	if at < 0 || guests[at].PID == shared {
		t.Fatalf("the object is in guest %d of %+v", row.Guest, guests)
	}
	if err := syscall.Kill(guests[at].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := d.get("/"); got != "ready" {
		t.Errorf("the Worker answers %q", got)
	}
	one.ask("again")
	if now := d.shared(); now != shared {
		t.Errorf("the guest of the Worker is process %d, was %d", now, shared)
	}
}

// TestSpareGuestTakesOver from one that was killed.
func TestSpareGuestTakesOver(t *testing.T) {
	t.Parallel()
	d := startRunaway(t, "--spare-guest", "on")
	p := dial(t, d, "one")
	p.ask("before")
	spare := 0
	d.wait("a spare guest is ready", func() (bool, error) {
		for _, g := range d.Guests() {
			if g.State == "spare" {
				spare = g.PID
			}
		}
		return spare != 0, nil
	})
	if err := syscall.Kill(d.shared(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if r := p.ask("after"); r.Count != 1 {
		t.Errorf("answered %+v, want a new instance", r)
	}
	if now := d.shared(); now != spare {
		t.Errorf("process %d runs, want the spare one, %d", now, spare)
	}
}

// shared is the process of the guest for everything.
func (d *Dormouse) shared() (pid int) {
	d.t.Helper()
	d.wait("the guest for everything runs", func() (bool, error) {
		for _, g := range d.Guests() {
			if g.Place == "" && g.State == "running" {
				pid = g.PID
				return true, nil
			}
		}
		return false, fmt.Errorf("guests are %+v", d.Guests())
	})
	return pid
}

// deaths waits until the admin API says that an object has ended so many guests.
func (d *Dormouse) deaths(p *peer, n int) {
	d.t.Helper()
	d.wait(p.name+" is blamed", func() (bool, error) {
		r, _ := d.Object(p.name)
		if r.GuestDeaths != n {
			return false, fmt.Errorf("it has ended %d guests, not %d", r.GuestDeaths, n)
		}
		return true, nil
	})
}

// metric is what /metrics says of a series, or -1.
func (d *Dormouse) metric(series string) float64 {
	d.t.Helper()
	res, err := http.Get(d.Admin + "/metrics")
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(string(text))
	if m == nil {
		return -1
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(m[1]), 64)
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}
