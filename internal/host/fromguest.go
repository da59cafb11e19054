package host

import (
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/brief"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// Started tells that the constructor has run.
func (s *Shard) Started(g guest.Guest, num guest.Object, took time.Duration) {
	if o := s.at(g, num); o != nil {
		o.live.started = true
		o.live.spans.constructed(s.Loop.Now())
		o.account().constructed(took)
		s.stats.Constructor += took
		s.stats.Constructions++
	}
}

// StartFailed tells that the constructor threw: whatever waited for it fails.
func (s *Shard) StartFailed(g guest.Guest, num guest.Object, e *dormouse.Error) {
	if o := s.at(g, num); o != nil {
		o.blameAlarms(e, guest.Abort{})
		o.broke(e, true)
		o.left("constructor failed", e)
	}
}

// Aborted tells that the guest has ended the instance.
func (s *Shard) Aborted(g guest.Guest, num guest.Object, e *dormouse.Error, a guest.Abort) {
	if o := s.at(g, num); o != nil {
		if a.RanAway {
			s.observed.ranAway++
			s.suspect(o, e.Message)
		}
		o.blameAlarms(e, a)
		o.broke(e, a.DropSockets)
		o.left("reset", e)
	}
}

// Done tells that an alarm has run.
func (s *Shard) Done(g guest.Guest, x guest.Exchange) {
	p := peer{s, g}
	if c := p.call(x); c != nil {
		p.Response(x, &guest.Response{})
	}
}

// What is said over sockets. The registry asks the object's gate.

func (s *Shard) Send(_ guest.Guest, id dormouse.SocketID, text bool, payload []byte) {
	s.Registry.Send(id, text, payload)
}

// SendAll implements guest.Speaker.
func (s *Shard) SendAll(_ guest.Guest, id dormouse.SocketID, run brief.Run) {
	s.Registry.SendAll(id, run)
}

func (s *Shard) Broadcast(_ guest.Guest, to guest.Sockets, text bool, payload []byte) {
	s.Registry.Broadcast(to, text, payload)
}

func (s *Shard) Close(_ guest.Guest, id dormouse.SocketID, code uint16, reason string) {
	s.Registry.Close(id, code, reason)
}

func (s *Shard) Attachment(_ guest.Guest, id dormouse.SocketID, value []byte) {
	s.Registry.SetAttachment(id, value)
}

// Pause stops what the peer of a socket says, or lets it go on.
func (s *Shard) Pause(_ guest.Guest, id dormouse.SocketID, paused bool) { s.Registry.Pause(id, paused) }

func (s *Shard) Release(_ guest.Guest, id dormouse.SocketID) { s.Registry.Release(id) }

// Accept makes a hibernatable socket.
func (s *Shard) Accept(g guest.Guest, num guest.Object, id dormouse.SocketID, tags []string) {
	o := s.at(g, num)
	if o == nil || o.broken() {
		s.Registry.Release(id)
		return
	}
	if err := s.Registry.Accept(o.sockets(), id, tags); err != nil {
		s.protocolError(g, "object %s: %w", o.key, err)
	}
}

// Open makes a standard socket.
func (s *Shard) Open(g guest.Guest, id dormouse.SocketID, num guest.Object) {
	l := s.lives[g]
	if l == nil {
		return
	}
	owner := l.worker
	if num != 0 {
		o := l.activations[num]
		if o == nil || o.broken() {
			s.Registry.Release(id)
			return
		}
		if o.live.outsider == nil {
			o.live.outsider = newOutsider(s, o)
		}
		owner = o.live.outsider
	}
	owner.guest = g
	if err := s.Registry.Open(owner.set, id); err != nil {
		s.protocolError(g, "%w", err)
	}
}

// AutoResponse sets what is answered without the object.
func (s *Shard) AutoResponse(g guest.Guest, num guest.Object, p *guest.Pair) {
	if o := s.at(g, num); o != nil && !o.broken() && (p != nil || o.set != nil) {
		o.sockets().SetPair(p)
	}
}

// EventTimeout keeps how long an event of the object may take.
func (s *Shard) EventTimeout(g guest.Guest, num guest.Object, d time.Duration) {
	if o := s.at(g, num); o != nil && !o.broken() && (d != 0 || o.set != nil) {
		o.sockets().SetEventTimeout(d)
	}
}

// Commit closes the object's gate until the commit is durable.
func (s *Shard) Commit(g guest.Guest, num guest.Object, commit uint32, unconfirmed bool) {
	o := s.at(g, num)
	if o == nil {
		return
	}
	if commit != o.live.committed+1 {
		s.protocolError(g, "object %s: commit %d after %d", o.key, commit, o.live.committed)
		return
	}
	o.live.committed = commit
	if s.Durability == nil {
		o.reached(commit)
		o.alarmCommitted()
		return
	}
	var n uint64
	if !unconfirmed && !o.broken() {
		n = o.gate.Commit()
		o.gateClosed()
	}
	told := o.whenDurable(n, commit)
	err := s.Durability.Commit(o.key, func(err error) {
		s.Loop.Post(func() { told(err) })
	})
	if err != nil {
		s.Loop.Post(func() { told(err) }) // not while it speaks
	}
	o.alarmCommitted()
}

// whenDurable makes the function that the outcome of a question to Durability is to be
// told, on the loop, and remembers that it will be. n is the commit as the gate
// counts, 0 if the gate does not wait for it; commit as the activation does, 0 if
// the guest does not.
func (o *resident) whenDurable(n uint64, commit uint32) func(error) {
	live, began := o.live, o.shard.Loop.Now()
	o.saving++
	return func(err error) {
		switch {
		case err != nil:
			o.shard.commitFailed(err)
			o.notDurable(err)
		case n > 0:
			o.gate.Durable(n)
			o.gateOpened()
		}
		if err == nil && commit > 0 {
			o.shard.observed.commits.Observe(o.shard.Loop.Now().Sub(began), 1)
		}
		if err == nil && live == o.live && commit > 0 {
			o.reached(commit)
		}
		o.answer(err)
		o.forget()
	}
}

// notDurable resets the object, also when the instance that made the commit has
// left: what it has said since is not to be known.
func (o *resident) notDurable(err error) {
	e := errNotDurable(err)
	o.shard.closeDatabase(o.key) // nobody can open it again before
	if o.live != nil {
		o.reset(e)
		return
	}
	o.broke(e, true)
	if o.set != nil {
		o.set.Left()
	}
}

// reached tells the guest of a durable commit if it has asked.
func (o *resident) reached(commit uint32) {
	l := o.live
	l.durable = max(l.durable, commit)
	if o.opening > 0 {
		return // what an earlier instance left is not durable yet, and this one may have read it
	}
	for len(l.awaited) > 0 && l.awaited[0] <= l.durable {
		o.guest.Durable(o.num, l.awaited[0])
		l.awaited = l.awaited[1:]
	}
}

// AwaitDurable remembers that the guest wants to know when a commit is durable; 0 is
// what was there when the activation began.
func (s *Shard) AwaitDurable(g guest.Guest, num guest.Object, commit uint32) {
	o := s.at(g, num)
	if o == nil {
		return
	}
	l := o.live
	if commit > l.committed || len(l.awaited) > 0 && commit < l.awaited[len(l.awaited)-1] {
		s.protocolError(g, "object %s awaits commit %d of %d", o.key, commit, l.committed)
		return
	}
	if n := len(l.awaited); n == 0 || l.awaited[n-1] != commit {
		l.awaited = append(l.awaited, commit)
	}
	o.reached(l.durable)
}

// outsider owns standard sockets: of one activation, or of the Worker's code in
// one guest. It is their Recipient. What they say is no event and wakes nobody.
type outsider struct {
	shard  *Shard
	set    Set
	guest  guest.Guest
	object *resident // nil: the Worker
}

func newOutsider(s *Shard, o *resident) *outsider {
	w := &outsider{shard: s, object: o}
	w.set = s.Registry.NewSet(w, false)
	return w
}

// left closes what the code that is gone had open. RFC 6455, section 7.4.1:
// 1012, service restart.
func (w *outsider) left() { w.set.CloseAll(1012, "") }

func (w *outsider) Message(s dormouse.SocketID, text bool, payload []byte) {
	w.guest.Message(s, text, payload)
	w.shard.throttle(w.guest)
}

func (w *outsider) Several() bool                              { return false }
func (w *outsider) Messages(dormouse.SocketID, brief.Run) bool { return false }

func (w *outsider) Closed(s dormouse.SocketID, c guest.Closing) {
	w.guest.Closed(s, c)
	w.set.Ended(s)
}

func (w *outsider) Errored(s dormouse.SocketID, message string) {
	w.guest.Errored(s, message)
	w.set.Ended(s)
}

func (w *outsider) Buffered(s dormouse.SocketID, bytes int) { w.guest.Buffered(s, bytes) }
func (w *outsider) Stamped()                                {}
func (w *outsider) Emptied()                                {}
func (w *outsider) Behind() int                             { return w.guest.Backlog() }
func (w *outsider) Arrived() uint64                         { return 0 }
func (w *outsider) Begun(uint64) bool                       { return true }

func (w *outsider) Open() bool { return w.object == nil || w.object.Open() }

func (w *outsider) Hold(size int, release func()) { w.object.Hold(size, release) }
