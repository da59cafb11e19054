package crashtest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/storage"
	"github.com/dormouse-dev/dormouse/internal/storage/journal"
)

// The host is this test's binary, started once more: it runs an engine and a
// guest in a process of its own, and says on its output what it has promised.

const (
	hostData  = "CRASHTEST_DATA"
	hostNode  = "CRASHTEST_NODE"
	hostBlank = "CRASHTEST_TEMPLATE"
)

func TestMain(m *testing.M) {
	if data := os.Getenv(hostData); data != "" {
		if err := host(data); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const hostObjects = 6

func hostKey(i int) dormouse.Key {
	return dormouse.Key{Namespace: namespace, ID: namespace.IDFromName(fmt.Sprint(i))}
}

func hostSeed(i int) uint64 { return uint64(i+1) << 16 }

// host runs until it is killed.
func host(data string) error {
	need := make(map[dormouse.Key]chan struct{})
	for i := range hostObjects {
		need[hostKey(i)] = make(chan struct{}, 1)
	}
	engine, _, err := journal.Open(data, journal.Options{
		SegmentBytes: 1 << 20, Budget: 4 << 20, CheckpointBytes: 256 << 10, RestDelay: 20 * time.Millisecond,
		NeedCheckpoint: func(key dormouse.Key) {
			select {
			case need[key] <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		return err
	}
	blank, err := os.ReadFile(os.Getenv(hostBlank))
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, format+"\n", args...)
		out.Flush()
	}
	for {
		g, err := startGuest(os.Getenv(hostNode))
		if err != nil {
			return err
		}
		say("guest %d", g.command.Process.Pid)
		var objects sync.WaitGroup
		for i := range hostObjects {
			h := &hosted{
				engine: engine, guest: g, key: hostKey(i), seed: hostSeed(i), blank: blank, need: need[hostKey(i)],
				promised: func(s state) { say("promised %d %d %d", i, s.life, s.k) },
			}
			h.path = storage.Path(data, h.key)
			objects.Go(func() {
				for h.err == nil {
					h.life()
				}
				if !errors.Is(h.err, errGuest) {
					say("error object %d: %v", i, h.err)
				}
			})
		}
		objects.Wait()
		g.command.Process.Kill()
		g.command.Wait()
		for i := range hostObjects {
			engine.Release(hostKey(i))
		}
	}
}

// hosted is an object in its guest.
type hosted struct {
	engine   *journal.Engine
	guest    *guest
	key      dormouse.Key
	seed     uint64
	path     string
	blank    []byte
	need     chan struct{}
	promised func(state)
	err      error
	now      state
	alarm    time.Time // as the index has it
}

// do makes a request to the engine.
func (h *hosted) do(request func(storage.Done) error) {
	if h.err != nil {
		return
	}
	done := make(chan error, 1)
	if h.err = request(func(_ storage.Bookmark, err error) { done <- err }); h.err == nil {
		h.err = <-done
	}
}

// ask makes a request to the guest.
func (h *hosted) ask(op string, statements []statement) (a answer) {
	if h.err == nil {
		a, h.err = h.guest.ask(request{Op: op, Path: h.path, Statements: statements})
	}
	return a
}

// life opens the object, lets it commit for a while and closes it.
func (h *hosted) life() {
	h.do(func(done storage.Done) error { return h.engine.Open(h.key, storage.OtherProcess, done) })
	if info, err := os.Stat(h.path); h.err == nil && (err != nil || info.Size() < int64(len(h.blank))) {
		h.err = create(h.path, h.blank)
	}
	h.ask("hold", nil)
	a := h.ask("open", nil)
	h.now, h.alarm = state{a.Life, a.K}, time.Time{}
	for range rand.IntN(60) {
		h.commit()
		select {
		case <-h.need:
			h.checkpoint()
		default:
		}
	}
	h.ask("close", nil)
	h.do(func(done storage.Done) error { return h.engine.Sync(h.key, done) })
	h.ask("let_go", nil)
	if h.err == nil {
		h.engine.Release(h.key)
	}
}

func create(path string, blank []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", blank, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (h *hosted) commit() {
	k := h.now.k + 1
	if at := alarmOf(k); !at.IsZero() && h.err == nil {
		// Not knowing what the index has, it is told: earlier, or again.
		if h.alarm.IsZero() || at.Before(h.alarm) {
			h.alarm = at
			h.err = h.engine.SetWake(h.key, storage.Wake{At: at})
		}
	}
	h.ask("transact", statements(h.seed, h.now.life, k))
	h.do(func(done storage.Done) error { return h.engine.Commit(h.key, done) })
	if h.err != nil {
		return
	}
	h.now.k = k
	h.promised(h.now)
	if at := alarmOf(k); !at.Equal(h.alarm) {
		h.alarm = at
		h.err = h.engine.SetWake(h.key, storage.Wake{At: at})
	}
}

func (h *hosted) checkpoint() {
	h.ask("pin", nil)
	h.do(func(done storage.Done) error { return h.engine.Checkpoint(h.key, done) })
	if a := h.ask("move", nil); h.err == nil {
		h.engine.Checkpointed(h.key, a.Frames)
	}
}

// errGuest: the guest is gone.
var errGuest = errors.New("guest is gone")

// guest is a Node process that is told what to do.
type guest struct {
	command *exec.Cmd
	in      io.Writer

	mu      sync.Mutex // guards the following, and in
	last    int
	waiting map[int]chan answer // nil: it is gone
}

type request struct {
	ID         int         `json:"id"`
	Op         string      `json:"op"`
	Path       string      `json:"path"`
	Statements []statement `json:"statements,omitempty"`
}

type answer struct {
	ID     int    `json:"id"`
	Error  string `json:"error"`
	Life   int    `json:"life"`
	K      int    `json:"k"`
	Frames int    `json:"frames"`
}

func startGuest(node string) (*guest, error) {
	g := &guest{command: exec.Command(node, "testdata/guest.mjs"), waiting: make(map[int]chan answer)}
	g.command.Stderr = os.Stderr
	in, err := g.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	g.in = in
	out, err := g.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := g.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		for answers := json.NewDecoder(out); ; {
			var a answer
			err := answers.Decode(&a)
			g.mu.Lock()
			if err != nil {
				for _, w := range g.waiting {
					close(w)
				}
				g.waiting = nil
				g.mu.Unlock()
				return
			}
			g.waiting[a.ID] <- a
			delete(g.waiting, a.ID)
			g.mu.Unlock()
		}
	}()
	return g, nil
}

func (g *guest) ask(r request) (answer, error) {
	w := make(chan answer, 1)
	g.mu.Lock()
	if g.waiting == nil {
		g.mu.Unlock()
		return answer{}, errGuest
	}
	g.last++
	r.ID = g.last
	g.waiting[r.ID] = w
	b, err := json.Marshal(r)
	if err == nil {
		g.in.Write(append(b, '\n')) // if it is gone, the reader will know
	}
	g.mu.Unlock()
	if err != nil {
		return answer{}, err
	}
	a, ok := <-w
	switch {
	case !ok:
		return answer{}, errGuest
	case a.Error != "":
		return a, fmt.Errorf("%s: %s", r.Op, a.Error)
	}
	return a, nil
}
