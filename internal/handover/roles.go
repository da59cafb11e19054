package handover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"
)

// How long one side waits for the other.
const (
	// PrepareLimit is for a successor to bundle the code and to start its guests.
	PrepareLimit = 2 * time.Minute
	// StateLimit is for everything to be told and understood: clients wait.
	StateLimit = 15 * time.Second
	// TakeLimit is for the successor to say that it serves.
	TakeLimit = 15 * time.Second
	// ArriveLimit is for it to have everything in its place.
	ArriveLimit = 5 * time.Second
)

// Refused is why a successor does not take over, in its own words.
type Refused struct{ Why string }

func (r *Refused) Error() string { return "the successor refused: " + r.Why }

// Predecessor is the side that gives. Its methods are called in their order, by
// one goroutine. After any error but in Yours and Arrived, the successor has
// nothing.
type Predecessor struct{ link *Link }

// NewPredecessor begins on a link.
func NewPredecessor(l *Link) *Predecessor { return &Predecessor{l} }

// File is a descriptor with a name.
type File struct {
	Name       string
	Descriptor int
}

// Greet learns who the successor is, tells it who we are, and gives it files that
// it needs to prepare: it may have them open as well, and do nothing to them that
// we would notice.
func (p *Predecessor) Greet(ours Hello, files ...File) (theirs Hello, err error) {
	p.link.Within(PrepareLimit)
	body, _, err := p.expect(HelloFrame)
	if err == nil {
		err = json.Unmarshal(body, &theirs)
	}
	if err != nil {
		return theirs, fmt.Errorf("the successor does not say hello: %w", err)
	}
	ours.Format, ours.Oldest = Format, Oldest
	if err := p.say(HelloFrame, ours); err != nil {
		return theirs, err
	}
	if !understands(theirs, ours) {
		return theirs, fmt.Errorf("version %s cannot read what this version writes: it reads formats %d to %d, and this is %d",
			theirs.Version, theirs.Oldest, theirs.Format, ours.Format)
	}
	names, descriptors := make([]string, len(files)), make([]int, len(files))
	for i, f := range files {
		names[i], descriptors[i] = f.Name, f.Descriptor
	}
	return theirs, p.say(FilesFrame, names, descriptors...)
}

// understands says whether reader can read what writer writes.
func understands(reader, writer Hello) bool {
	return reader.Oldest <= writer.Format && writer.Format <= reader.Format
}

// Prepared waits until the successor could begin.
func (p *Predecessor) Prepared() error {
	p.link.Within(PrepareLimit)
	_, _, err := p.expect(PreparedFrame)
	return err
}

// Give tells everything, and returns when the successor has understood all of it.
// write writes each object.
func (p *Predecessor) Give(write func(*Encoder) error) (Total, error) {
	p.link.Within(StateLimit)
	pieces := &pieces{p: p}
	e := NewEncoder(pieces, pieces.pass)
	if err := write(e); err != nil {
		return Total{}, err
	}
	ours, err := e.End()
	if err == nil {
		err = pieces.end()
	}
	if err == nil {
		err = p.link.Send(EndFrame, nil)
	}
	if err != nil {
		return ours, err
	}
	body, _, err := p.expect(HaveFrame)
	if err != nil {
		return ours, err
	}
	var theirs Total
	if err := json.Unmarshal(body, &theirs); err != nil || theirs != ours {
		return ours, fmt.Errorf("the successor has %+v, and was given %+v", theirs, ours)
	}
	return ours, nil
}

// Yours tells the successor to serve. After an error it may serve all the same,
// unless it is ended: that is for the caller to do.
func (p *Predecessor) Yours(f Farewell) error {
	p.link.Within(TakeLimit)
	if err := p.say(YoursFrame, f); err != nil {
		return err
	}
	_, _, err := p.expect(TakenFrame)
	return err
}

// Arrived waits until the successor has everything in its place. It serves also
// if it does not say so.
func (p *Predecessor) Arrived() (a Arrival, err error) {
	p.link.Within(ArriveLimit)
	body, _, err := p.expect(ServingFrame)
	if err == nil {
		err = json.Unmarshal(body, &a)
	}
	return a, err
}

func (p *Predecessor) say(k Kind, v any, descriptors ...int) error {
	return say(p.link, k, v, descriptors...)
}

// expect waits for a frame of a kind; a refusal is an error.
func (p *Predecessor) expect(want Kind) ([]byte, []int, error) { return expect(p.link, want) }

func say(l *Link, k Kind, v any, descriptors ...int) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.Send(k, body, descriptors...)
}

func expect(l *Link, want Kind) ([]byte, []int, error) {
	k, body, descriptors, err := l.Receive()
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil, fmt.Errorf("the other process ended before it said %s", want)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, nil, fmt.Errorf("the other process did not say %s in time", want)
	case err != nil:
		return nil, nil, fmt.Errorf("wait for %s: %w", want, err)
	case k == RefuseFrame:
		CloseAll(descriptors)
		return nil, nil, &Refused{string(body)}
	case k != want:
		CloseAll(descriptors)
		return nil, nil, fmt.Errorf("the other process said %s in place of %s", k, want)
	}
	return body, descriptors, nil
}

// pieces cuts a state into frames. Descriptors go with the piece that has the
// beginning of their socket, or with one before it.
type pieces struct {
	p           *Predecessor
	b           bytes.Buffer
	descriptors []int
	unacked     int
}

const pieceSize = 128 << 10

func (w *pieces) pass(descriptor int) error {
	if len(w.descriptors) == maxPassed {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.descriptors = append(w.descriptors, descriptor)
	return nil
}

func (w *pieces) Write(b []byte) (n int, err error) {
	for n < len(b) {
		k := min(len(b)-n, pieceSize-w.b.Len())
		w.b.Write(b[n : n+k])
		n += k
		if w.b.Len() == pieceSize {
			if err := w.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func (w *pieces) flush() error {
	for w.unacked >= maxUnacked {
		if err := w.acked(); err != nil {
			return err
		}
	}
	err := w.p.link.Send(PieceFrame, w.b.Bytes(), w.descriptors...)
	w.b.Reset()
	w.descriptors = w.descriptors[:0]
	w.unacked++
	return err
}

func (w *pieces) acked() error {
	_, _, err := w.p.expect(AckFrame)
	w.unacked--
	return err
}

func (w *pieces) end() error {
	err := w.flush()
	for err == nil && w.unacked > 0 {
		err = w.acked()
	}
	return err
}

// Successor is the side that takes. Its methods are called in their order, by one
// goroutine.
type Successor struct {
	link *Link
	// Of the predecessor, after Greet.
	Hello Hello
	Files map[string]*os.File // to be closed by whoever does not use them
}

// variable names the descriptor of the link in the environment of a successor.
const variable = "DORMOUSE_HANDOVER"

// Environment is what tells a process that descriptor n is its link.
func Environment(n int) string { return variable + "=" + strconv.Itoa(n) }

// Inherited returns what this process is to take over; nil: nothing. Only the
// first call finds it.
func Inherited() (*Successor, error) {
	text := os.Getenv(variable)
	os.Unsetenv(variable)
	if text == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 3 {
		return nil, fmt.Errorf("%s=%s is no descriptor; only `dormouse upgrade` sets it", variable, text)
	}
	l, err := NewLink(os.NewFile(uintptr(n), "handover"))
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w; only `dormouse upgrade` sets it", variable, text, err)
	}
	return &Successor{link: l}, nil
}

// Greet tells the predecessor who we are, and learns who it is.
func (s *Successor) Greet(ours Hello) error {
	ours.Format, ours.Oldest = Format, Oldest
	s.link.Within(TakeLimit)
	if err := say(s.link, HelloFrame, ours); err != nil {
		return err
	}
	body, _, err := expect(s.link, HelloFrame)
	if err == nil {
		err = json.Unmarshal(body, &s.Hello)
	}
	if err == nil && !understands(ours, s.Hello) {
		err = fmt.Errorf("version %s writes format %d, and this version reads %d to %d", s.Hello.Version, s.Hello.Format, Oldest, Format)
	}
	if err != nil {
		return err
	}
	body, descriptors, err := expect(s.link, FilesFrame)
	if err != nil {
		return err
	}
	var names []string
	if err := json.Unmarshal(body, &names); err != nil || len(names) != len(descriptors) {
		CloseAll(descriptors)
		return fmt.Errorf("%d descriptors for the files %s", len(descriptors), body)
	}
	s.Files = make(map[string]*os.File)
	for i, n := range names {
		s.Files[n] = os.NewFile(uintptr(descriptors[i]), n)
	}
	return nil
}

// Refuse tells the predecessor why we do not take over: it runs on.
func (s *Successor) Refuse(why error) {
	text := why.Error()
	s.link.Within(TakeLimit)
	s.link.Send(RefuseFrame, []byte(text[:min(len(text), 4096)]))
	s.link.Close()
}

// Take says that we are prepared, and waits for everything. It may take as long as the predecessor lets its events finish.
func (s *Successor) Take(patience time.Duration) (state *State, t Total, err error) {
	s.link.Within(patience)
	if err := s.link.Send(PreparedFrame, nil); err != nil {
		return nil, t, err
	}
	in := &assembly{link: s.link}
	state, t, err = Decode(in, in.next)
	if err != nil {
		CloseAll(slices.Concat(in.given, in.waiting))
		return nil, t, err
	}
	CloseAll(in.waiting) // none, or the totals would not agree
	return state, t, nil
}

// Have says that we have understood everything, and returns when it is ours. take
// is called when it may be taken; if that fails it stays the predecessor's. After
// an error it is not ours.
func (s *Successor) Have(t Total, take func() error) (f Farewell, err error) {
	s.link.Within(StateLimit + TakeLimit)
	if err := say(s.link, HaveFrame, t); err != nil {
		return f, err
	}
	body, _, err := expect(s.link, YoursFrame)
	if err == nil {
		err = json.Unmarshal(body, &f)
	}
	if err == nil {
		err = take()
	}
	if err != nil {
		s.link.Close()
		return f, err
	}
	// Whether the predecessor hears it or has died: from here on it is ours.
	s.link.Send(TakenFrame, nil)
	return f, nil
}

// Serving tells the predecessor, if it is still there, that everything is in its
// place, and ends the link.
func (s *Successor) Serving(a Arrival) {
	say(s.link, ServingFrame, a)
	s.link.Close()
}

// assembly is a state that comes in pieces.
type assembly struct {
	link           *Link
	b              []byte
	waiting, given []int
	ended          bool
}

func (a *assembly) Read(p []byte) (int, error) {
	for len(a.b) == 0 {
		if a.ended {
			return 0, io.EOF
		}
		k, body, descriptors, err := a.link.Receive()
		a.link.Within(StateLimit) // once it has begun it is quick
		a.waiting = append(a.waiting, descriptors...)
		switch {
		case err != nil:
			return 0, err
		case k == EndFrame:
			a.ended = true
		case k != PieceFrame:
			return 0, fmt.Errorf("%s within the state", k)
		default:
			a.b = body
			if err := a.link.Send(AckFrame, nil); err != nil {
				return 0, err
			}
		}
	}
	n := copy(p, a.b)
	a.b = a.b[n:]
	return n, nil
}

func (a *assembly) next() (int, error) {
	if len(a.waiting) == 0 {
		return 0, errors.New("a descriptor has not come")
	}
	fd := a.waiting[0]
	a.waiting = a.waiting[1:]
	a.given = append(a.given, fd)
	return fd, nil
}
