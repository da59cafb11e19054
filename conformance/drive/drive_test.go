package drive

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/dormouse-dev/dormouse/conformance/script"
)

func TestSplit(t *testing.T) {
	for command, want := range map[string][]string{
		`do room list`:           {"do", "room", "list"},
		`a text "two words" x`:   {"a", "text", "two words", "x"},
		`a text ""`:              {"a", "text", ""},
		`  a   text "q\"\u00e9"`: {"a", "text", "q\"é"},
	} {
		got, err := split(command)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q (%v), want %q", command, got, err, want)
		}
	}
	for _, bad := range []string{"", `a "open`} {
		if _, err := split(bad); err == nil {
			t.Errorf("%q was split", bad)
		}
	}
}

func TestReadFrame(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		f := frame(0x81, bytes.Repeat([]byte("x"), n))
		// A client's frame is masked, which no server may send.
		if _, _, _, err := readFrame(bufio.NewReader(bytes.NewReader(f))); !strings.HasPrefix(ending(err), "a bad frame") {
			t.Errorf("%d bytes: got %v, want the mask refused", n, err)
		}
		var out bytes.Buffer
		if err := wsutil.WriteServerText(&out, bytes.Repeat([]byte("x"), n)); err != nil {
			t.Fatal(err)
		}
		fin, op, payload, err := readFrame(bufio.NewReader(&out))
		if err != nil || !fin || op != 1 || len(payload) != n {
			t.Errorf("%d bytes: fin %v, opcode %d, %d bytes (%v)", n, fin, op, len(payload), err)
		}
	}
}

// A script against a server of our own: what it can say, and how answers look.
func TestRun(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/do/Room/t.room/probe", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("probe " + strings.Join(r.URL.Query()["arg"], ",")))
	})
	mux.HandleFunc("/do/Room/t.room/fails", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "the caller got it", 500)
	})
	mux.HandleFunc("/log/t.room", func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("from"))
		w.Write([]byte(strings.Join([]string{"one", "two", "three"}[from:], "\n")))
	})
	mux.HandleFunc("/ws/Room/t.room", func(w http.ResponseWriter, r *http.Request) {
		c, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			msg, op, err := wsutil.ReadClientData(c)
			if err != nil {
				return
			}
			wsutil.WriteServerMessage(c, op, msg)
		}
	})
	srv := &http.Server{Handler: mux}
	go srv.Serve(ln)
	defer srv.Close()

	text := `# A script.
> do room probe a "b c" x*3
  probe a,b c,xxx
> do room fails
  status 500
  the caller got it
> log room 2
  one
  two
> log room
  three
> log room
> connect a room
  101
> a text "hello you"
> a recv
  text "hello you"
> a binary 0102
> a recv
  binary 01 02
> a burst 3 m%d
> a collect 3
  m1, m2, m3
> a burst 3 %d
> gather 3 a
  1 2 3
> a ping p
> a recv
  pong "p"
> a hear
  silent
> a close 1000 bye
> a hear
  close 1000 ""
  the connection ended
> connect b nowhere
  404
  404 page not found
> b text hello
  b is not connected
> start job do room probe later
> join job
  probe later
`
	s, err := script.Parse("t", text)
	if err != nil {
		t.Fatal(err)
	}
	answers, err := Run(t.Context(), Runtime{Addr: ln.Addr().String()}, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range s.Compare(script.Workerd, answers) {
		t.Error(d)
	}

	for _, wrong := range []string{"nobody text x", "do room", "a", "start x room probe y", "join nothing", "connect do room", "connect idle room", "pause soon"} {
		s, err := script.Parse("t", "# t\n> "+wrong+"\n")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Run(context.Background(), Runtime{Addr: ln.Addr().String()}, s); err == nil {
			t.Errorf("%q was run", wrong)
		}
	}
}
