package goworker

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
)

// room is the object of most scripts: it writes down whatever happens to it, and
// does what a request or a message asks. See worker/src/room.ts.
type room struct {
	state  *dormouse.State
	book   *book
	name   string
	memory map[string]any // until it leaves memory
}

func newRoom(s *dormouse.State, b *book) (*room, error) {
	o := &room{state: s, book: b, memory: make(map[string]any)}
	o.name, _ = s.Name()
	o.note("constructed")
	return o, o.construct()
}

func (o *room) note(line string) { o.book.note(o.name, line) }

func (o *room) plans(what string) bool { return slices.Contains(o.book.planned(o.name), what) }

// construct does what a script has planned for the constructor.
func (o *room) construct() error {
	ctx := context.Background()
	if o.plans("constructor-throws") {
		return &dormouse.Error{Name: "RangeError", Message: "the constructor threw"}
	}
	if o.plans("constructor-blocks") {
		o.state.BlockConcurrencyWhile(ctx, func(context.Context) error {
			o.note("the constructor waits")
			time.Sleep(200 * time.Millisecond)
			o.note("the constructor has waited")
			return nil
		})
	}
	if o.plans("constructor-block-fails") {
		o.state.BlockConcurrencyWhile(ctx, func(context.Context) error {
			return &dormouse.Error{Name: "RangeError", Message: "the constructor's section threw"}
		})
	}
	if o.plans("constructor-uses-sockets") {
		var tags [][]string
		for ws := range o.state.WebSockets() {
			tags = append(tags, o.state.Tags(ws))
		}
		o.note("the constructor sees " + show(tags))
		for ws := range o.state.WebSockets() {
			o.note("the constructor reads " + show(attachment(ws)))
			ws.SendText("from the constructor")
			ws.SetAttachment("from the constructor")
		}
	}
	if o.plans("constructor-gets-alarm") {
		at, err := o.state.Storage().Alarm()
		if err != nil {
			return err
		}
		text := "a time"
		if at.IsZero() {
			text = "null"
		}
		o.note("the constructor's getAlarm is " + text)
	}
	if o.plans("constructor-uses-storage") {
		n, err := o.add("births")
		if err != nil {
			return err
		}
		o.note(fmt.Sprintf("births %d", n))
	}
	return nil
}

// add counts in storage.
func (o *room) add(key string) (int, error) {
	n, _, err := dormouse.Get[int](o.state.Storage(), key)
	if err != nil {
		return 0, err
	}
	return n + 1, dormouse.Put(o.state.Storage(), key, n+1)
}

// attachment is a socket's, nil if there is none.
func attachment(ws *dormouse.WebSocket) any {
	var v any
	if _, err := ws.Attachment(&v); err != nil {
		return complaint(err)
	}
	return v
}

// ServeHTTP implements http.Handler.
func (o *room) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	words := strings.Split(r.URL.Path, "/")
	if words[1] == "ws" {
		o.join(w, r)
		return
	}
	var lines []string
	if err := o.run(r.Context(), words[4], r.URL.Query()["arg"], func(line string) { lines = append(lines, line) }, nil); err != nil {
		panic(err) // the caller gets it
	}
	fmt.Fprint(w, strings.Join(lines, "\n"))
}

// join accepts a socket: tags, and what else the query asks for.
func (o *room) join(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch q.Get("instead") {
	case "426":
		w.WriteHeader(http.StatusUpgradeRequired)
		fmt.Fprint(w, "no sockets here")
		return
	case "200":
		fmt.Fprint(w, "an ordinary answer")
		return
	}
	if q.Has("protocol") {
		w.Header().Set("Sec-WebSocket-Protocol", q.Get("protocol"))
	}
	if q.Has("header") {
		w.Header().Set("X-Header", q.Get("header"))
	}
	ws, err := o.state.AcceptWebSocket(w, r, q["tag"]...)
	if err != nil {
		return // answered
	}
	if q.Has("attach") {
		ws.SetAttachment(q.Get("attach"))
	}
	for _, hello := range q["hello"] {
		ws.SendText(hello)
	}
}

// run runs a probe.
func (o *room) run(ctx context.Context, what string, args []string, say func(string), ws *dormouse.WebSocket) error {
	probe := probes[what]
	if probe == nil {
		if ws != nil {
			return nil
		}
		return &dormouse.Error{Message: "no probe " + what}
	}
	return probe(&asked{room: o, ctx: ctx, args: args, say: say, ws: ws})
}

// tag is the first tag, by which a script knows its sockets.
func (o *room) tag(ws *dormouse.WebSocket) string {
	if tags := o.state.Tags(ws); len(tags) > 0 {
		return tags[0]
	}
	return "-"
}

// WebSocketMessage implements dormouse.MessageHandler.
func (o *room) WebSocketMessage(ctx context.Context, ws *dormouse.WebSocket, m dormouse.Message) error {
	if !m.Text {
		o.note(fmt.Sprintf("message of %s: %s", o.tag(ws), show(m.Data)))
		return nil
	}
	text := m.String()
	if !strings.HasPrefix(text, ".") {
		o.note(fmt.Sprintf("message of %s: %s", o.tag(ws), show(text)))
	}
	words := strings.Split(strings.TrimPrefix(text, "."), " ")
	return o.run(ctx, words[0], words[1:], o.note, ws)
}

// facts are what is known of a socket.
func (o *room) facts(ws *dormouse.WebSocket) string {
	listed := "not listed"
	for other := range o.state.WebSockets() {
		if other == ws {
			listed = "listed"
		}
	}
	return fmt.Sprintf("readyState %d, %s, tags %s, attachment %s", ws.ReadyState(), listed, show(o.state.Tags(ws)), show(attachment(ws)))
}

// WebSocketClose implements dormouse.CloseHandler.
func (o *room) WebSocketClose(ctx context.Context, ws *dormouse.WebSocket, c dormouse.Closing) error {
	clean := "not clean"
	if c.Clean {
		clean = "clean"
	}
	o.note(fmt.Sprintf("close of %s: %d %s %s, %s", o.tag(ws), c.Code, show(c.Reason), clean, o.facts(ws)))
	attempt := func(what string, err error) {
		if err != nil {
			o.note(fmt.Sprintf("in close, %s: %s", what, complaint(err)))
			return
		}
		o.note(fmt.Sprintf("in close, %s: readyState %d", what, ws.ReadyState()))
	}
	if o.plans("close-sends") {
		attempt("send", ws.SendText("sent while closing"))
	}
	if o.plans("close-answers") {
		code := c.Code
		if code == 1005 || code == 1006 {
			code = 1000
		}
		attempt("close", ws.Close(code, c.Reason))
	}
	if o.plans("close-throws") {
		panic("the close handler threw")
	}
	return nil
}

// WebSocketError implements dormouse.ErrorHandler.
func (o *room) WebSocketError(ctx context.Context, ws *dormouse.WebSocket, cause error) error {
	o.note(fmt.Sprintf("error of %s: %s, %s", o.tag(ws), complaint(cause), o.facts(ws)))
	if !o.plans("error-uses") {
		return nil
	}
	for _, a := range []struct {
		what string
		do   func() error
	}{{"send", func() error { return ws.SendText("x") }}, {"close", func() error { return ws.Close(1000, "") }}} {
		if err := a.do(); err != nil {
			o.note(fmt.Sprintf("in error, %s: %s", a.what, complaint(err)))
		} else {
			o.note(fmt.Sprintf("in error, %s: readyState %d", a.what, ws.ReadyState()))
		}
	}
	return nil
}

// mute accepts sockets and has no handler for them.
type mute struct{ state *dormouse.State }

func newMute(s *dormouse.State, _ *book) (*mute, error) { return &mute{s}, nil }

// ServeHTTP implements http.Handler.
func (o *mute) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/ws/") {
		o.state.AcceptWebSocket(w, r)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/set-alarm") {
		set := o.state.Storage().SetAlarm(time.Now().Add(far))
		at, err := o.state.Storage().Alarm()
		got := "a time"
		if at.IsZero() {
			got = "null"
		}
		fmt.Fprintf(w, "set %s, got %s", outcome(set), got)
		if err != nil {
			fmt.Fprintf(w, ", %v", err)
		}
		return
	}
	n := 0
	for range o.state.WebSockets() {
		n++
	}
	fmt.Fprintf(w, "sockets %d", n)
}
