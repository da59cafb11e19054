//go:build unix

package handover

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/ws"
)

// ends makes both ends of a link.
func ends(t *testing.T) (*Predecessor, *Successor) {
	t.Helper()
	ours, file, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := NewLink(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return NewPredecessor(ours), &Successor{link: theirs}
}

// many is an object with n sockets, each of which has the reading end of a pipe.
func many(t *testing.T, n int) (o *Object, pipes []*os.File) {
	t.Helper()
	o = &Object{Key: dormouse.Key{Namespace: "a"}}
	for i := range n {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		pipes = append(pipes, w)
		s := hibernation.SavedSocket{ID: dormouse.SocketID(i), Conn: &ws.Saved{Descriptor: int(r.Fd())}}
		if i%100 == 0 {
			s.Attachment = make([]byte, 100<<10)
		}
		o.Sockets.Sockets = append(o.Sockets.Sockets, s)
	}
	return o, pipes
}

func TestHandover(t *testing.T) {
	p, s := ends(t)
	o, pipes := many(t, 700)
	farewell := Farewell{Story: Story{Moved: 9}, Since: time.Now().Round(0)}
	farewell.Story.Upgrades.Add(time.Second, nil)
	result := make(chan error, 1)
	go func() {
		result <- func() error {
			file := File{"lock", int(pipes[0].Fd())}
			if _, err := p.Greet(Hello{Version: "1", Worker: "w", Data: "/d", Incarnation: 7}, file); err != nil {
				return err
			}
			if err := p.Prepared(); err != nil {
				return err
			}
			if _, err := p.Give(func(e *Encoder) error { return e.Object(o) }); err != nil {
				return err
			}
			if err := p.Yours(farewell); err != nil {
				return err
			}
			a, err := p.Arrived()
			if want := (Arrival{1, 2, 3}); err == nil && a != want {
				err = fmt.Errorf("arrived as %+v, want %+v", a, want)
			}
			return err
		}()
	}()
	if err := s.Greet(Hello{Version: "2"}); err != nil {
		t.Fatal(err)
	}
	if want := (Hello{Format: Format, Oldest: Oldest, Version: "1", Worker: "w", Data: "/d", Incarnation: 7}); !reflect.DeepEqual(s.Hello, want) {
		t.Errorf("the predecessor is %+v, want %+v", s.Hello, want)
	}
	state, total, err := s.Take(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if total.Sockets != 700 || total.Descriptors != 700 || s.Files["lock"] == nil {
		t.Fatalf("got %+v and the files %v", total, s.Files)
	}
	defer s.Files["lock"].Close()
	got, err := s.Have(total, func() error { return nil })
	if err != nil || got.Story != farewell.Story || !got.Since.Equal(farewell.Since) {
		t.Fatalf("got %+v, %v, want %+v", got, err, farewell)
	}
	s.Serving(Arrival{1, 2, 3})
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	// Each descriptor is the one that belongs to its socket.
	for i, w := range pipes {
		w.Write([]byte{byte(i), byte(i >> 8)})
		r := os.NewFile(uintptr(state.Objects[0].Sockets.Sockets[i].Conn.Descriptor), "")
		var b [2]byte
		if _, err := r.Read(b[:]); err != nil || b != [2]byte{byte(i), byte(i >> 8)} {
			t.Fatalf("socket %d has the descriptor of another: %v, %v", i, b, err)
		}
		r.Close()
	}
}

func TestVersionsThatDoNotUnderstandEachOther(t *testing.T) {
	t.Run("the successor reads less", func(t *testing.T) {
		p, s := ends(t)
		go say(s.link, HelloFrame, Hello{Format: Format - 1, Oldest: Oldest - 1, Version: "old"})
		if _, err := p.Greet(Hello{}); err == nil || !strings.Contains(err.Error(), "version old cannot read") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the predecessor writes more", func(t *testing.T) {
		p, s := ends(t)
		go say(p.link, HelloFrame, Hello{Format: Format + 1, Oldest: Oldest, Version: "new"})
		if err := s.Greet(Hello{}); err == nil || !strings.Contains(err.Error(), "version new writes format 2, and this version reads 1 to 1") {
			t.Errorf("got %v", err)
		}
	})
}

func TestRefusal(t *testing.T) {
	p, s := ends(t)
	go func() {
		s.Greet(Hello{})
		s.Refuse(errors.New("no class for it"))
	}()
	if _, err := p.Greet(Hello{}); err != nil {
		t.Fatal(err)
	}
	err := p.Prepared()
	if r, ok := errors.AsType[*Refused](err); !ok || r.Why != "no class for it" {
		t.Errorf("got %v", err)
	}
}

// TestEndOfTheOther: whichever side ends, the other learns it at each step.
func TestEndOfTheOther(t *testing.T) {
	o, _ := many(t, 300)
	give := func(p *Predecessor) error {
		_, err := p.Give(func(e *Encoder) error { return e.Object(o) })
		return err
	}
	for name, step := range map[string]func(p *Predecessor) error{
		"hello":    func(p *Predecessor) error { _, err := p.Greet(Hello{}); return err },
		"prepared": (*Predecessor).Prepared,
		"give":     give,
		"yours":    func(p *Predecessor) error { return p.Yours(Farewell{}) },
		"arrived":  func(p *Predecessor) error { _, err := p.Arrived(); return err },
	} {
		p, s := ends(t)
		s.link.Close()
		if err := step(p); err == nil {
			t.Errorf("%s: the successor ended, and nobody noticed", name)
		}
	}
	for name, step := range map[string]func(s *Successor) error{
		"hello": func(s *Successor) error { return s.Greet(Hello{}) },
		"take":  func(s *Successor) error { _, _, err := s.Take(time.Minute); return err },
		"have":  func(s *Successor) error { _, err := s.Have(Total{}, func() error { return nil }); return err },
	} {
		p, s := ends(t)
		p.link.Close()
		if err := step(s); err == nil {
			t.Errorf("%s: the predecessor ended, and nobody noticed", name)
		}
	}
	t.Run("within the state", func(t *testing.T) {
		p, s := ends(t)
		go func() {
			expect(p.link, PreparedFrame)
			b, _, _ := encode(t, everything())
			p.link.Send(PieceFrame, b[:len(b)/2])
			p.link.Close()
		}()
		if _, _, err := s.Take(time.Minute); err == nil {
			t.Error("half a state was taken")
		}
	})
}

// TestPeerCannotAskTooMuch: a frame that announces more than it may is refused
// before memory is made for it.
func TestPeerCannotAskTooMuch(t *testing.T) {
	for name, head := range map[string][]byte{
		"length":      {byte(PieceFrame), 0, 0, 0, 0xff, 0xff, 0xff, 0x7f},
		"padding":     {byte(PieceFrame), 0, 1, 0, 0, 0, 0, 0},
		"descriptors": {byte(PieceFrame), 9, 0, 0, 0, 0, 0, 0},
	} {
		p, s := ends(t)
		p.link.c.Write(head)
		if _, _, _, err := s.link.Receive(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestInheritedOnce(t *testing.T) {
	_, file, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"x", "0", "1048576"} {
		t.Setenv(variable, text)
		if _, err := Inherited(); err == nil {
			t.Errorf("%s=%s was accepted", variable, text)
		}
	}
	defer file.Close()
	own, err := syscall.Dup(int(file.Fd())) // Inherited takes it over
	if err != nil {
		t.Fatal(err)
	}
	name, value, _ := strings.Cut(Environment(own), "=")
	t.Setenv(name, value)
	s, err := Inherited()
	if err != nil || s == nil {
		t.Fatalf("got %v, %v", s, err)
	}
	s.link.Close()
	if s, err := Inherited(); s != nil || err != nil {
		t.Errorf("a second time: %v, %v", s, err)
	}
	if os.Getenv(variable) != "" {
		t.Error("children would inherit it too")
	}
}
