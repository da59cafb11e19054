package dormouse_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/server"
)

// table is an object around which people sit.
type table struct{ state *dormouse.State }

func newTable(s *dormouse.State, _ struct{}) (*table, error) {
	// Pings wake nobody. It is set each time, because a reset forgets it.
	return &table{s}, s.SetAutoResponse("ping", "pong")
}

// guest is what the object keeps with a socket, over its own sleep.
type guest struct{ Name string }

func (o *table) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	socket, err := o.state.AcceptWebSocket(w, r, "everybody", "name:"+name)
	if err != nil {
		return // the request has been answered
	}
	socket.SetAttachment(guest{name})
}

func (o *table) WebSocketMessage(_ context.Context, from *dormouse.WebSocket, m dormouse.Message) error {
	var who guest
	if _, err := from.Attachment(&who); err != nil {
		return err
	}
	if to, text, private := strings.Cut(m.String(), ": "); private {
		for socket := range o.state.WebSockets("name:" + to) {
			socket.SendText(who.Name + " whispers " + text)
		}
		return nil
	}
	for socket := range o.state.WebSockets("everybody") {
		if socket != from {
			socket.SendText(who.Name + " says " + m.String())
		}
	}
	return from.SendMessage(m) // as it came
}

func (o *table) WebSocketClose(_ context.Context, left *dormouse.WebSocket, c dormouse.Closing) error {
	for socket := range o.state.WebSockets("everybody") {
		if socket != left {
			socket.SendText(fmt.Sprintf("%v has left with %d %q", o.state.Tags(left)[1], c.Code, c.Reason))
		}
	}
	return nil
}

// atTable serves one table to clients, who are connected by name.
func atTable(f func(join func(name string) net.Conn)) {
	s := new(server.Server)
	defer s.Shutdown(context.Background())
	h := httptest.NewServer(s.Define(dormouse.NewClass("Table", newTable, struct{}{})).ByName("round"))
	defer h.Close()
	f(func(name string) net.Conn {
		c, _, _, err := ws.Dial(context.Background(), strings.Replace(h.URL, "http", "ws", 1)+"/?name="+name)
		if err != nil {
			panic(err)
		}
		return c
	})
}

func say(c net.Conn, text string) { wsutil.WriteClientText(c, []byte(text)) }

func hear(c net.Conn) string {
	text, err := wsutil.ReadServerText(c)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Sockets are found by their tags, also after the object has slept.
func ExampleState_WebSockets() {
	atTable(func(join func(name string) net.Conn) {
		ada, bob := join("ada"), join("bob")
		defer bob.Close()
		say(ada, "hello")
		fmt.Println(hear(ada))
		fmt.Println(hear(bob))
		say(bob, "ada: psst")
		fmt.Println(hear(ada))
		ada.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye")))))
		fmt.Println(hear(bob))
		ada.Close()
	})
	// Output:
	// hello
	// ada says hello
	// bob whispers psst
	// name:ada has left with 1000 "bye"
}

// What a socket needs to be known by stays with it.
func ExampleWebSocket_SetAttachment() {
	atTable(func(join func(name string) net.Conn) {
		ada, bob := join("ada"), join("bob")
		defer ada.Close()
		defer bob.Close()
		say(ada, "who am I?")
		fmt.Println(hear(bob)) // the name is that of the attachment
	})
	// Output:
	// ada says who am I?
}

// The server answers, and the object sleeps on.
func ExampleState_SetAutoResponse() {
	atTable(func(join func(name string) net.Conn) {
		ada := join("ada")
		defer ada.Close()
		say(ada, "ping")
		fmt.Println(hear(ada))
	})
	// Output:
	// pong
}
