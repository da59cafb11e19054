package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/handover"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

const (
	// settleLimit is how long clients may have to wait for events that began
	// shortly before an upgrade: then they are cut.
	settleLimit = 5 * time.Second
	// spareIncarnations is how many guests may be started while a successor
	// prepares: its own are numbered beyond them.
	spareIncarnations = 64
	// suspendLimit is for the guests' processes to be gone.
	suspendLimit = 10 * time.Second
)

// Moved tells what an upgrade did.
type Moved struct {
	handover.Total
	Version string // of the successor
	Told    int    // sockets that could not be taken along, and were told 1012
	Cut     bool   // something ran for too long and was cut
	// Silence is from when clients were not heard any more until the successor had
	// everything in its place, and Steps are where all of the time went.
	Silence time.Duration
	Steps   []Step
}

// HandOver gives everything that this server holds to a successor: its data
// folder, its clients' sockets, and the listeners, by name, that Serve and the
// admin API have. What is in progress when it is called may take until patience
// to end; clients are served meanwhile. end ends the successor's process.
//
// Without an error the successor serves, this server does not any more, and only
// Shutdown may follow. With one, the successor has been ended and this server
// goes on as before.
func (s *Server) HandOver(ctx context.Context, p *handover.Predecessor, version string, patience time.Duration, listeners map[string]net.Listener, end func()) (m Moved, err error) {
	if !s.moving.TryLock() {
		return m, errors.New("an upgrade is in progress")
	}
	defer s.moving.Unlock()
	watch := startWatch()
	defer func() {
		if err != nil {
			end()
			s.changes.note(func(t *handover.Story) { t.Upgrades.Add(0, err) })
		}
	}()
	if len(s.in) > 0 {
		return m, errors.New("objects written in Go cannot move to another process")
	}
	files, closeFiles, err := s.descriptors(listeners)
	if err != nil {
		return m, err
	}
	defer closeFiles()
	last := s.guests.Load() + spareIncarnations
	theirs, err := p.Greet(handover.Hello{Version: version, Worker: s.Name, Data: s.Data, Incarnation: last}, files...)
	if err != nil {
		return m, err
	}
	m.Version = theirs.Version
	s.engine.Tidy()
	if err := p.Prepared(); err != nil {
		return m, err
	}
	watch.lap("prepare")
	s.log.Info("upgrade: the successor is prepared", "version", theirs.Version)
	s.finishOlder(ctx, patience)
	watch.lap("finish")
	heard, undo := s.standStill(ctx, &m, watch)
	var parting *leaving
	defer func() {
		if err != nil {
			end() // first of all: nobody else may serve
			err = errors.Join(err, parting.comeBack())
			undo()
			s.log.Warn("upgrade: this process goes on", "reason", err)
		}
	}()
	if s.guests.Load() > last {
		return m, errors.New("too many guests were started meanwhile")
	}
	if !s.asleep() {
		return m, errors.New("an object is still in memory, or the disk has not answered")
	}
	parting = s.leaveFiles(ctx)
	if m.Total, err = p.Give(func(e *handover.Encoder) error { return s.give(e, &m) }); err != nil {
		return m, err
	}
	watch.lap("tell")
	if err := errors.Join(parting.left(), ctx.Err()); err != nil {
		return m, err
	}
	watch.lap("close")
	s.log.Info("upgrade: the successor has everything", "sockets", m.Sockets, "objects", m.Objects)
	if err := p.Yours(s.changes.handOn(&m, time.Since(watch.began), heard)); err != nil {
		return m, err
	}
	watch.lap("take")
	// It has the processors for itself until it has everything in its place.
	if _, err := p.Arrived(); err != nil {
		s.log.Debug("upgrade: the successor does not say that it has arrived", "reason", err)
	}
	watch.lap("restore")
	m.Silence, m.Steps = time.Since(heard), watch.steps
	s.log.Info("upgrade: where the time went", watch.attrs()...)
	s.depart()
	return m, nil
}

// leaving is how a server lets go of the files of its objects, while its successor
// is told everything: its guests end, and then the journal is closed.
type leaving struct {
	server *Server
	done   chan struct{} // closed when that is so, or has failed

	// Set before done is closed.
	closed bool // the journal was
	err    error
}

// leaveFiles begins it, when all objects are asleep.
func (s *Server) leaveFiles(ctx context.Context) *leaving {
	l := &leaving{server: s, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		began := time.Now()
		if l.err = s.suspend(ctx); l.err == nil {
			l.closed = true
			guests := time.Since(began)
			l.err = s.engine.Leave()
			s.log.Debug("upgrade: the files are free", "guests", guests, "journal", time.Since(began)-guests)
		}
	}()
	return l
}

// left waits until no file is open.
func (l *leaving) left() error {
	<-l.done
	return l.err
}

// comeBack undoes it, but for the guests: resume starts them. nil has not begun.
func (l *leaving) comeBack() error {
	if l == nil {
		return nil
	}
	<-l.done
	if !l.closed {
		return nil
	}
	return l.server.openStorage()
}

// finishOlder waits until what is in progress now has ended, or for patience.
func (s *Server) finishOlder(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, sh := range s.shards {
		var ended func() bool
		sh.loop.Call(func() { ended = sh.host.Older() })
		s.until(ctx, func() (over bool) {
			sh.loop.Call(func() { over = ended() })
			return over
		})
	}
}

// finish lets handlers end, and puts every object to sleep: for a server that
// stops.
func (s *Server) finish(ctx context.Context) {
	s.onShards(func(sh *shard) { sh.host.StopClients() })
	s.until(ctx, s.quiet())
	s.onShards(func(sh *shard) { sh.host.PutToSleep() })
	s.until(ctx, s.asleep)
	s.onShards(func(sh *shard) { sh.host.HearClients() }) // for what they answer to our Close
}

// until asks until the answer is yes, and reports whether it came.
func (s *Server) until(ctx context.Context, yes func() bool) bool {
	for tick := time.Tick(time.Millisecond); !yes(); {
		select {
		case <-tick:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// standStill ends in order what can be ended: requests, while clients' sockets
// are still served; then events; then every object is put to sleep. What takes
// too long is cut. heard is when clients were heard last; undo has everything go
// on.
func (s *Server) standStill(ctx context.Context, m *Moved, watch *stopwatch) (heard time.Time, undo func()) {
	requests, cancel := context.WithTimeout(ctx, settleLimit)
	s.door.empty(requests)
	cancel()
	watch.lap("requests")
	heard = watch.last
	events, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	s.onShards(func(sh *shard) { sh.host.StopClients() })
	m.Cut = !s.until(events, s.quiet())
	watch.lap("events")
	s.onShards(func(sh *shard) { sh.host.PutToSleep() })
	if m.Cut || !s.until(events, s.asleep) {
		// Their guests end: what these had not begun is in the mailboxes then.
		m.Cut = true
		s.onShards(func(sh *shard) { sh.host.GiveUp() })
		s.suspend(ctx)
		durable, cancel := context.WithTimeout(ctx, settleLimit)
		s.until(durable, s.asleep)
		cancel()
	}
	watch.lap("sleep")
	return heard, func() {
		s.onShards(func(sh *shard) { sh.registry.Keep() })
		s.resume()
		s.onShards(func(sh *shard) { sh.host.WakeUp() })
		s.door.open()
	}
}

// atOnce runs f on all loops and waits; what it touches belongs to the shard, or is
// not written.
func (s *Server) atOnce(f func(*shard)) {
	var all sync.WaitGroup
	for _, sh := range s.shards {
		all.Go(func() { sh.loop.Call(func() { f(sh) }) })
	}
	all.Wait()
}

func (s *Server) onShards(f func(*shard)) {
	for _, sh := range s.shards {
		sh.loop.Call(func() { f(sh) })
	}
}

// quiet returns a question: has nothing been in progress in two looks at all
// shards, one after the other, with nothing new between them?
func (s *Server) quiet() func() bool {
	var before uint64
	return func() bool {
		all, sum := true, uint64(1)
		s.onShards(func(sh *shard) {
			q, n := sh.host.Quiet()
			all, sum = all && q, sum+n
		})
		same := all && sum == before
		before = 0
		if all {
			before = sum
		}
		return same
	}
}

func (s *Server) asleep() bool {
	all := true
	s.onShards(func(sh *shard) { all = all && sh.host.AllAsleep() })
	return all
}

// suspender is a slot that can be without a guest for a while.
type suspender interface {
	Suspend(context.Context) error
	Resume()
}

// suspend ends the guests, so that nobody has an object's files open.
func (s *Server) suspend(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, suspendLimit)
	defer cancel()
	ended := make(chan error, len(s.shards))
	for _, sh := range s.shards {
		go func() {
			slot, ok := sh.slot.(suspender)
			if !ok {
				ended <- errors.New("the guests of this server cannot be suspended")
				return
			}
			ended <- slot.Suspend(ctx)
		}()
	}
	var err error
	for range s.shards {
		err = errors.Join(err, <-ended)
	}
	return err
}

// resume pairs with suspend; without it it does nothing.
func (s *Server) resume() {
	for _, sh := range s.shards {
		if slot, ok := sh.slot.(suspender); ok {
			slot.Resume()
		}
	}
}

// give writes the state of every object.
func (s *Server) give(e *handover.Encoder, m *Moved) error {
	var err error
	s.onShards(func(sh *shard) {
		sh.registry.Settle()
		for _, v := range sh.host.Save() {
			if err != nil {
				return
			}
			o := &handover.Object{Key: v.Key, Name: v.Name, HasName: v.HasName, Awake: v.Awake, Mail: v.Mail}
			if set, ok := v.Set.(*hibernation.Set); ok {
				var staying int
				o.Sockets, staying = set.Save()
				m.Told += staying
			}
			err = e.Object(o)
		}
		for k, w := range sh.alarms.Stored {
			if err == nil {
				err = e.Alarm(handover.Alarm{Key: k, Wake: w})
			}
		}
	})
	return err
}

// depart gives up what belongs to the successor now.
func (s *Server) depart() {
	s.onShards(func(sh *shard) {
		sh.alarms.Stop()
		sh.registry.Forget(ws.CloseServiceRestart)
		sh.host.GiveUp()
	})
	s.door.depart()
}

// descriptors are the descriptors that go along: the data folder's lock and the
// listeners. close closes our copies.
func (s *Server) descriptors(listeners map[string]net.Listener) (files []handover.File, closeAll func(), err error) {
	var copies []int
	closeAll = func() { handover.CloseAll(copies) }
	add := func(name string, c syscall.Conn) error {
		raw, err := c.SyscallConn()
		if err != nil {
			return err
		}
		var fd int
		if e := raw.Control(func(p uintptr) { fd, err = duplicate(int(p)) }); e != nil {
			return e
		}
		if err != nil {
			return fmt.Errorf("duplicate %s: %w", name, err)
		}
		copies = append(copies, fd)
		files = append(files, handover.File{Name: name, Descriptor: fd})
		return nil
	}
	if err = add(lockFile, s.lock.f); err == nil {
		for name, l := range listeners {
			c, ok := l.(syscall.Conn)
			if !ok {
				err = fmt.Errorf("the listener %s has no descriptor", name)
				break
			}
			if err = add(listenerFile+name, c); err != nil {
				break
			}
		}
	}
	if err != nil {
		closeAll()
	}
	return files, closeAll, err
}

// Names of what goes along.
const (
	lockFile     = "lock"
	listenerFile = "listener:"
)

// NewSuccessor builds a server that takes over from another process, with its
// data folder: it is New, Start, TakeOver. Refuse tells why not.
func NewSuccessor(c Config, from *handover.Successor) (*Server, error) {
	s := &Server{Config: c, before: from}
	if c.Data != from.Hello.Data {
		return nil, fmt.Errorf("the running server's data folder is %s, and this one's %s", from.Hello.Data, c.Data)
	}
	if c.Name != from.Hello.Worker {
		return nil, fmt.Errorf("the running server's Worker is %s, and this one's %s", from.Hello.Worker, c.Name)
	}
	f := from.Files[lockFile]
	if f == nil {
		return nil, errors.New("the data folder's lock was not handed over")
	}
	s.lock = &lock{f}
	s.guests.Store(from.Hello.Incarnation)
	if err := s.build(); err != nil {
		return nil, err
	}
	for _, sh := range s.shards {
		if _, ok := sh.transport.(ws.Restorer); !ok {
			return nil, errors.New("on this system connections cannot move to another process")
		}
	}
	return s, nil
}

// TakeOver takes everything from the other process, and goes on with it. It
// returns the listeners by their names. After an error this server has nothing.
func (s *Server) TakeOver(patience time.Duration) (_ map[string]net.Listener, total handover.Total, err error) {
	listeners := make(map[string]net.Listener)
	for name, f := range s.before.Files {
		if name == lockFile {
			continue
		}
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return nil, total, fmt.Errorf("take over %s: %w", name, err)
		}
		listeners[strings.TrimPrefix(name, listenerFile)] = l
	}
	state, total, err := s.before.Take(patience)
	if err != nil {
		return nil, total, err
	}
	for _, o := range state.Objects {
		if _, ok := s.shards[0].host.ClassOf(o.Key.Namespace); !ok {
			return nil, total, fmt.Errorf("there are objects of the namespace %s, and this Worker has no class for it", o.Key.Namespace)
		}
	}
	var a handover.Arrival
	farewell, err := s.before.Have(total, func() error {
		began := time.Now()
		err := s.openStorage()
		a.Opened = time.Since(began)
		return err
	})
	if err != nil {
		return nil, total, err
	}
	// From here on nobody else serves.
	began := time.Now()
	s.restore(state)
	a.Restored, a.Silence = time.Since(began), s.changes.goOn(farewell)
	s.before.Serving(a)
	s.lock.write(fmt.Sprintln(os.Getpid()))
	s.log.Info("upgrade: this process serves", "sockets", total.Descriptors, "opened", a.Opened, "restored", a.Restored, "silence", a.Silence)
	s.lookForLeft()
	return listeners, total, nil
}

// restore makes the objects and their sockets, and lets them begin when all are
// there.
func (s *Server) restore(state *handover.State) {
	mine := make(map[*shard][]*handover.Object)
	relayed := make(map[dormouse.SocketID]*hibernation.Registry)
	for _, o := range state.Objects {
		sh := s.of(o.Key)
		mine[sh] = append(mine[sh], o)
		for _, d := range o.Sockets.Sockets {
			if d.Relayed {
				relayed[d.ID] = sh.registry
			}
		}
	}
	alarms := make(map[*shard][]handover.Alarm)
	for _, a := range state.Alarms {
		// Those of namespaces that we do not have stay where they are stored.
		if _, ok := s.shards[0].host.ClassOf(a.Key.Namespace); ok {
			alarms[s.of(a.Key)] = append(alarms[s.of(a.Key)], a)
		}
	}
	begin := make(map[*shard]*[]func(), len(s.shards))
	for _, sh := range s.shards {
		begin[sh] = new([]func())
	}
	s.atOnce(func(sh *shard) {
		sh.host.StopClients()
		for _, o := range mine[sh] {
			v := host.Saved{Key: o.Key, Name: o.Name, HasName: o.HasName, Mail: o.Mail, Awake: o.Awake}
			var tell func()
			b := sh.host.Restore(v, func(t host.Set) { tell = t.(*hibernation.Set).Restore(&o.Sockets) })
			*begin[sh] = append(*begin[sh], tell, b)
		}
		for _, a := range alarms[sh] {
			sh.alarms.Load(a.Key, a.Wake)
		}
	})
	s.onShards(func(sh *shard) {
		for id, r := range relayed {
			if r == sh.registry {
				r.Rejoin(id, relayed[id.Peer()])
			}
		}
	})
	s.atOnce(func(sh *shard) {
		for _, f := range *begin[sh] {
			f()
		}
		sh.host.WakeUp()
		sh.alarms.Start()
	})
}
