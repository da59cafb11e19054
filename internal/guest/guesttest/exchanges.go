package guesttest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// testUpgrade: a pair is made here, one end is kept and the other passed on.
func testUpgrade(t *testing.T, k *kit) {
	o := k.object(nil)
	x := o.request("GET", "/accept/amy", false)
	var end dormouse.SocketID
	line := k.wait(fmt.Sprintf("response %d 101 socket ", x))
	var incarnation, n uint32
	fmt.Sscanf(line, fmt.Sprintf("response %d 101 socket %%d.%%d", x), &incarnation, &n)
	end = dormouse.SocketID(incarnation)<<32 | dormouse.SocketID(n)
	if incarnation != k.Guest.Incarnation() {
		t.Errorf("%s, made by guest %d", line, k.Guest.Incarnation())
	}
	o.sockets = append(o.sockets, end.Peer())
	o.sayTo(1, "tags", "count")
	o.settled()
	k.wantSaid(fmt.Sprintf("started %d", o.num), fmt.Sprintf("accept %d %s [\"amy\"]", o.num, Socket(end.Peer())), line, o.sends(1, "amy"), o.sends(1, "2"))
}

func testBodies(t *testing.T, k *kit) {
	o := k.object(nil)
	x := o.request("POST", "/echo", true)
	k.on(func(g guest.Guest) { g.Body(x, []byte("one")) })
	if !k.WaitsForBodies {
		k.wait(fmt.Sprintf("body %d one", x))
	}
	k.on(func(g guest.Guest) { g.Body(x, []byte("two")); g.BodyEnd(x) })
	k.wait(fmt.Sprintf("body-end %d", x))
	o.settled()
	k.wantSaid(fmt.Sprintf("started %d", o.num), fmt.Sprintf("response %d 201", x),
		fmt.Sprintf("body %d one", x), fmt.Sprintf("body %d two", x), fmt.Sprintf("body-end %d", x))

	cut := o.request("POST", "/echo", true)
	k.on(func(g guest.Guest) { g.Body(cut, []byte("half")); g.BodyAbort(cut, "the client left") })
	k.wait(fmt.Sprintf("body-abort %d", cut))

	gone := o.request("POST", "/echo", true)
	if !k.WaitsForBodies {
		k.wait(fmt.Sprintf("response %d 201", gone))
	}
	k.on(func(g guest.Guest) { g.Cancel(gone, "the client left") })
	o.settled()
}

// testCredit: neither side sends more than the other takes.
func testCredit(t *testing.T, k *kit) {
	o := k.object(nil)
	x := o.request("POST", "/echo", true)
	chunk := []byte(strings.Repeat("x", guest.MaxChunk))
	k.on(func(g guest.Guest) {
		for range guest.Credit / guest.MaxChunk {
			g.Body(x, chunk)
		}
	})
	granted, sent := 0, guest.Credit
	count := func() (out int) {
		granted = 0
		for _, line := range k.said() {
			var n int
			if _, err := fmt.Sscanf(line, fmt.Sprintf("credit %d %%d", x), &n); err == nil {
				granted += n
			}
			if _, err := fmt.Sscanf(line, fmt.Sprintf("body %d %%d bytes", x), &n); err == nil {
				out += n
			}
		}
		return out
	}
	for end := time.Now().Add(patience); count() < guest.Credit; k.Host.Changed(patience) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes came back", count())
		}
	}
	for granted < guest.MaxChunk {
		k.Host.Changed(patience)
		count()
	}
	// Its own credit is used up: what comes now waits there.
	k.on(func(g guest.Guest) { g.Body(x, chunk) })
	sent += len(chunk)
	k.sync()
	if out := count(); out > guest.Credit {
		t.Errorf("%d bytes came, %d were allowed", out, guest.Credit)
	}
	k.on(func(g guest.Guest) { g.Credit(x, guest.Credit); g.BodyEnd(x) })
	k.wait(fmt.Sprintf("body-end %d", x))
	if out := count(); out != sent {
		t.Errorf("%d of %d bytes came back", out, sent)
	}
}

func testFailure(t *testing.T, k *kit) {
	o := k.object(nil)
	x := o.request("GET", "/throw", false)
	k.wait(fmt.Sprintf("failure %d TypeError: no remote", x))
	o.settled()
	k.on(func(g guest.Guest) {
		g.Request(x+1000, 4_000_000, &guest.Request{Method: "GET", URL: "https://object/"})
	})
	k.wait(fmt.Sprintf("failure %d ", x+1000)) // an object that has left
}

// testAsk: a call of another object goes out in order and comes back.
func testAsk(t *testing.T, k *kit) {
	o := k.object(nil)
	x := o.request("GET", "/ask/lobby", false)
	ask := k.wait("ask ")
	var n guest.Exchange
	if _, err := fmt.Sscanf(ask, "ask %d from", &n); err != nil || n%2 != 1 {
		t.Fatalf("%s: %v", ask, err)
	}
	if want := fmt.Sprintf("ask %d from %d kind 0 POST https://object/hello", n, o.num); ask != want {
		t.Errorf("got %s, want %s", ask, want)
	}
	k.wait(fmt.Sprintf("body %d hi", n))
	k.wait(fmt.Sprintf("body-end %d", n))
	k.on(func(g guest.Guest) {
		g.Response(n, &guest.Response{Status: 200, HasBody: true})
		g.Body(n, []byte("hello yourself"))
		g.BodyEnd(n)
	})
	k.wait(fmt.Sprintf("body %d hello yourself", x))
	o.settled()

	failing := o.request("GET", "/ask/lobby", false)
	next := fmt.Sprintf("ask %d ", n+2)
	k.wait(next)
	k.on(func(g guest.Guest) { g.Failure(n+2, &dormouse.Error{Message: "gone", Retryable: true}) })
	k.wait(fmt.Sprintf("failure %d gone", failing))
	o.settled()
}
