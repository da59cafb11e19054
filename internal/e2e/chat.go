package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// The chat example's bounds; examples/chat/src/room.ts has them.
const (
	history = 100
	burst   = 10 // messages at once
	pace    = 2 * time.Second
)

// Chat is what the chat example promises, as subtests. Each has a room of its
// own, named for the test, so all may run at the same time.
func Chat(t *testing.T, s Target) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Target)
	}{
		{"WhoIsHere", whoIsHere},
		{"OnePersonInTwoTabs", onePersonInTwoTabs},
		{"History", lastHundred},
		{"ToldOnce", toldOnce},
		{"RateLimit", rateLimit},
		{"Refused", refused},
		{"Portrait", portrait},
		{"RoomsAreApart", roomsAreApart},
		{"Page", page},
		{"Hibernation", hibernation},
		{"RawFrames", rawFrames},
		{"ClientOfNpm", clientOfNpm},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, s)
		})
	}
}

// roomOf names a room for a test. It has a space and a slash, as names may.
func roomOf(t *testing.T) string { return t.Name() + " 1" }

func whoIsHere(t *testing.T, s Target) {
	room := roomOf(t)
	ada := Visit(t, s, room, "Ada")
	if got := names(ada.Welcome.People); !slices.Equal(got, []string{"Ada"}) {
		t.Errorf("alone: %v are here, want Ada", got)
	}
	bob := Visit(t, s, room, "Bob")
	if got := names(bob.Welcome.People); !slices.Equal(got, []string{"Ada", "Bob"}) {
		t.Errorf("two: %v are here, want Ada, Bob", got)
	}
	if got := ada.Hear("join").Person.Name; got != "Bob" {
		t.Errorf("%q came in, want Bob", got)
	}
	ada.Say("Good evening.")
	for _, v := range []*Visitor{ada, bob} {
		if m := v.HearSaid("Good evening."); m.Name != "Ada" || m.ID == 0 {
			t.Errorf("heard %+v, want it from Ada, with an id", m)
		}
	}
	ada.Ping()
	bob.Leave()
	if got := ada.Hear("quit").Name; got != "Bob" {
		t.Errorf("%q left, want Bob", got)
	}
	// A connection that is lost ends like one that is closed.
	Visit(t, s, room, "Mia").Vanish()
	if got := ada.Hear("quit").Name; got != "Mia" {
		t.Errorf("%q left, want Mia", got)
	}
}

func onePersonInTwoTabs(t *testing.T, s Target) {
	room := roomOf(t)
	bob := Visit(t, s, room, "Bob")
	first := Visit(t, s, room, "Ada")
	second := Visit(t, s, room, "ADA ")
	if got := names(second.Welcome.People); !slices.Equal(got, []string{"Bob", "Ada"}) {
		t.Errorf("%v are here, want Bob, Ada", got)
	}
	first.Leave()
	second.Say("Still here.")
	bob.HearSaid("Still here.")
	second.Leave()
	bob.Say("Alone.")
	heard := bob.HearAll(func(n News) bool { return n.Message.Text == "Alone." || n.Type == "quit" })
	if got := heard[len(heard)-1]; got.Type == "quit" {
		heard = append(heard, bob.HearAll(func(n News) bool { return n.Message.Text == "Alone." })...)
	}
	quits := slices.DeleteFunc(heard, func(n News) bool { return n.Type != "quit" })
	if len(quits) != 1 {
		t.Errorf("heard %d times that Ada left, want once: %+v", len(quits), quits)
	}
}

func lastHundred(t *testing.T, s Target) {
	room := roomOf(t)
	const said = history + 5
	var want []string
	for speaker := 0; len(want) < said; speaker++ {
		v := Visit(t, s, room, fmt.Sprint("Speaker ", speaker))
		for i := 0; i < burst && len(want) < said; i++ {
			want = append(want, fmt.Sprint("number ", len(want)))
			v.Say(want[len(want)-1])
		}
		v.HearSaid(want[len(want)-1])
	}
	var got []string
	var ids []int64
	for _, m := range Visit(t, s, room, "Late").Welcome.Messages {
		got, ids = append(got, m.Text), append(ids, m.ID)
	}
	if !slices.Equal(got, want[said-history:]) {
		t.Errorf("history is %q, want the last %d of %d in order", got, history, said)
	}
	if !slices.IsSorted(ids) {
		t.Errorf("ids are %v, want them ascending", ids)
	}
}

func toldOnce(t *testing.T, s Target) {
	room := roomOf(t)
	ada := Visit(t, s, room, "Ada")
	ada.SayAs("Did you hear?", "a ref")
	ada.SayAs("Did you hear?", "a ref") // as after a lost connection
	ada.SayAs("Next.", "another ref")
	heard := ada.HearAll(func(n News) bool { return n.Message.Ref == "another ref" })
	if len(heard) != 2 {
		t.Errorf("heard %+v, want each message once", heard)
	}
}

func rateLimit(t *testing.T, s Target) {
	room := roomOf(t)
	bob := Visit(t, s, room, "Bob")
	ada := Visit(t, s, room, "Ada")
	for i := range burst + 1 {
		ada.SayAs(fmt.Sprint("number ", i), fmt.Sprint("ref ", i))
	}
	slow := ada.Hear("slow")
	if want := fmt.Sprint("ref ", burst); slow.Ref != want || slow.Wait <= 0 || slow.Wait > float64(pace.Milliseconds()) {
		t.Errorf("told to slow down: %+v, want it for %q, for at most %v", slow, want, pace)
	}
	bob.Say("I may.")
	heard := bob.HearAll(func(n News) bool { return n.Message.Name == "Bob" })
	if said := slices.DeleteFunc(heard, func(n News) bool { return n.Message.Name != "Ada" }); len(said) != burst {
		t.Errorf("Bob heard %d messages of Ada, want %d", len(said), burst)
	}
}

func refused(t *testing.T, s Target) {
	ada := Visit(t, s, roomOf(t), "Ada")
	for _, bad := range []string{"", "{", "null", `{"type":"shout","text":"HEY"}`, `{"type":"say","text":7}`, `{"type":"say","text":"  "}`,
		`{"type":"say","text":"` + strings.Repeat("a", 2001) + `"}`} {
		ada.Send(ws.OpText, []byte(bad))
		if n := ada.HearAll(func(News) bool { return true }); n[0].Type != "refused" || n[0].Why == "" {
			t.Errorf("%.40q was answered %+v, want a refusal with its reason", bad, n[0])
		}
	}
	ada.Send(ws.OpBinary, []byte("no picture"))
	ada.Hear("refused")
	for _, path := range []string{"/api/room/x/websocket?name=", "/api/room/%FF/websocket?name=a", "/api/room/" + strings.Repeat("x", 65) + "/websocket?name=a"} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		conn, _, _, err := ws.Dial(ctx, "ws"+strings.TrimPrefix(s.URL, "http")+path)
		cancel()
		if err == nil {
			conn.Close()
			t.Errorf("%s let somebody in", path)
		}
	}
}

// A picture is larger than an attachment may be: the room stores it and
// attaches its key.
func portrait(t *testing.T, s Target) {
	room := roomOf(t)
	bob := Visit(t, s, room, "Bob")
	ada := Visit(t, s, room, "Ada")
	picture := somePicture(60_000)
	ada.Send(ws.OpBinary, picture)
	who := bob.Hear("portrait").Person
	if who.Name != "Ada" || who.Portrait == "" {
		t.Fatalf("%+v has a portrait, want Ada, and where it is", who)
	}
	status, body, header := get(t, s.Portrait(room, who.Portrait))
	if status != http.StatusOK || !bytes.Equal(body, picture) || header.Get("Content-Type") != "image/png" {
		t.Errorf("the portrait is %d bytes of %s, status %d; want the %d bytes that were sent, as image/png", len(body), header.Get("Content-Type"), status, len(picture))
	}
	if late := Visit(t, s, room, "Late").Welcome.People; !slices.Contains(late, who) {
		t.Errorf("a newcomer sees %+v, want %+v among them", late, who)
	}
	ada.Leave()
	bob.Hear("quit")
	if status, _, _ := get(t, s.Portrait(room, who.Portrait)); status != http.StatusNotFound {
		t.Errorf("after Ada left her portrait gives %d, want %d", status, http.StatusNotFound)
	}
}

func roomsAreApart(t *testing.T, s Target) {
	here, there := roomOf(t), roomOf(t)+"0"
	ada, bob := Visit(t, s, here, "Ada"), Visit(t, s, there, "Bob")
	ada.Say("Is anybody here?")
	ada.HearSaid("Is anybody here?")
	bob.Say("Nobody.")
	if heard := bob.HearAll(func(n News) bool { return n.Type == "message" }); len(heard) != 1 || heard[0].Message.Text != "Nobody." {
		t.Errorf("in the other room was heard %+v, want only what was said there", heard)
	}
}

func page(t *testing.T, s Target) {
	for path, want := range map[string]string{
		"/": "text/html", "/room/lobby": "text/html", "/chat.css": "text/css", "/chat.js": "text/javascript", "/dormouse.svg": "image/svg+xml",
	} {
		status, body, header := get(t, s.URL+path)
		if got, _, _ := strings.Cut(header.Get("Content-Type"), ";"); status != http.StatusOK || got != want || len(body) < 500 {
			t.Errorf("%s: %d bytes of %s, status %d; want a file of %s", path, len(body), got, status, want)
		}
		if csp := header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s: policy %q lets things in from elsewhere", path, csp)
		}
	}
	for path, want := range map[string]int{"/none": http.StatusNotFound, "/api/room/x/none": http.StatusNotFound, "/api/room/x/websocket?name=a": http.StatusUpgradeRequired} {
		if status, _, _ := get(t, s.URL+path); status != want {
			t.Errorf("%s: status %d, want %d", path, status, want)
		}
	}
}

func names(people []Person) []string {
	var all []string
	for _, p := range people {
		all = append(all, p.Name)
	}
	return all
}

// somePicture begins as a PNG does; nobody here looks further.
func somePicture(size int) []byte {
	picture := make([]byte, size)
	rand.Read(picture)
	copy(picture, "\x89PNG\r\n\x1a\n")
	return picture
}

func get(t *testing.T, url string) (status int, body []byte, header http.Header) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	return res.StatusCode, body, res.Header
}
