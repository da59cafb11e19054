package guesttest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/loop"
)

// Subject is an implementation of the contract that is to be tested: a guest
// that is ready, and that says what it says to Host.
//
// Its first class, which binding 0 reaches too, obeys. A text message is a word
// and the rest behind a space:
//
//	echo TEXT    sends TEXT back
//	all TEXT     sends TEXT to every socket
//	nth          sends how many messages this instance has had, with this one
//	tags         sends the socket's tags with commas between
//	count        sends the number of sockets
//	set TEXT     makes TEXT the socket's attachment
//	get          sends the attachment, or "none"
//	pair A B     sets the auto-response: A is answered with B
//	stamp        sends when the socket was last answered so, in ms, or "never"
//	timeout MS   sets the event timeout
//	close N TEXT closes the socket
//	task MS      keeps the object in memory for so long, without waiting for it
//	throw TEXT   throws
//	abort TEXT   aborts
//
// When a socket closes it sends "left CODE" to all others. A request for
//
//	/accept/TAG  is answered with a socket, whose other end it accepts with TAG
//	/echo        is answered with 201 and its own body, as it comes
//	/throw       fails with a TypeError "no"
//	/ask/NAME    asks the object of that name, POST https://object/hello with
//	             the body "hi", and answers with that answer's body
type Subject struct {
	Loop  *loop.Loop
	Guest guest.Guest
	Host  *Host
	// WaitsForBodies: a request's handler begins when its body has come, or as
	// much of it as the first credit allows.
	WaitsForBodies bool
}

// Run is the kit of the contract: what every guest keeps.
func Run(t *testing.T, start func(t *testing.T) Subject) {
	k := &kit{Subject: start(t)}
	for _, c := range []struct {
		name string
		test func(t *testing.T, k *kit)
	}{
		{"activation", testActivation},
		{"order", testOrder},
		{"table", testTable},
		{"attachment", testAttachment},
		{"auto-response", testAutoResponse},
		{"close", testClose},
		{"throw", testThrow},
		{"hibernate", testHibernate},
		{"crossed", testCrossed},
		{"tasks", testTasks},
		{"abort", testAbort},
		{"reset", testReset},
		{"upgrade", testUpgrade},
		{"bodies", testBodies},
		{"credit", testCredit},
		{"failure", testFailure},
		{"ask", testAsk},
		{"why", testWhy},
		{"nobody", testNobody},
	} {
		t.Run(c.name, func(t *testing.T) {
			k.t = t
			k.mark = len(k.Host.Heard())
			c.test(t, k)
		})
	}
}

// patience is how long anything in the kit may take before it counts as never.
const patience = 20 * time.Second

type kit struct {
	Subject
	t     *testing.T
	mark  int // lines of the host before this test
	last  guest.Object
	pairs uint32
	calls guest.Exchange
}

// thing is an object in the guest, with a socket.
type thing struct {
	*kit
	num       guest.Object
	id        dormouse.ID
	sockets   []dormouse.SocketID
	delivered uint32
}

// on says something to the guest.
func (k *kit) on(f func(g guest.Guest)) {
	k.t.Helper()
	if !k.Loop.Call(func() { f(k.Guest) }) {
		k.t.Fatal("the loop has stopped")
	}
}

// row is a socket that a host had before.
func (k *kit) row(tags ...string) guest.Socket {
	k.pairs += 2
	return guest.Socket{ID: dormouse.SocketID(1<<20)<<32 | dormouse.SocketID(k.pairs), Tags: tags}
}

// object activates an object with these sockets; without any it gets one.
func (k *kit) object(edit func(*guest.Activation), rows ...guest.Socket) *thing {
	k.t.Helper()
	if len(rows) == 0 {
		rows = []guest.Socket{k.row()}
	}
	k.last++
	o := &thing{kit: k, num: k.last}
	copy(o.id[:], fmt.Sprint("object ", k.last))
	a := guest.Activation{Object: o.num, ID: o.id, Sockets: rows}
	if edit != nil {
		edit(&a)
	}
	for _, r := range rows {
		o.sockets = append(o.sockets, r.ID)
	}
	k.on(func(g guest.Guest) { g.Start(a) })
	return o
}

// say sends messages to the first socket.
func (o *thing) say(texts ...string) { o.sayTo(0, texts...) }

func (o *thing) sayTo(socket int, texts ...string) {
	o.t.Helper()
	o.on(func(g guest.Guest) {
		for _, text := range texts {
			o.delivered++
			g.Message(o.sockets[socket], true, []byte(text))
		}
	})
}

// settled waits until every event has begun and finished, and no task is left.
func (o *thing) settled() {
	o.t.Helper()
	o.wait(fmt.Sprintf("progress %d begun %d finished %d tasks 0", o.num, o.delivered, o.delivered))
}

// busy waits until every event has finished, and a task has not. One thing that
// an author does may be several tasks to a guest.
func (o *thing) busy() {
	o.t.Helper()
	line := o.wait(fmt.Sprintf("progress %d begun %d finished %d tasks", o.num, o.delivered, o.delivered))
	if strings.HasSuffix(line, " 0") {
		o.t.Errorf("%s, although it has begun something", line)
	}
}

// wait waits for a line of this test.
func (k *kit) wait(prefix string) string {
	k.t.Helper()
	for end := time.Now().Add(patience); ; {
		for _, line := range k.Host.Heard()[k.mark:] {
			if strings.HasPrefix(line, prefix) {
				return line
			}
		}
		k.Host.Changed(time.Until(end))
		if time.Now().After(end) {
			k.t.Fatalf("%q has not come; heard\n\t%s", prefix, strings.Join(k.Host.Heard()[k.mark:], "\n\t"))
		}
	}
}

// said is what the guest has said in this test, but for reports and logs, whose
// number is its own affair.
func (k *kit) said() (lines []string) {
	for _, line := range k.Host.Heard()[k.mark:] {
		if strings.HasPrefix(line, "aborted ") {
			line = strings.Replace(line, " remote", "", 1) // to those who had called it is
		}
		if !strings.HasPrefix(line, "progress ") && !strings.HasPrefix(line, "log ") && !strings.HasPrefix(line, "blamed ") {
			lines = append(lines, line)
		}
	}
	return lines
}

func (k *kit) wantSaid(want ...string) {
	k.t.Helper()
	if got := k.said(); !slices.Equal(got, want) {
		k.t.Errorf("the guest said\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// sends is a text message of the guest as the lines have it.
func (o *thing) sends(socket int, text string) string {
	return fmt.Sprintf("send %s text %s", Socket(o.sockets[socket]), text)
}

// request begins an exchange with the object.
func (o *thing) request(method, path string, body bool) guest.Exchange {
	o.t.Helper()
	o.calls += 2
	x := o.calls
	o.delivered++
	r := &guest.Request{Method: method, URL: "https://object" + path, HasBody: body}
	if strings.HasPrefix(path, "/accept/") {
		r.Header = []guest.Header{{Name: "upgrade", Value: "websocket"}}
	}
	o.on(func(g guest.Guest) { g.Request(x, o.num, r) })
	return x
}

func testActivation(t *testing.T, k *kit) {
	o := k.object(nil)
	k.wait(fmt.Sprintf("started %d", o.num))
	o.say("nth", "nth")
	o.settled()
	k.wantSaid(fmt.Sprintf("started %d", o.num), o.sends(0, "1"), o.sends(0, "2"))
	other := k.object(nil)
	other.say("nth")
	other.settled()
	k.wantSaid(fmt.Sprintf("started %d", o.num), o.sends(0, "1"), o.sends(0, "2"), fmt.Sprintf("started %d", other.num), other.sends(0, "1"))
}

// testOrder: what is said in one batch, to several objects, is answered in order.
func testOrder(t *testing.T, k *kit) {
	a, b := k.object(nil), k.object(nil)
	var want []string
	k.on(func(g guest.Guest) {
		for n := range 200 {
			o := []*thing{a, b}[n%2]
			o.delivered++
			g.Message(o.sockets[0], true, fmt.Appendf(nil, "echo %d", n))
		}
	})
	a.settled()
	b.settled()
	for _, o := range []*thing{a, b} {
		var got []string
		want = nil
		for n := range 200 {
			if []*thing{a, b}[n%2] == o {
				want = append(want, o.sends(0, fmt.Sprint(n)))
			}
		}
		for _, line := range k.said() {
			if strings.HasPrefix(line, "send "+Socket(o.sockets[0])+" ") {
				got = append(got, line)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %d answers\n\t%s", len(got), strings.Join(got, "\n\t"))
		}
	}
}

func testTable(t *testing.T, k *kit) {
	rows := []guest.Socket{k.row("a", "⛄"), k.row(), k.row("b")}
	rows[1].Stamp = time.UnixMilli(1_700_000_000_123)
	o := k.object(nil, rows...)
	for i := range rows {
		o.sayTo(i, "tags", "stamp")
	}
	o.say("count", "get", "all hello")
	o.settled()
	for i, want := range [][]string{{"a,⛄", "never", "3", "none", "hello"}, {"", "1700000000123", "hello"}, {"b", "never", "hello"}} {
		var got []string
		for _, line := range k.said() {
			if text, ok := strings.CutPrefix(line, o.sends(i, "")); ok {
				got = append(got, text)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("socket %d: got %q, want %q", i, got, want)
		}
	}
	// The largest there may be comes in many frames, and the constructor waits.
	o.say("set y")
	o.settled()
	many := make([]guest.Socket, 5000)
	for i := range many {
		many[i] = k.row("x")
		many[i].Attachment = k.Host.Kept(o.sockets[0])
	}
	large := k.object(nil, many...)
	large.say("count", "get")
	large.settled()
	k.wait(large.sends(0, "5000"))
	k.wait(large.sends(0, "y"))
}

// testAttachment: what the guest has serialised, another activation reads.
func testAttachment(t *testing.T, k *kit) {
	row := k.row()
	o := k.object(nil, row)
	o.say("get", "set red", "get", "set blue", "get")
	o.settled()
	row.Attachment = k.Host.Kept(row.ID)
	k.on(func(g guest.Guest) { g.Hibernate(o.num, o.delivered, guest.IfIdle) })
	k.wait(fmt.Sprintf("asleep %d", o.num))
	next := k.object(nil, row)
	next.say("get")
	next.settled()
	var got []string
	for _, line := range k.said() {
		if text, ok := strings.CutPrefix(line, o.sends(0, "")); ok {
			got = append(got, text)
		}
	}
	if want := []string{"none", "red", "blue", "blue"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func testAutoResponse(t *testing.T, k *kit) {
	o := k.object(nil)
	o.say("pair ping pong", "timeout 5000", "stamp")
	o.settled()
	k.on(func(g guest.Guest) {
		g.Stamps([]guest.Stamp{{Socket: o.sockets[0], At: time.UnixMilli(1_700_000_000_000)}, {Socket: 1<<40 + 2}})
	})
	o.say("stamp")
	o.settled()
	k.wantSaid(fmt.Sprintf("started %d", o.num), fmt.Sprintf("auto-response %d &{ping pong}", o.num), fmt.Sprintf("event timeout %d 5s", o.num),
		o.sends(0, "never"), o.sends(0, "1700000000000"))
}

func testClose(t *testing.T, k *kit) {
	o := k.object(nil, k.row(), k.row(), k.row())
	o.sayTo(1, "close 4000 bye")
	k.on(func(g guest.Guest) {
		o.delivered += 2
		g.Closed(o.sockets[0], guest.Closing{Code: 4001, Reason: "ade", Clean: true, Ended: true})
		g.Closed(o.sockets[1], guest.Closing{Code: 4000, Reason: "bye", Clean: true, Ended: true})
	})
	o.sayTo(2, "count")
	o.settled()
	k.wantSaid(fmt.Sprintf("started %d", o.num), "close "+Socket(o.sockets[1])+` 4000 "bye"`,
		o.sends(2, "left 4001"), o.sends(2, "left 4000"), o.sends(2, "1"))
}

// testThrow: an event that throws has finished, and nothing else ends.
func testThrow(t *testing.T, k *kit) {
	o := k.object(nil)
	o.say("throw boom", "nth")
	o.settled()
	k.wantSaid(fmt.Sprintf("started %d", o.num), o.sends(0, "2"))
}

func testHibernate(t *testing.T, k *kit) {
	o := k.object(nil)
	o.say("nth")
	o.settled()
	k.on(func(g guest.Guest) { g.Hibernate(o.num, o.delivered, guest.IfIdle) })
	k.wait(fmt.Sprintf("asleep %d", o.num))
	o.say("echo nobody") // crossed
	k.sync()
	k.wantSaid(fmt.Sprintf("started %d", o.num), o.sends(0, "1"), fmt.Sprintf("asleep %d", o.num))
	// The next instance is another one, with the same socket.
	next := k.object(nil, guest.Socket{ID: o.sockets[0]})
	next.say("nth")
	next.settled()
	k.wait(fmt.Sprintf("started %d", next.num))
	if said := k.said(); said[len(said)-1] != o.sends(0, "1") {
		t.Errorf("the next instance said %s", said[len(said)-1])
	}
}

// sync returns when the guest has handled all that it was told.
func (k *kit) sync() {
	k.t.Helper()
	o := k.object(nil)
	o.say("echo sync")
	k.wait(o.sends(0, "sync"))
	k.on(func(g guest.Guest) { g.Hibernate(o.num, o.delivered, guest.Now) })
	k.wait(fmt.Sprintf("asleep %d", o.num))
	k.Host.Forget(k.mark, func(line string) bool {
		return line == fmt.Sprintf("started %d", o.num) || line == fmt.Sprintf("asleep %d", o.num) || line == o.sends(0, "sync")
	})
}

// testCrossed: an object does not leave while an event is on its way.
func testCrossed(t *testing.T, k *kit) {
	o := k.object(nil)
	o.say("nth")
	o.settled()
	k.on(func(g guest.Guest) {
		g.Hibernate(o.num, o.delivered+1, guest.IfIdle)
		g.Hibernate(o.num, o.delivered+1, guest.IfQuiet)
	})
	o.say("nth")
	o.settled()
	awake := fmt.Sprintf("awake %d", o.num)
	k.wantSaid(fmt.Sprintf("started %d", o.num), o.sends(0, "1"), awake, awake, o.sends(0, "2"))
}

// testTasks: what an object has begun keeps it, until it is cut.
func testTasks(t *testing.T, k *kit) {
	o := k.object(nil)
	o.say("task 600000")
	o.busy()
	k.on(func(g guest.Guest) { g.Hibernate(o.num, o.delivered, guest.IfIdle) })
	k.wait(fmt.Sprintf("awake %d", o.num))
	k.on(func(g guest.Guest) { g.Hibernate(o.num, o.delivered, guest.IfQuiet) })
	k.wait(fmt.Sprintf("asleep %d", o.num))

	short := k.object(nil)
	short.say("task 1")
	short.settled()
}

// testAbort: nothing comes after it, and others go on.
func testAbort(t *testing.T, k *kit) {
	o, other := k.object(nil), k.object(nil)
	k.on(func(g guest.Guest) {
		g.Message(o.sockets[0], true, []byte("echo before"))
		g.Message(o.sockets[0], true, []byte("abort enough"))
		g.Message(o.sockets[0], true, []byte("echo after"))
	})
	other.say("echo other")
	other.settled()
	k.sync()
	k.wantSaid(fmt.Sprintf("started %d", o.num), fmt.Sprintf("started %d", other.num), o.sends(0, "before"),
		fmt.Sprintf("aborted %d enough reset drop=true", o.num), other.sends(0, "other"))
	begun := "nothing"
	for _, line := range k.Host.Heard()[k.mark:] {
		if strings.HasPrefix(line, fmt.Sprintf("progress %d ", o.num)) {
			begun = line
		}
		if strings.HasPrefix(line, fmt.Sprintf("aborted %d ", o.num)) {
			break
		}
	}
	if want := fmt.Sprintf("progress %d begun 2 ", o.num); !strings.HasPrefix(begun, want) {
		t.Errorf("before the end came %q, want %q: what has begun would be said again", begun, want)
	}
}

func testReset(t *testing.T, k *kit) {
	o := k.object(nil)
	o.say("nth")
	o.settled()
	k.on(func(g guest.Guest) { g.Reset(o.num, &dormouse.Error{Message: "storage failed", ObjectReset: true}) })
	k.wait(fmt.Sprintf("asleep %d", o.num))
	o.say("echo nobody")
	k.sync()
	k.wantSaid(fmt.Sprintf("started %d", o.num), o.sends(0, "1"), fmt.Sprintf("asleep %d", o.num))
}

func testWhy(t *testing.T, k *kit) {
	o := k.object(nil)
	o.say("task 600000")
	o.busy()
	k.on(func(g guest.Guest) { g.Why(7, o.num); g.Why(8, 4_000_000) })
	line := k.wait("report 7 ")
	var why []struct{ Kind, Detail string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "report 7 ")), &why); err != nil || len(why) == 0 || why[0].Kind == "" {
		t.Errorf("%s: %v", line, err)
	}
	if line := k.wait("report 8 "); line != "report 8 []" {
		t.Errorf("of an object that is not there: %s", line)
	}
	k.on(func(g guest.Guest) { g.Hibernate(o.num, o.delivered, guest.Now) })
	k.wait(fmt.Sprintf("asleep %d", o.num))
}

// testNobody: what is said of what is not there has crossed its end.
func testNobody(t *testing.T, k *kit) {
	const o, s, x = 4_000_000, dormouse.SocketID(1<<40 + 2), 4_000_000
	k.on(func(g guest.Guest) {
		g.Message(s, true, []byte("echo x"))
		g.Closed(s, guest.Closing{Code: 1000})
		g.Errored(s, "x")
		g.Hibernate(o, 0, guest.IfIdle)
		g.Reset(o, &dormouse.Error{Message: "x"})
		g.Durable(o, 1)
		g.Buffered(s, 1)
		g.Stamps(nil)
		g.Response(x+1, &guest.Response{Status: 200})
		for _, x := range []guest.Exchange{x, x + 1} {
			g.Body(x, []byte("x"))
			g.BodyEnd(x)
			g.BodyAbort(x, "x")
			g.Credit(x, 1)
			g.Cancel(x, "x")
			g.Failure(x, &dormouse.Error{Message: "x"})
		}
	})
	k.sync()
	k.wantSaid()
}
