package schedules

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
)

// process is a guest as the JavaScript one behaves: it takes frames in batches,
// raises its mark before, runs one event after the other, and says what came of
// it at the end of the batch. What handlers do is written in the messages that
// they get.
type process struct {
	w      *world
	number uint32

	inbox     []frame  // what the host has said, oldest first
	bytes     int      // of inbox
	told      []frame  // taken with the batch that runs
	out       []func() // what the batch that runs has said
	instances map[guest.Object]*instance
	owners    map[dormouse.SocketID]*instance
	pairs     uint32
	exchanges guest.Exchange
	asking    map[guest.Exchange]func() // what goes on when an answer has come
	touched   []*instance
	gone      bool
}

var _ guest.Guest = (*process)(nil)

// frame is something that the host has said.
type frame struct {
	event *guest.Event // of a socket
	to    *instance    // it is for this one
	size  int
	run   func()
}

// instance is an activation in a process.
type instance struct {
	a     guest.Activation
	p     *process
	thing *thing

	born              bool
	gates             int      // critical sections that are open
	waiting           []func() // events behind them
	open              []func() // what ends handlers that have not ended
	tasks             int
	started, finished uint32
	commits           uint32
	rows              []*conn        // hibernatable sockets, oldest first
	closed            map[*conn]bool // that this instance knows to be closed by us
	durable           []func()       // wait for a commit
	gone              bool
	broken            bool // the host has given it up; what it says is not to be known
}

func newProcess(w *world, number uint32) *process {
	return &process{
		w: w, number: number,
		instances: make(map[guest.Object]*instance),
		owners:    make(map[dormouse.SocketID]*instance),
		asking:    make(map[guest.Exchange]func()),
	}
}

// maxMarks is how far the mark may be ahead.
const maxMarks = 16

// work takes up to n frames and says what comes of them.
func (p *process) work(n int) {
	if p.gone {
		return
	}
	for n > 0 && len(p.inbox) > 0 {
		run := min(n, len(p.inbox), maxMarks)
		p.take(run)
		n -= run
	}
	p.finish()
}

// take handles frames under one mark.
func (p *process) take(n int) {
	for range n {
		f := p.inbox[0]
		p.inbox = p.inbox[1:]
		p.bytes -= f.size
		p.told = append(p.told, f)
		f.run()
	}
}

// finish is the end of a batch.
func (p *process) finish() {
	for _, i := range p.touched {
		if i.gone {
			continue
		}
		i.sayProgress()
	}
	p.touched = nil
	p.flush(len(p.out))
	p.told = nil
	p.w.host.Taken(p)
}

// flush says the first n things of the batch.
func (p *process) flush(n int) {
	out := p.out
	p.out = nil
	for _, f := range out[:n] {
		f()
	}
}

// die ends the process in the middle of a batch of up to marked frames, of which
// ran were run, and written parts of what they said in eight came out.
func (p *process) die(marked, ran, written int) {
	marked = min(marked, len(p.inbox), maxMarks)
	ran = min(ran, marked)
	p.take(ran)
	p.flush(len(p.out) * written / 8)
	remains := append(p.told, p.inbox...)
	var begun, unbegun []guest.Event
	for n, f := range remains {
		switch {
		case f.event == nil:
		case n < marked:
			begun = append(begun, *f.event)
		default:
			unbegun = append(unbegun, *f.event)
		}
	}
	p.end()
	p.w.died(p, remains, marked)
	p.w.host.Remains(p, begun, unbegun)
	p.w.host.Gone(p, errors.New("killed"))
}

// end is the end of the process, for itself.
func (p *process) end() {
	p.gone = true
	p.inbox, p.told, p.out, p.touched, p.asking = nil, nil, nil, nil, nil
	if p.w.guest == p {
		p.w.guest = nil
	}
	p.w.procs = slices.DeleteFunc(p.w.procs, func(q *process) bool { return q == p })
}

func (p *process) say(f func()) { p.out = append(p.out, f) }

func (p *process) hear(size int, e *guest.Event, run func()) {
	if p.gone {
		return
	}
	p.inbox = append(p.inbox, frame{e, p.w.addressee(e), size, run})
	p.bytes += size
	p.w.worklater()
}

// Break implements what a host does to a guest that it cannot believe.
func (p *process) Break(err error) { p.w.fail("the host does not believe its guest: %v", err) }

func (p *process) Backlog() int        { return p.bytes }
func (p *process) Incarnation() uint32 { return p.number }

// sayProgress tells how far the instance is.
func (i *instance) sayProgress() {
	progress := guest.Progress{Started: i.started, Finished: i.finished, Tasks: uint32(i.tasks)}
	i.p.say(func() { i.p.w.host.Progress(i.p, i.a.Object, progress) })
}

// touch has the progress of the instance told at the end of the batch.
func (i *instance) touch() {
	if !slices.Contains(i.p.touched, i) {
		i.p.touched = append(i.p.touched, i)
	}
}

// ---- Activations

func (p *process) Start(a guest.Activation) {
	i := &instance{a: a, p: p, thing: p.w.thingOf(a.ID), closed: make(map[*conn]bool)}
	i.thing.starts(i)
	p.hear(64, nil, func() {
		p.instances[a.Object] = i
		for _, s := range a.Sockets {
			if c := p.w.byServer[s.ID]; c != nil {
				i.rows = append(i.rows, c)
				i.closed[c] = s.WeClosed
				p.owners[s.ID] = i
			}
		}
		i.construct()
	})
}

// construct runs the constructor, as the thing has been told to.
func (i *instance) construct() {
	t, p := i.thing, i.p
	mood := t.next
	t.next = wakesWell
	i.touch()
	switch mood {
	case failsAtOnce:
		i.die("constructor", func(e *dormouse.Error) { p.w.host.StartFailed(p, i.a.Object, e) })
		return
	case failsLater:
		i.gates++
		i.open = append(i.open, func() {
			i.die("constructor", func(e *dormouse.Error) { p.w.host.StartFailed(p, i.a.Object, e) })
		})
		return
	case wakesSlowly:
		i.gates++
		i.open = append(i.open, func() { i.gates--; i.birth() })
		return
	case greets:
		for _, c := range i.rows {
			i.send(c)
		}
	}
	i.birth()
}

func (i *instance) birth() {
	i.born = true
	p, o := i.p, i.a.Object
	p.say(func() { p.w.host.Started(p, o, time.Millisecond) })
	i.touch()
	i.pass()
}

// pass lets in what waited at the gate.
func (i *instance) pass() {
	for i.gates == 0 && len(i.waiting) > 0 && !i.gone {
		f := i.waiting[0]
		i.waiting = i.waiting[1:]
		f()
	}
}

// event is an event of the instance, now or when the gate opens.
func (i *instance) event(run func()) {
	begin := func() {
		if !i.born {
			i.p.w.fail("an event began before its constructor had run")
		}
		i.started++
		i.touch()
		run()
	}
	if i.gates > 0 || len(i.waiting) > 0 {
		i.waiting = append(i.waiting, begin)
		return
	}
	begin()
}

// ends is the end of a handler.
func (i *instance) ends() {
	if !i.gone {
		i.finished++
		i.touch()
	}
}

// leave ends the instance for the process.
func (i *instance) leave() {
	i.gone = true
	i.waiting, i.open, i.durable = nil, nil, nil
	delete(i.p.instances, i.a.Object)
	for s, owner := range i.p.owners {
		if owner == i {
			delete(i.p.owners, s)
		}
	}
}

// die ends the instance by itself.
func (i *instance) die(why string, tell func(*dormouse.Error)) {
	if i.gone {
		return
	}
	i.leave()
	i.sayProgress()
	i.p.say(func() {
		i.thing.resets(i)
		tell(&dormouse.Error{Message: why, ObjectReset: true})
	})
}

func (p *process) Hibernate(o guest.Object, delivered uint32, m guest.Mode) {
	p.hear(16, nil, func() {
		i := p.instances[o]
		if i == nil {
			return
		}
		quiet := i.born && i.finished == delivered && i.gates == 0
		if m != guest.Now && (!quiet || m == guest.IfIdle && i.tasks > 0) {
			p.say(func() { p.w.host.Awake(p, o) })
			return
		}
		i.leave()
		i.sayProgress()
		p.say(func() {
			i.thing.leaves(i)
			p.w.host.Asleep(p, o)
		})
	})
}

func (p *process) Reset(o guest.Object, _ *dormouse.Error) {
	for _, t := range p.w.things {
		if t.live != nil && t.live.p == p && t.live.a.Object == o {
			t.resets(t.live)
		}
	}
	p.hear(64, nil, func() {
		i := p.instances[o]
		if i == nil {
			return
		}
		i.leave()
		i.sayProgress()
		p.say(func() {
			i.thing.leaves(i)
			p.w.host.Asleep(p, o)
		})
	})
}

func (p *process) Durable(o guest.Object, commit uint32) {
	p.hear(16, nil, func() {
		i := p.instances[o]
		if i == nil {
			return
		}
		for _, f := range i.durable {
			f()
		}
		i.durable = nil
	})
}

// ---- What sockets say

func (p *process) Message(s dormouse.SocketID, text bool, payload []byte) {
	b := string(payload)
	p.w.delivered(p, s, guest.MessageEvent, b)
	e := &guest.Event{Socket: s, Kind: guest.MessageEvent, Text: text, Payload: []byte(b)}
	p.hear(len(b), e, func() {
		i, c := p.owners[s], p.w.byServer[s]
		if i == nil || c == nil {
			return
		}
		i.event(func() {
			c.hears(i, text, b)
			i.perform(c, commandsOf(b), i.ends)
		})
	})
}

func (p *process) Closed(s dormouse.SocketID, closing guest.Closing) {
	p.w.delivered(p, s, guest.ClosedEvent, "")
	p.hear(64, &guest.Event{Socket: s, Kind: guest.ClosedEvent, Closing: closing}, func() {
		p.lastWord(s, word{closing.Code, closing.Reason, closing.Clean}, closing.Ended)
	})
}

func (p *process) Errored(s dormouse.SocketID, message string) {
	p.w.delivered(p, s, guest.ErroredEvent, "")
	p.hear(64, &guest.Event{Socket: s, Kind: guest.ErroredEvent, Payload: []byte(message)}, func() {
		p.lastWord(s, word{reason: message}, true)
	})
}

func (p *process) lastWord(s dormouse.SocketID, last word, ended bool) {
	i, c := p.owners[s], p.w.byServer[s]
	if i == nil || c == nil {
		return
	}
	i.event(func() {
		c.hearsLast(i, last)
		i.rows = slices.DeleteFunc(i.rows, func(r *conn) bool { return r == c })
		if !ended && c.polite {
			i.close(c, 4002)
		}
		i.ends()
	})
}

func (p *process) Checkpoint(guest.Object, guest.CheckpointStep) {}
func (p *process) CloseDatabase(guest.Object)                    {}
func (p *process) Past(guest.Object, uint32, bool, string)       {}

func (p *process) Stamps([]guest.Stamp)            {}
func (p *process) Buffered(dormouse.SocketID, int) {}

func (p *process) Why(query uint32, _ guest.Object) {
	p.hear(8, nil, func() { p.say(func() { p.w.host.Report(p, query, []byte("[]")) }) })
}

// ---- Exchanges

func (p *process) Request(x guest.Exchange, o guest.Object, r *guest.Request) {
	commands := strings.TrimPrefix(r.URL, "http://x/")
	p.hear(len(r.URL), nil, func() {
		i := p.instances[o]
		if i == nil {
			p.say(func() { p.w.host.FromPeer(p).Failure(x, &dormouse.Error{Message: "not here", ObjectReset: true}) })
			return
		}
		i.event(func() {
			answered := false
			i.request(x, commands, func() {
				if !answered {
					answered = true
					i.ends()
				}
			})
		})
	})
}

// request runs a request: what it is told to, and then it answers.
func (i *instance) request(x guest.Exchange, commands string, done func()) {
	p := i.p
	if tags, ok := strings.CutPrefix(commands, "up "); ok {
		i.upgrade(x, strings.Fields(tags))
		done()
		return
	}
	i.perform(nil, strings.Split(commands, ";"), func() {
		if !i.gone {
			behind := i.output()
			p.say(func() {
				behind.said()
				peer := p.w.host.FromPeer(p)
				peer.Response(x, &guest.Response{Status: 200, StatusText: behind.name, HasBody: true})
				peer.Body(x, []byte("half,"))
				peer.Body(x, []byte("whole"))
				peer.BodyEnd(x)
			})
		}
		done()
	})
}

// upgrade answers with a socket that it has accepted.
func (i *instance) upgrade(x guest.Exchange, tags []string) {
	p := i.p
	p.pairs += 2
	server := dormouse.SocketID(p.number)<<32 | dormouse.SocketID(p.pairs)
	c := p.w.newConn(i.thing, server, tags)
	i.rows = append(i.rows, c)
	p.owners[server] = i
	p.say(func() {
		c.accepted(i)
		p.w.host.Accept(p, i.a.Object, server, tags)
	})
	i.attach(c, "first "+strconv.Itoa(c.n))
	p.say(func() { p.w.host.FromPeer(p).Response(x, &guest.Response{Status: 101, Socket: server.Peer()}) })
}

func (p *process) Alarm(x guest.Exchange, o guest.Object, _ time.Time, _ int) {
	p.hear(32, nil, func() {
		i := p.instances[o]
		if i == nil {
			p.say(func() { p.w.host.FromPeer(p).Failure(x, &dormouse.Error{Message: "not here", ObjectReset: true}) })
			return
		}
		i.event(func() {
			i.thing.alarms++
			i.commit(false)
			p.say(func() { p.w.host.Done(p, x) })
			i.ends()
		})
	})
}

// answered goes on with a request that the process had made.
func (p *process) answered(x guest.Exchange) {
	p.hear(32, nil, func() {
		if f := p.asking[x]; f != nil {
			delete(p.asking, x)
			f()
		}
	})
}

func (p *process) Response(x guest.Exchange, r *guest.Response) {
	if !r.HasBody {
		p.answered(x)
	}
}
func (p *process) BodyEnd(x guest.Exchange)                    { p.answered(x) }
func (p *process) BodyAbort(x guest.Exchange, _ string)        { p.answered(x) }
func (p *process) Failure(x guest.Exchange, _ *dormouse.Error) { p.answered(x) }
func (p *process) Body(guest.Exchange, []byte)                 {}
func (p *process) Credit(guest.Exchange, uint32)               {}
func (p *process) Cancel(guest.Exchange, string)               {}

// ---- Handlers

// commandsOf is what a message asks its handler for: after its number.
func commandsOf(payload string) []string {
	_, commands, _ := strings.Cut(payload, "|")
	return strings.Split(commands, ";")
}

// perform does what a handler is asked for, in order, and calls done when it has
// ended. c is the socket, if one asks.
func (i *instance) perform(c *conn, commands []string, done func()) {
	for n, command := range commands {
		if i.gone {
			return
		}
		rest := func() {
			if !i.gone {
				i.perform(c, commands[n+1:], done)
			}
		}
		name, argument, _ := strings.Cut(command, " ")
		switch name {
		case "reply":
			if c != nil {
				i.send(c)
			}
		case "broadcast":
			i.broadcast()
		case "commit":
			i.commit(false)
		case "unconfirmed":
			i.commit(true)
		case "attach":
			if c != nil {
				i.attach(c, argument)
			}
		case "detach":
			if c != nil {
				i.attach(c, "")
			}
		case "close":
			if c != nil {
				i.close(c, 4001)
			}
		case "pair":
			i.pair(argument)
		case "task":
			i.tasks++
			i.open = append(i.open, func() { i.tasks--; i.touch() })
		case "abort":
			i.die("abort", func(e *dormouse.Error) { i.p.w.host.Aborted(i.p, i.a.Object, e, guest.Abort{DropSockets: true}) })
			return
		case "hang":
			i.open = append(i.open, rest)
			return
		case "section":
			i.gates++
			i.open = append(i.open, func() { i.gates--; rest(); i.pass() })
			return
		case "durable":
			if i.commits > 0 {
				p, o, n := i.p, i.a.Object, i.commits
				p.say(func() { p.w.host.AwaitDurable(p, o, n) })
				i.durable = append(i.durable, rest)
				return
			}
		case "ask":
			i.ask(argument, rest)
			return
		}
	}
	done()
}

func (i *instance) commit(unconfirmed bool) {
	i.commits++
	n, p := i.commits, i.p
	p.say(func() {
		i.thing.committing(i, unconfirmed)
		p.w.host.Commit(p, i.a.Object, n, unconfirmed)
	})
}

func (i *instance) send(c *conn) {
	if i.closed[c] {
		return // a socket that we have closed throws
	}
	o, p := i.output(), i.p
	p.say(func() {
		o.saidTo(c, i)
		p.w.host.Send(p, c.server, true, []byte(o.name))
	})
}

func (i *instance) broadcast() {
	o, p := i.output(), i.p
	var to sockets
	for _, c := range i.rows {
		if !i.closed[c] {
			to = append(to, c)
		}
	}
	p.say(func() {
		for _, c := range to {
			o.saidTo(c, i)
		}
		p.w.host.Broadcast(p, to, true, []byte(o.name))
	})
}

// sockets implements guest.Sockets.
type sockets []*conn

func (s sockets) Len() int                   { return len(s) }
func (s sockets) At(i int) dormouse.SocketID { return s[i].server }

func (i *instance) close(c *conn, code uint16) {
	if i.closed[c] {
		return
	}
	i.closed[c] = true
	o, p := i.output(), i.p
	p.say(func() {
		o.closes(c, i, code)
		p.w.host.Close(p, c.server, code, o.name)
	})
}

func (i *instance) attach(c *conn, value string) {
	p := i.p
	p.say(func() {
		c.attaches(i, value)
		var b []byte
		if value != "" {
			b = []byte(value)
		}
		p.w.host.Attachment(p, c.server, b)
	})
}

func (i *instance) pair(version string) {
	p := i.p
	var pair *guest.Pair
	if version != "" {
		pair = &guest.Pair{Request: "ping", Response: "pong " + version}
	}
	p.say(func() {
		i.thing.pairs(i, pair)
		p.w.host.AutoResponse(p, i.a.Object, pair)
	})
}

// ask calls another object and goes on when it has answered.
func (i *instance) ask(other string, rest func()) {
	p := i.p
	p.exchanges++
	x := p.exchanges*2 + 1
	n, _ := strconv.Atoi(other)
	to := guest.Target{ID: p.w.things[n%len(p.w.things)].key.ID}
	i.tasks++
	p.asking[x] = func() {
		i.tasks--
		i.touch()
		rest()
	}
	p.say(func() { p.w.host.Ask(p, x, i.a.Object, to, &guest.Request{Method: "GET", URL: "http://x/commit"}) })
}

// finishOne lets one thing go on that waits in this process: n chooses.
func (p *process) finishOne(n int) bool {
	var all []*instance
	for _, i := range p.instances {
		if len(i.open) > 0 {
			all = append(all, i)
		}
	}
	if len(all) == 0 {
		return false
	}
	slices.SortFunc(all, func(a, b *instance) int { return int(a.a.Object) - int(b.a.Object) })
	i := all[n%len(all)]
	f := i.open[0]
	i.open = i.open[1:]
	f()
	p.finish()
	return true
}

// output is something that an instance says, which must not leave before the
// commits in front of it.
func (i *instance) output() *output {
	i.p.w.outputs++
	o := &output{thing: i.thing, name: fmt.Sprintf("out %d", i.p.w.outputs), instance: i}
	i.p.w.named[o.name] = o
	return o
}
