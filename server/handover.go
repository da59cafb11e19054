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

// HandOver gives everything that this server and its neighbours hold to a
// successor: their data folders, the clients' sockets, and the listeners, by name,
// that Serve and the admin API have. What is in progress when it is called may take until patience
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
	for _, each := range s.Neighbours.all() {
		if len(each.in) > 0 {
			return m, errors.New("objects written in Go cannot move to another process")
		}
	}
	files, closeFiles, err := s.descriptors(listeners)
	if err != nil {
		return m, err
	}
	defer closeFiles()
	last := s.Neighbours.guests.Load() + spareIncarnations
	theirs, err := p.Greet(handover.Hello{Version: version, Worker: s.Name, Data: s.Data, Beside: s.beside(), Incarnation: last}, files...)
	if err != nil {
		return m, err
	}
	m.Version = theirs.Version
	for _, each := range s.Neighbours.all() {
		each.engine.Tidy()
	}
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
	if s.Neighbours.guests.Load() > last {
		return m, errors.New("too many guests were started meanwhile")
	}
	if !asleep(s.Neighbours.shards()) {
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
	arrival, unsaid := p.Arrived()
	watch.lap("restore")
	m.Silence, m.Steps = arrival.Silence, watch.steps
	if unsaid != nil {
		m.Silence = time.Since(heard)
		s.log.Debug("upgrade: the successor does not say that it has arrived", "reason", unsaid)
	}
	s.log.Info("upgrade: where the time went", watch.attrs()...)
	s.depart()
	return m, nil
}

// leaving is how servers let go of the files of their objects, while its successor
// is told everything: their guests end, and then the journals are closed.
type leaving struct {
	done chan struct{} // closed when that is so, or has failed

	// Set before done is closed.
	closed []*Server // whose journals were
	err    error
}

// leaveFiles begins it, when all objects are asleep.
func (s *Server) leaveFiles(ctx context.Context) *leaving {
	l := &leaving{done: make(chan struct{})}
	go func() {
		defer close(l.done)
		began := time.Now()
		if l.err = s.suspend(ctx); l.err == nil {
			guests := time.Since(began)
			for _, each := range s.Neighbours.all() {
				l.closed = append(l.closed, each)
				l.err = errors.Join(l.err, each.engine.Leave())
			}
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
	var err error
	for _, s := range l.closed {
		err = errors.Join(err, s.openStorage())
	}
	return err
}

// finishOlder waits until what is in progress now has ended, or for patience.
func (s *Server) finishOlder(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, sh := range s.Neighbours.shards() {
		var ended func() bool
		sh.loop.Call(func() { ended = sh.host.Older() })
		until(ctx, func() (over bool) {
			sh.loop.Call(func() { over = ended() })
			return over
		})
	}
}

// until asks until the answer is yes, and reports whether it came.
func until(ctx context.Context, yes func() bool) bool {
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
	all, list := s.Neighbours.all(), s.Neighbours.shards()
	for _, each := range all {
		each.door.empty(requests)
	}
	cancel()
	watch.lap("requests")
	heard = watch.last
	events, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	allAsleep := func() bool { return asleep(list) }
	onEach(list, func(sh *shard) { sh.host.StopClients() })
	m.Cut = !until(events, quiet(list))
	watch.lap("events")
	onEach(list, func(sh *shard) { sh.host.PutToSleep() })
	if m.Cut || !until(events, allAsleep) {
		// Their guests end: what these had not begun is in the mailboxes then.
		m.Cut = true
		onEach(list, func(sh *shard) { sh.host.GiveUp() })
		s.suspend(ctx)
		durable, cancel := context.WithTimeout(ctx, settleLimit)
		until(durable, allAsleep)
		cancel()
	}
	watch.lap("sleep")
	return heard, func() {
		onEach(list, func(sh *shard) { sh.registry.Keep() })
		s.resume()
		onEach(list, func(sh *shard) { sh.host.WakeUp() })
		for _, each := range all {
			each.door.open()
		}
	}
}

// atOnce runs f on all loops and waits; what it touches belongs to the shard, or is
// not written.
func atOnce(list []*shard, f func(*shard)) {
	var all sync.WaitGroup
	for _, sh := range list {
		all.Go(func() { sh.loop.Call(func() { f(sh) }) })
	}
	all.Wait()
}

// quiet returns a question: has nothing been in progress in two looks at all
// shards, one after the other, with nothing new between them?
func quiet(list []*shard) func() bool {
	var before uint64
	return func() bool {
		all, sum := true, uint64(1)
		onEach(list, func(sh *shard) {
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

func asleep(list []*shard) bool {
	all := true
	onEach(list, func(sh *shard) { all = all && sh.host.AllAsleep() })
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
	list := s.Neighbours.shards()
	ended := make(chan error, len(list))
	for _, sh := range list {
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
	for range list {
		err = errors.Join(err, <-ended)
	}
	return err
}

// resume pairs with suspend; without it it does nothing.
func (s *Server) resume() {
	for _, sh := range s.Neighbours.shards() {
		if slot, ok := sh.slot.(suspender); ok {
			slot.Resume()
		}
	}
}

// give writes the state of every object.
func (s *Server) give(e *handover.Encoder, m *Moved) error {
	var err error
	onEach(s.Neighbours.shards(), func(sh *shard) {
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
	onEach(s.Neighbours.shards(), func(sh *shard) {
		sh.alarms.Stop()
		sh.registry.Forget(ws.CloseServiceRestart)
		sh.host.GiveUp()
	})
	for _, each := range s.Neighbours.all() {
		each.door.depart()
	}
}

// descriptors are the descriptors that go along: the data folders' locks and the
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
	for _, each := range s.Neighbours.all() {
		if err == nil {
			err = add(each.lockName(s), each.lock.f)
		}
	}
	if err == nil {
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
// data folder: it is New, Start, TakeOver. Refuse tells why not. Of neighbours each
// is built and started, and then the first takes everything over.
func NewSuccessor(c Config, from *handover.Successor) (*Server, error) {
	if c.Neighbours == nil {
		c.Neighbours = new(Neighbours)
	}
	s := &Server{Config: c, before: from}
	first := len(c.Neighbours.all()) == 0
	theirs, err := counterpart(c.Name, first, from.Hello)
	if err != nil {
		return nil, err
	}
	if c.Data != theirs.Data {
		return nil, fmt.Errorf("the running server's data folder is %s, and this one's %s", theirs.Data, c.Data)
	}
	f := from.Files[lockName(c.Name, first)]
	if f == nil {
		return nil, errors.New("the data folder's lock was not handed over")
	}
	s.lock = &lock{f}
	if first {
		c.Neighbours.guests.Store(from.Hello.Incarnation)
	}
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

// TakeOver takes everything from the other process, for this server and its
// neighbours, and goes on with it. It returns the listeners by their names. After
// an error this server has nothing.
func (s *Server) TakeOver(patience time.Duration) (_ map[string]net.Listener, total handover.Total, err error) {
	if err := s.sameWorkers(s.before.Hello); err != nil {
		return nil, total, err
	}
	listeners := make(map[string]net.Listener)
	for name, f := range s.before.Files {
		if !strings.HasPrefix(name, listenerFile) {
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
		if s.Neighbours.owner(o.Key.Namespace) == nil {
			return nil, total, fmt.Errorf("there are objects of the namespace %s, and this Worker has no class for it", o.Key.Namespace)
		}
	}
	all := s.Neighbours.all()
	var a handover.Arrival
	farewell, err := s.before.Have(total, func() error {
		began := time.Now()
		defer func() { a.Opened = time.Since(began) }()
		for _, each := range all {
			if err := each.openStorage(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, total, err
	}
	// From here on nobody else serves.
	began := time.Now()
	s.Neighbours.restore(state)
	a.Restored, a.Silence = time.Since(began), s.changes.goOn(farewell)
	s.before.Serving(a)
	for _, each := range all {
		each.lock.write(fmt.Sprintln(os.Getpid()))
	}
	s.log.Info("upgrade: this process serves", "sockets", total.Descriptors, "opened", a.Opened, "restored", a.Restored, "silence", a.Silence)
	for _, each := range all {
		each.lookForLeft()
	}
	return listeners, total, nil
}

// restore makes the objects and their sockets, and lets them begin when all are
// there.
func (n *Neighbours) restore(state *handover.State) {
	list := n.shards()
	mine := make(map[*shard][]*handover.Object)
	relayed := make(map[dormouse.SocketID]*hibernation.Registry)
	for _, o := range state.Objects {
		sh := n.owner(o.Key.Namespace).of(o.Key)
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
		if s := n.owner(a.Key.Namespace); s != nil {
			alarms[s.of(a.Key)] = append(alarms[s.of(a.Key)], a)
		}
	}
	begin := make(map[*shard]*[]func(), len(list))
	for _, sh := range list {
		begin[sh] = new([]func())
	}
	atOnce(list, func(sh *shard) {
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
	onEach(list, func(sh *shard) {
		for id, r := range relayed {
			if r == sh.registry {
				r.Rejoin(id, relayed[id.Peer()])
			}
		}
	})
	atOnce(list, func(sh *shard) {
		for _, f := range *begin[sh] {
			f()
		}
		sh.host.WakeUp()
		sh.alarms.Start()
	})
}
