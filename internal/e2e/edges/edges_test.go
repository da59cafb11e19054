// Package edges_test asks what happens at the edge of what a server can do: when
// it is offered more than it can answer, when everybody speaks, reads nothing or
// comes back at once, and when one of many is slow. Nothing is said of times,
// but for what no clock could excuse; DORMOUSE_SOAK makes it long and large.
package edges_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/proctree"
	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	"github.com/dormouse-dev/dormouse/internal/e2e"
)

// pick chooses between the short and the long form.
func pick[T any](short, long T) T {
	if os.Getenv("DORMOUSE_SOAK") != "" {
		return long
	}
	return short
}

// start serves bench/worker.
func start(t *testing.T, more ...string) *runtimes.Server {
	t.Helper()
	e2e.Binary(t) // skips where it has not been built
	root, err := runtimes.Root()
	if err != nil {
		t.Fatal(err)
	}
	worker, err := runtimes.Load(filepath.Join(root, "bench/worker"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := runtimes.StartDormouse(t.Context(), worker, time.Second, more...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func dial(t *testing.T, s *runtimes.Server, n int, path string) *load.Fleet {
	t.Helper()
	f, err := load.Dial(s.Addr, n, 50, func(i int) string { return strings.ReplaceAll(path, "*", fmt.Sprint(i)) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func memory(t *testing.T, s *runtimes.Server) uint64 {
	t.Helper()
	n, err := proctree.Memory(s.PID())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// answers says that the server echoes, to somebody who has just come.
func answers(t *testing.T, s *runtimes.Server, when string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := e2e.Until(ctx, when+" somebody who comes is answered", func() (bool, error) {
		f, err := load.Dial(s.Addr, 1, 1, func(int) string { return "/ws/Echo/afterwards" })
		if err != nil {
			return false, err
		}
		defer f.Close()
		got, err := f.Ask(0, "are you there?")
		return got == "are you there?", err
	})
	if err != nil {
		t.Error(err)
	}
}

// More is offered than one object can answer, in a closed loop of very many
// messages: what waits is bounded, every answer is the right one, and afterwards
// all is as before.
func TestOverload(t *testing.T) {
	s := start(t)
	f := dial(t, s, 100, "/ws/Burner/busy")
	before := memory(t, s)
	// Part of a millisecond of computing each: 100 × 64 of them are seconds of work.
	r, err := f.Pump(load.Pump{Send: []byte("1"), Reply: []byte("1"), InFlight: pick(4, 64)}, load.Window{Measure: pick(time.Second, time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	after := memory(t, s)
	t.Logf("%d answers; memory %d MB before, %d MB after; p99 %v", r.Messages, before>>20, after>>20, r.Latency.Quantile(0.99))
	const bound = 256 << 20
	if after > before+bound {
		t.Errorf("%d MB more are held, want at most %d", (after-before)>>20, bound>>20)
	}
	answers(t, s, "after the overload")
}

// An object computes, and more is sent to it than its mailbox and the sockets
// hold: clients are read no more, so their writes stop, and what they have
// written is answered when there is time. Other objects are answered in between.
func TestOfferedTooMuch(t *testing.T) {
	s := start(t, "--limits-mailbox-events", "100")
	c := client(t, s, "/ws/Burner/flooded")
	before := memory(t, s)
	// 64 MB for an object that computes at each message of 1 kB.
	payload := append([]byte("3"), bytes.Repeat([]byte(" "), 1000)...)
	frame, err := ws.CompileFrame(ws.MaskFrameWith(ws.NewTextFrame(payload), [4]byte{1, 2, 3, 4}))
	if err != nil {
		t.Fatal(err)
	}
	batch := bytes.Repeat(frame, 1000)
	stopped := false
	for range 64 {
		c.SetWriteDeadline(time.Now().Add(2 * time.Second))
		if _, err := c.Write(batch); err != nil {
			if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() {
				t.Fatalf("the server gave up the connection: %v", err)
			}
			stopped = true
			break
		}
	}
	if !stopped {
		t.Error("64,000 messages were taken for an object that is busy with the first")
	}
	const bound = 128 << 20
	if now := memory(t, s); now > before+bound {
		t.Errorf("%d MB more are held, want at most %d", (now-before)>>20, bound>>20)
	}
	c.SetReadDeadline(time.Now().Add(time.Minute))
	for i := range 20 {
		got, err := wsutil.ReadServerText(c)
		if err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("answer %d: %.20q (%v)", i, got, err)
		}
	}
	c.Close()
	answers(t, s, "after the flood")
}

// Everybody speaks at once, to objects that sleep.
func TestAllSpeakAtOnce(t *testing.T) {
	n := pick(500, 19_000)
	s := start(t)
	f := dial(t, s, n, "/ws/Echo/speaks-*")
	for range pick(1, 5) {
		if r, err := f.AskAll("good morning"); err != nil || r.Messages != n {
			t.Fatal(err)
		}
		time.Sleep(pick(0, 3*time.Second)) // they fall asleep
	}
	answers(t, s, "after all had spoken")
}

// Everybody is gone at once, and comes back at once; while those who have gone still
// hold their descriptors some are told to come again, and do.
func TestAllReconnectAtOnce(t *testing.T) {
	n := pick(500, 19_000)
	s := start(t)
	for range pick(2, 5) {
		f, err := load.DialAgain(s.Addr, n, func(i int) string { return fmt.Sprintf("/ws/Echo/room-%d", i%10) })
		if err != nil {
			t.Fatal(err)
		}
		if busy, cut := f.Refusals(); busy+cut > 0 {
			t.Logf("%d were refused with 503, %d connections ended without an answer", busy, cut)
		}
		if r, err := f.AskAll("back again"); err != nil || r.Messages != n {
			t.Error(err)
		}
		f.Close()
	}
	answers(t, s, "after all had come back")
}

// Nobody reads, and one speaks: what waits for each is bounded, and whoever is
// past that bound is closed.
func TestAllReadNothing(t *testing.T) {
	n := pick(20, 200)
	s := start(t, "--limits-outbound-bytes", "256KiB")
	before := memory(t, s)
	var silent []net.Conn
	for range n {
		c := client(t, s, "/ws/Broadcast/deaf")
		c.(*net.TCPConn).SetReadBuffer(16 << 10)
		silent = append(silent, c)
	}
	speaker := client(t, s, "/ws/Broadcast/deaf")
	big := bytes.Repeat([]byte("x"), 64<<10)
	heard := 0
	for range pick(200, 400) { // 13 MB and more for each
		speaker.SetDeadline(time.Now().Add(time.Minute))
		if err := wsutil.WriteClientText(speaker, big); err != nil {
			t.Fatal(err)
		}
		if got, err := wsutil.ReadServerText(speaker); err != nil || len(got) != len(big) {
			t.Fatalf("the speaker hears %d bytes (%v)", len(got), err)
		}
		heard++
	}
	bound := uint64(n)*(2<<20) + 128<<20
	if now := memory(t, s); now > before+bound {
		t.Errorf("%d MB more are held for %d sockets that read nothing, want at most %d", (now-before)>>20, n, bound>>20)
	}
	for i, c := range silent[:5] { // now they read: some messages, and then their end
		c.SetReadDeadline(time.Now().Add(time.Minute))
		got := 0
		for {
			if _, err := wsutil.ReadServerText(c); err != nil {
				break
			}
			got++
		}
		if got >= heard {
			t.Errorf("socket %d, which read nothing, has got all %d messages", i, got)
		}
	}
	answers(t, s, "after that")
}

// Very many read nothing of what one in each of their rooms says: who speaks hears
// it, and what waits for the others, little for each, costs the server little. (Less
// than what the kernel keeps for a socket: 19,000 of those would take what it has for
// all. TestAllReadNothing goes beyond.)
func TestVeryManyReadNothing(t *testing.T) {
	const rooms, messages, size = 19, 10, 4 << 10
	n := pick(380, 19_000-rooms)
	s := start(t)
	f, err := load.Dial(s.Addr, n, 50, func(i int) string { return fmt.Sprintf("/ws/Broadcast/deaf-%d", i%rooms) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	before := memory(t, s)
	text := bytes.Repeat([]byte("x"), size)
	for room := range rooms {
		speaker := client(t, s, fmt.Sprintf("/ws/Broadcast/deaf-%d", room))
		for range messages {
			speaker.SetDeadline(time.Now().Add(time.Minute))
			if err := wsutil.WriteClientText(speaker, text); err != nil {
				t.Fatal(err)
			}
			if got, err := wsutil.ReadServerText(speaker); err != nil || !bytes.Equal(got, text) {
				t.Fatalf("the speaker of room %d hears %d bytes (%v)", room, len(got), err)
			}
		}
	}
	bound := uint64(n)*4<<10 + 128<<20
	if now := memory(t, s); now > before+bound {
		t.Errorf("%d MB more are held for %d sockets that read nothing, want at most %d", (now-before)>>20, n, bound>>20)
	}
	answers(t, s, "beside them")
}

// One of many reads nothing; the others hear every message all the same.
func TestSlowClientDelaysNobody(t *testing.T) {
	n := pick(200, 1000)
	s := start(t)
	slow := client(t, s, "/ws/Broadcast/room")
	slow.(*net.TCPConn).SetReadBuffer(16 << 10)
	f := dial(t, s, n, "/ws/Broadcast/room")
	text := bytes.Repeat([]byte("m"), 4<<10)
	r, err := f.Broadcast(load.Broadcast{Send: text}, load.Window{Measure: pick(time.Second, 20*time.Second)})
	if err != nil {
		t.Fatalf("somebody has not heard: %v", err)
	}
	t.Logf("%d messages, each heard by %d within p99 %v", r.Spoken, n, r.Latency.Quantile(0.99))
}

// client is a socket that reads only when it is told to.
func client(t *testing.T, s *runtimes.Server, path string) net.Conn {
	t.Helper()
	c, br, _, err := ws.Dial(t.Context(), "ws://"+s.Addr+path)
	if err != nil {
		t.Fatal(err)
	}
	if br != nil {
		t.Fatal("the server spoke before it was spoken to")
	}
	t.Cleanup(func() { c.Close() })
	return c
}
