package edge

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// visit is a request for a WebSocket that Steps serves. It is the Answer to it:
// while the Worker has not answered nothing runs for it.
type visit struct {
	steps   *Steps
	front   *Front
	conn    stream
	request *http.Request
	began   time.Time

	// Owned by who has settled it.
	lease *Lease
	rest  []byte // what the client has said behind its request

	// Owned by the loop: what takes an answer that is no socket.
	x *exchange

	mu      sync.Mutex // guards the following
	asker   host.Asker
	state   visitState
	watched chan struct{} // closed when nobody reads any more; nil: nobody does
}

type visitState uint8

const (
	visitOpen visitState = iota
	visitAnswered
	visitLeft // the client did not wait
)

// lookEvery is after which time, and how often, somebody looks whether clients
// have left whose Worker has not answered.
const lookEvery = time.Second

// visiting notes a visit. Pairs with visited.
func (s *Steps) visiting(v *visit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visits[v] = struct{}{}
	if !s.looking {
		s.looking = true
		time.AfterFunc(lookEvery, s.lookAround)
	}
}

func (s *Steps) visited(v *visit) {
	s.mu.Lock()
	delete(s.visits, v)
	s.mu.Unlock()
	s.Door.Leave()
}

// lookAround has those clients watched that wait for long.
func (s *Steps) lookAround() {
	var long []*visit
	s.mu.Lock()
	for v := range s.visits {
		if time.Since(v.began) >= lookEvery {
			long = append(long, v)
		}
	}
	if s.looking = len(s.visits) > 0; s.looking {
		time.AfterFunc(lookEvery, s.lookAround)
	}
	s.mu.Unlock()
	for _, v := range long {
		v.watch()
	}
}

// watch sees when the client leaves.
func (v *visit) watch() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.state != visitOpen || v.watched != nil {
		return
	}
	v.watched = make(chan struct{})
	go func() {
		var p [512]byte
		n, err := v.conn.Read(p[:])
		if n > 0 {
			v.rest = append(v.rest, p[:n]...) // it speaks: it is there
		} else if err != nil && v.settle(visitLeft) {
			v.leave()
		}
		close(v.watched)
	}()
}

// leave gives up what nobody waits for.
func (v *visit) leave() {
	v.front.Counts.count(countLeft)
	v.asker.Cancel("the client left")
	v.conn.Close()
	v.lease.Done()
	v.steps.visited(v)
}

// settle decides who has the visit. It reports false when that is somebody else.
func (v *visit) settle(to visitState) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.state != visitOpen {
		return false
	}
	v.state = to
	return true
}

// take ends the watching. What the client has said is in rest then.
func (v *visit) take() {
	v.mu.Lock()
	watched := v.watched
	v.mu.Unlock()
	if watched != nil {
		v.conn.SetReadDeadline(time.Unix(1, 0))
		<-watched
		v.conn.SetReadDeadline(time.Time{})
	}
}

// The Answer, called on the loop.

func (v *visit) Response(r *guest.Response) {
	if !v.settle(visitAnswered) {
		if r.Socket != 0 {
			v.front.Release(r.Socket)
		}
		return
	}
	v.take()
	if r.Socket != 0 {
		v.front.Counts.count(countUpgraded)
		v.upgrade(r)
		return
	}
	v.front.Counts.count(countAnswered)
	v.x = newExchange(v.front.Release)
	v.x.Response(r)
	go v.answer()
}

func (v *visit) Failure(e *dormouse.Error) {
	if v.x != nil {
		v.x.Failure(e)
		return
	}
	if !v.settle(visitAnswered) {
		return
	}
	v.take()
	v.front.Counts.count(countFailed)
	p := newPage()
	v.front.fail(p, e)
	go v.show(p)
}

func (v *visit) Body(p []byte) {
	if v.x != nil {
		v.x.Body(p)
	}
}

func (v *visit) BodyEnd() {
	if v.x != nil {
		v.x.BodyEnd()
	}
}

func (v *visit) BodyAbort(reason string) {
	if v.x != nil {
		v.x.BodyAbort(reason)
	}
}

func (v *visit) Credit(uint32) {}

func (v *visit) Cancel(string) {}

// upgrade hands the connection over to a socket.
func (v *visit) upgrade(r *guest.Response) {
	p := newPage()
	o, ok := v.front.shake(p, v.request, r, v.lease)
	if !ok {
		go v.show(p)
		return
	}
	v.front.AttachSoon(r.Socket, v.conn, v.rest, o, func(err error) {
		if err == nil {
			v.steps.visited(v)
			return
		}
		v.front.Log.Warn("socket not attached", "reason", err)
		v.front.Release(r.Socket)
		go func() {
			endAtOnce(v.conn, o)
			v.lease.Done()
			v.steps.visited(v)
		}()
	})
}

// endAtOnce shows the client a socket that ends at once.
func endAtOnce(c net.Conn, o ws.Options) {
	c.SetWriteDeadline(time.Now().Add(time.Second))
	c.Write(o.Head)
	c.Close()
}

// answer sends what the Worker has answered in the place of a socket, and ends
// the connection.
func (v *visit) answer() {
	defer v.steps.visited(v)
	defer v.lease.Done()
	defer v.conn.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with the connection
		io.Copy(io.Discard, v.conn)
		cancel()
	}()
	asker := v.asker // set before anything could be settled
	a, err := v.x.head(ctx)
	if err != nil {
		v.x.leave()
		asker.Cancel("the client left")
		return
	}
	resp := v.front.response(v.request, v.x, a, ctx, cancel, asker)
	defer resp.Body.Close()
	resp.Close = true
	resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if err := resp.Write(v.conn); err == nil {
		v.conn.CloseWrite()
	}
}

// show sends a page of our own, and ends the connection.
func (v *visit) show(p *page) {
	defer v.steps.visited(v)
	defer v.lease.Done()
	defer v.conn.Close()
	v.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	p.write(v.conn)
	v.conn.CloseWrite()
}

// page is an answer of our own, while it is made.
type page struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newPage() *page { return &page{header: http.Header{}, status: http.StatusOK} }

// Header implements http.ResponseWriter.
func (p *page) Header() http.Header { return p.header }

// WriteHeader implements http.ResponseWriter.
func (p *page) WriteHeader(status int) { p.status = status }

// Write implements http.ResponseWriter.
func (p *page) Write(b []byte) (int, error) { return p.body.Write(b) }

func (p *page) write(w io.Writer) error {
	p.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	r := &http.Response{
		Status: fmt.Sprintf("%d %s", p.status, http.StatusText(p.status)), StatusCode: p.status, ProtoMajor: 1, ProtoMinor: 1,
		Header: p.header, Body: io.NopCloser(&p.body), ContentLength: int64(p.body.Len()), Close: true,
	}
	return r.Write(w)
}
