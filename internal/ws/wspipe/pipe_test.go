package wspipe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dormouse-dev/dormouse/internal/loop"
	"github.com/dormouse-dev/dormouse/internal/ws"
	"github.com/dormouse-dev/dormouse/internal/ws/wstest"
)

func TestPipeIsAConnection(t *testing.T) {
	a, b := Pipe()
	a.Write([]byte("hello "))
	a.Write([]byte("world"))
	a.CloseWrite()
	got, err := io.ReadAll(b)
	if string(got) != "hello world" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	b.Write([]byte("back"))
	if got := a.Take(); string(got) != "back" {
		t.Errorf("got %q, want the other direction to work", got)
	}
	if got := a.Take(); got != nil {
		t.Errorf("got %q, want nothing twice", got)
	}
	b.Close()
	if _, err := a.Write([]byte("x")); err == nil {
		t.Error("a write after the peer has closed worked")
	}
	if _, err := a.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
	if err := b.Close(); err == nil {
		t.Error("a second Close worked")
	}
}

func TestPipeBlocksAndWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		b.SetCapacity(10)
		wrote := make(chan int)
		go func() {
			n, _ := a.Write([]byte("more than ten bytes"))
			wrote <- n
		}()
		synctest.Wait()
		select {
		case <-wrote:
			t.Fatal("the writer did not wait for room")
		default:
		}
		got := make([]byte, 19)
		if _, err := io.ReadFull(b, got); err != nil || string(got) != "more than ten bytes" {
			t.Errorf("got %q, %v", got, err)
		}
		if n := <-wrote; n != 19 {
			t.Errorf("%d bytes were written, want 19", n)
		}
	})
}

func TestPipeDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe()
		b.SetCapacity(1)
		begin := time.Now()
		a.SetReadDeadline(begin.Add(time.Second))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("read: got %v after %v", err, time.Since(begin))
		}
		a.SetWriteDeadline(begin.Add(2 * time.Second))
		if n, err := a.Write([]byte("ab")); n != 1 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != 2*time.Second {
			t.Errorf("write: got %d, %v after %v", n, err, time.Since(begin))
		}
		// One that is set while somebody waits counts.
		a.SetDeadline(time.Time{})
		go func() {
			time.Sleep(time.Second)
			a.SetDeadline(time.Unix(1, 0))
		}()
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("read: got %v after %v", err, time.Since(begin))
		}
	})
}

// TestInABubble: connections work where time is the test's, also behind an HTTP
// server.
func TestInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := loop.NewPortable()
		tr := New(l)
		l.Start()
		defer l.Stop()
		ln := Listen()
		rec := &wstest.Recorder{}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h, err := ws.ReadHandshake(r.Method, r.ProtoAtLeast(1, 1), r.Header)
			if err != nil {
				t.Error(err)
				return
			}
			head, err := ws.AppendAnswer(nil, h, h.Deflate, nil)
			if err != nil {
				t.Error(err)
				return
			}
			c, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			rest, _ := rw.Reader.Peek(rw.Reader.Buffered())
			l.Call(func() {
				if rec.Conn, err = tr.Adopt(c, rest, ws.Options{Head: head, Deflate: h.Deflate}, rec); err != nil {
					t.Error(err)
				}
			})
		})}
		go server.Serve(ln)
		defer server.Close()
		c, err := ln.Dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		r := bufio.NewReader(c)
		answer, err := http.ReadResponse(r, nil)
		if err != nil || answer.StatusCode != 101 {
			t.Fatalf("got %v, %v", answer, err)
		}
		time.Sleep(time.Hour) // nothing ticks, nothing times out
		c.Write([]byte("\x81\x85\x00\x00\x00\x00hello\x88\x82\x00\x00\x00\x00\x03\xe8"))
		got, err := wstest.ReadAll(r)
		if err != nil {
			t.Error(err)
		}
		wstest.Compare(t, "client", got, []string{`text "hello"`, `close 1000 ""`, "end"})
		l.Call(func() {})
		l.Call(func() { wstest.Compare(t, "owner", rec.Heard, []string{`text "hello"`, `close 1000 ""`, "gone"}) })
	})
}

// A connection at rest, both ends and the transport's struct, without its
// owner's Sink.
//
// If this trips, a million connections no longer fit into the memory of a test
// machine: look at End and at wsconn.Conn.
const (
	idleHeapBudget   = 350 // bytes
	idleHeapMeasured = 278 // on 2026-11-22, amd64
)

func TestIdleConnectionsAreSmall(t *testing.T) {
	const n = 20000
	l := loop.NewPortable()
	tr := New(l)
	l.Start()
	t.Cleanup(l.Stop)
	ends, conns := make([]*End, n), make([]ws.Conn, n)
	e := &wstest.Recorder{}
	goroutines, before := runtime.NumGoroutine(), liveHeap()
	l.Call(func() {
		for i := range n {
			near, far := Pipe()
			c, err := tr.Adopt(far, nil, ws.Options{}, e)
			if err != nil {
				t.Error(err)
			}
			ends[i], conns[i] = near, c
		}
	})
	for i, end := range ends {
		end.Write([]byte("\x89\x84\x00\x00\x00\x00ping"))
		if i%100 == 0 {
			l.Call(func() {})
		}
	}
	for range 3 { // the notice, the answer, the notice of it
		l.Call(func() {})
	}
	for i, end := range ends {
		if got, want := string(end.Take()), "\x8a\x04ping"; got != want {
			t.Fatalf("connection %d answered %q, want %q", i, got, want)
		}
	}
	l.Call(func() {})
	if got := runtime.NumGoroutine(); got > goroutines {
		t.Errorf("%d goroutines with %d connections, %d before", got, n, goroutines)
	}
	perConn := float64(int64(liveHeap())-int64(before)) / n
	t.Logf("%.0f bytes of heap for each idle connection", perConn)
	if perConn > idleHeapBudget {
		t.Errorf("%.0f bytes of heap for each idle connection, want at most %d; %d were measured", perConn, idleHeapBudget, idleHeapMeasured)
	}
	runtime.KeepAlive(conns)
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestAdoptRefusesOtherConnections(t *testing.T) {
	s := open(t)
	s.Loop.Call(func() {
		_, err := s.Transport.Adopt(notAPipe{}, nil, ws.Options{}, &wstest.Recorder{})
		if err == nil || !strings.Contains(err.Error(), "notAPipe") {
			t.Errorf("got %v, want an error that names the type", err)
		}
	})
}

type notAPipe struct{ *End }

func TestListenerCloses(t *testing.T) {
	ln := Listen()
	ln.Close()
	ln.Close()
	if _, err := ln.Accept(); err == nil {
		t.Error("Accept works after Close")
	}
	if _, err := ln.Dial(); err == nil {
		t.Error("Dial works after Close")
	}
}
