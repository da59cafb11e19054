//go:build unix

package nodeguest

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/guest/guestwire/wiretest"
)

// TestMain is the tests, or one of the processes that they start: this binary
// again, with the name of what it is in place of its first flag.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "as-guest":
			beGuest(os.Args[2], os.Args[3:])
			os.Exit(0)
		case "as-parent":
			beParent()
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// process is a guest in a process of its own, in a few lines. How it behaves is
// its name, and what it is told over sockets.
type process struct {
	wiretest.Encoder
	conn    *os.File
	marks   *os.File
	frames  uint64 // of the host, read
	version uint16
	objects map[dormouse.SocketID]guest.Object
	counts  map[guest.Object]*guest.Progress
}

func beGuest(how string, args []string) {
	conn := os.NewFile(3, "host")
	p := &process{
		conn: conn, marks: os.NewFile(4, "marks"), version: 1,
		objects: make(map[dormouse.SocketID]guest.Object), counts: make(map[guest.Object]*guest.Progress),
	}
	p.Out = func(b []byte) { conn.Write(b) }
	switch how {
	case "good":
	case "version":
		p.version = 2
	case "unfit":
		p.Encoder.Unfit(&dormouse.Error{Name: "SyntaxError", Message: "Unexpected token", Stack: "at index.ts:3"})
		return
	case "silent":
		select {}
	case "dies":
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(7)
	case "garbage":
		conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		select {}
	case "prints":
		fmt.Println("to standard output")
		fmt.Fprintln(os.Stderr, "to standard error")
		fmt.Println(strings.Repeat("x", 100<<10))
		fmt.Print("an end without a line")
	case "environment":
		fmt.Println(len(os.Environ()), "variables", strings.Join(os.Environ(), " "))
	case "parent-of":
		// A child that outlives it, and holds what it has inherited.
		c := exec.Command(os.Args[0], "as-guest", "sleeper")
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	case "sleeper":
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
		time.Sleep(time.Minute)
		return
	default:
		panic("no such guest: " + how)
	}
	_ = args
	p.serve()
}

// serve handles frames until the host goes.
func (p *process) serve() {
	d := wiretest.Decoder{To: p}
	var in []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := p.conn.Read(buf)
		if err != nil {
			if err != io.EOF {
				fmt.Fprintln(os.Stderr, err)
			}
			return
		}
		in = append(in, buf[:n]...)
		rest, err := d.Feed(in)
		if err != nil {
			fmt.Fprintln(os.Stderr, "bad frame from the host:", err)
			os.Exit(2)
		}
		in = append(in[:0], rest...)
		p.Raw(0x59, binary.LittleEndian.AppendUint64(nil, p.frames))
	}
}

// got counts a frame of the host, and marks it as begun.
func (p *process) got() {
	p.frames++
	p.marks.WriteAt(binary.LittleEndian.AppendUint64(nil, p.frames), 0)
}

func (p *process) Hello(uint32, []byte) {
	p.got()
	p.SayReady(p.version, `{"node":"v26.0.0","pid":1}`)
}
func (p *process) Shutdown(time.Duration) { p.got() }

func (p *process) Start(a guest.Activation) {
	p.got()
	if len(a.Sockets) > 0 {
		p.frames++ // its table, which fits into one frame here
	}
	p.counts[a.Object] = new(guest.Progress)
	for _, s := range a.Sockets {
		p.objects[s.ID] = a.Object
	}
	p.Started(nil, a.Object, time.Millisecond)
}

// Message does what the text says.
func (p *process) Message(s dormouse.SocketID, text bool, payload []byte) {
	p.got()
	c := p.counts[p.objects[s]]
	c.Started++
	word, rest, _ := strings.Cut(string(payload), " ")
	switch word {
	case "echo":
		p.Send(nil, s, text, []byte(rest))
	case "exit":
		p.Send(nil, s, true, []byte("last send"))
		os.Exit(3)
	case "say-much-and-exit":
		n, _ := strconv.Atoi(rest)
		for i := range n {
			p.Send(nil, s, true, fmt.Appendf(make([]byte, 1000), "%d", i))
		}
		p.Send(nil, s, true, []byte("last send"))
		os.Exit(3)
	case "garbage":
		p.Raw(0xee, []byte("what is this"))
	case "print":
		fmt.Println(rest)
	case "stop-reading":
		select {}
	case "close-stream":
		p.conn.Close()
		time.Sleep(time.Minute)
	}
	c.Finished++
	p.Progress(nil, p.objects[s], *c)
}

func (p *process) Closed(dormouse.SocketID, guest.Closing)                  { p.got() }
func (p *process) Errored(dormouse.SocketID, string)                        { p.got() }
func (p *process) Alarm(guest.Exchange, guest.Object, time.Time, int)       { p.got() }
func (p *process) Hibernate(o guest.Object, _ uint32, _ guest.Mode)         { p.got(); p.Asleep(nil, o) }
func (p *process) Reset(guest.Object, *dormouse.Error)                      { p.got() }
func (p *process) Durable(guest.Object, uint32)                             { p.got() }
func (p *process) Why(uint32, guest.Object)                                 { p.got() }
func (p *process) Stamps([]guest.Stamp)                                     { p.got() }
func (p *process) Buffered(dormouse.SocketID, int)                          { p.got() }
func (p *process) Clock(time.Duration)                                      { p.got() }
func (p *process) Request(guest.Exchange, guest.Object, *guest.Request)     { p.got() }
func (p *process) Response(guest.Exchange, *guest.Response)                 { p.got() }
func (p *process) Body(guest.Exchange, []byte)                              { p.got() }
func (p *process) BodyEnd(guest.Exchange)                                   { p.got() }
func (p *process) BodyAbort(guest.Exchange, string)                         { p.got() }
func (p *process) Credit(guest.Exchange, uint32)                            { p.got() }
func (p *process) Cancel(guest.Exchange, string)                            { p.got() }
func (p *process) Failure(guest.Exchange, *dormouse.Error)                  { p.got() }
func (p *process) BeginSession(guest.Session, guest.Object, *guest.Opening) { p.got() }
func (p *process) SessionMessage(guest.Session, []byte)                     { p.got() }
func (p *process) SessionCredit(guest.Session, uint32)                      { p.got() }
func (p *process) SessionClose(guest.Session, []byte)                       { p.got() }
func (p *process) SessionFailure(guest.Session, *dormouse.Error)            { p.got() }
func (p *process) Backlog() int                                             { return 0 }
func (p *process) Incarnation() uint32                                      { return 0 }
func (p *process) Checkpoint(guest.Object, guest.CheckpointStep)            { p.got() }
func (p *process) Past(guest.Object, uint32, bool, string)                  { p.got() }
func (p *process) CloseDatabase(guest.Object)                               { p.got() }
