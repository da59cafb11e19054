// Package endure_test kills Dormouse, its guests and both at random moments,
// while clients write numbers to many objects, over sockets, requests and RPC,
// and have alarms write others, and remember which of them were acknowledged.
// Nothing that was acknowledged may be missing, nothing half-written be seen,
// no alarm be forgotten, and no object be stuck.
package endure_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/dormouse-dev/dormouse/internal/e2e"
)

// patience is for everything that has to happen.
const patience = 90 * time.Second

// TestKillEverything is short in make test and long in make soak.
func TestKillEverything(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: processes are killed for a minute")
	}
	objects, kills, span := 12, 1000, time.Minute
	if n := os.Getenv("DORMOUSE_KILLS"); n != "" {
		kills, span = atoi(t, n), time.Hour
	} else if os.Getenv("DORMOUSE_SOAK") != "" {
		kills, span = 300, time.Hour
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 1)), options: e2e.Options{
		Dir: ledgerDir(t), Data: filepath.Join(t.TempDir(), "data"), HibernateAfter: 300 * time.Millisecond,
		More: []string{"--guests", "2"},
	}}
	w.start()
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range objects {
		l := &ledger{name: "ledger " + strconv.Itoa(i), written: make(map[int64]bool)}
		w.ledgers = append(w.ledgers, l)
		for k, say := range ways {
			c := &client{world: w, ledger: l, way: k, next: int64(k + 1), random: rand.New(rand.NewPCG(seed, uint64(len(ways)*i+k+2)))}
			l.clients = append(l.clients, c)
			clients.Go(func() { c.run(ctx, say.write) })
		}
	}
	began := time.Now()
	done := map[string]int{}
	for n := 0; n < kills && time.Since(began) < span && !t.Failed(); n++ {
		what := w.kill()
		done[what]++
		w.progress(what)
		if what != "guests" || n%5 == 0 {
			w.verify()
		}
		if n%25 == 24 {
			t.Logf("killed %v in %v", done, time.Since(began).Round(time.Second))
		}
	}
	cancel()
	clients.Wait()
	w.verify()
	acknowledged, refused := map[string]int64{}, int64(0)
	for _, l := range w.ledgers {
		for _, c := range l.clients {
			acknowledged[ways[c.way].name] += c.acknowledged.Load()
			refused += c.refused.Load()
		}
	}
	t.Logf("killed %v in %v; numbers acknowledged by %v, %d not", done, time.Since(began).Round(time.Second), acknowledged, refused)
	for _, way := range ways {
		if acknowledged[way.name] == 0 {
			t.Errorf("nothing was acknowledged by %s", way.name)
		}
	}
}

// ways are how a number gets to an object. Each object has a client for each.
var ways = []struct {
	name  string
	write func(context.Context, *client, int64) error
}{
	{"socket", bySocket},
	{"request", byRequest},
	{"RPC", byCall},
	{"alarm", byAlarm},
}

func atoi(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func ledgerDir(t *testing.T) string {
	return filepath.Join(filepath.Dir(e2e.VaultDir(t)), "ledger")
}

// world is a server that is killed and started again.
type world struct {
	t       *testing.T
	random  *rand.Rand
	options e2e.Options
	server  *e2e.Dormouse
	url     atomic.Pointer[string]
	ledgers []*ledger
}

func (w *world) start() {
	w.t.Helper()
	w.server = e2e.StartDormouse(w.t, w.options)
	url := w.server.URL
	w.url.Store(&url)
}

// kill waits a moment, and kills somebody.
func (w *world) kill() string {
	time.Sleep(time.Duration(w.random.Int64N(int64(500 * time.Millisecond)))) // the moment is what the test is about
	switch w.random.IntN(4) {
	case 0:
		w.server.Kill()
		w.start()
		return "dormouse"
	case 1:
		for _, pid := range w.server.GuestPIDs() {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		w.server.Kill()
		w.start()
		return "both"
	}
	for _, pid := range w.server.GuestPIDs() {
		if w.random.IntN(3) > 0 {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return "guests"
}

// progress waits until each client has had an acknowledgement since.
func (w *world) progress(what string) {
	w.t.Helper()
	before := make(map[*client]int64)
	for _, l := range w.ledgers {
		for _, c := range l.clients {
			before[c] = c.acknowledged.Load()
		}
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	err := e2e.Until(ctx, "every object has written something since "+what+" was killed", func() (bool, error) {
		for c, n := range before {
			if c.acknowledged.Load() == n {
				return false, fmt.Errorf("%s has not, by %s; the last error: %v", c.ledger.name, ways[c.way].name, c.last())
			}
		}
		return true, nil
	})
	if err != nil {
		w.t.Error(err)
	}
}

// verify reads what every object has.
func (w *world) verify() {
	w.t.Helper()
	for _, l := range w.ledgers {
		if err := l.verify(w); err != nil {
			w.t.Errorf("%s: %v", l.name, err)
		}
	}
}

// ledger is an object, and what must be there.
type ledger struct {
	name    string
	clients []*client

	mu      sync.Mutex     // guards the following
	written map[int64]bool // acknowledged, or read
}

// state is what an object says that it has.
type state struct {
	Numbers                []int64
	Entries, Copies, Count int64
	Check                  string
}

func (l *ledger) verify(w *world) error {
	l.mu.Lock()
	want := maps.Clone(l.written)
	l.mu.Unlock()
	var s state
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	err := e2e.Until(ctx, "it says what it has", func() (bool, error) {
		err := w.call(ctx, "GET", l.name, "", &s)
		return err == nil, err
	})
	if err != nil {
		return err
	}
	if s.Entries != s.Copies || s.Entries != s.Count || s.Check != "ok" {
		return fmt.Errorf("a commit is there in part: %d entries, %d copies, count %d, check %q", s.Entries, s.Copies, s.Count, s.Check)
	}
	there := make(map[int64]bool)
	for _, n := range s.Numbers {
		there[n] = true
	}
	for n := range want {
		if !there[n] {
			return fmt.Errorf("%d was acknowledged, or read, and is not there", n)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(l.written, there)
	return nil
}

// client writes every fourth number to one object: one way has one client.
type client struct {
	world        *world
	ledger       *ledger
	way          int
	random       *rand.Rand
	next         int64
	conn         io.ReadWriteCloser // of a socket
	acknowledged atomic.Int64
	refused      atomic.Int64
	failure      atomic.Value // failure, the last
}

func (c *client) last() error {
	err, _ := c.failure.Load().(failure)
	return err.error
}

type failure struct{ error }

func (c *client) run(ctx context.Context, say func(context.Context, *client, int64) error) {
	for ctx.Err() == nil {
		n := c.next
		c.next += int64(len(ways))
		err := say(ctx, c, n)
		if err == nil {
			c.ledger.mu.Lock()
			c.ledger.written[n] = true
			c.ledger.mu.Unlock()
			c.acknowledged.Add(1)
		} else {
			c.refused.Add(1)
			c.failure.Store(failure{err})
			c.pause(ctx, 50*time.Millisecond)
		}
		if c.random.IntN(20) == 0 {
			c.pause(ctx, time.Second) // long enough for the object to leave memory
		} else {
			c.pause(ctx, 30*time.Millisecond) // what is killed is the point, not what is written
		}
	}
	if c.conn != nil {
		c.conn.Close()
	}
}

func (c *client) pause(ctx context.Context, most time.Duration) {
	select {
	case <-time.After(time.Duration(c.random.Int64N(int64(most)))):
	case <-ctx.Done():
	}
}

func bySocket(ctx context.Context, c *client, n int64) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if c.conn == nil {
		url := "ws" + strings.TrimPrefix(*c.world.url.Load(), "http") + "/" + strings.ReplaceAll(c.ledger.name, " ", "%20")
		conn, _, _, err := ws.Dial(ctx, url)
		if err != nil {
			return err
		}
		c.conn = conn
	}
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer func() {
		if err != nil {
			c.conn.Close()
			c.conn = nil
		}
	}()
	if err := wsutil.WriteClientText(c.conn, strconv.AppendInt(nil, n, 10)); err != nil {
		return err
	}
	answer, err := wsutil.ReadServerText(c.conn)
	if err == nil && string(answer) != strconv.FormatInt(n, 10) {
		err = fmt.Errorf("heard %q for %d", answer, n)
		c.world.t.Error(err)
	}
	return err
}

func byRequest(ctx context.Context, c *client, n int64) error {
	var answer int64
	err := c.world.call(ctx, "POST", c.ledger.name, "n="+strconv.FormatInt(n, 10), &answer)
	if err == nil && answer != n {
		err = fmt.Errorf("%d was answered for %d", answer, n)
		c.world.t.Error(err)
	}
	return err
}

func byCall(ctx context.Context, c *client, n int64) error {
	var answer int64
	err := c.world.call(ctx, "POST", c.ledger.name, "call=write&n="+strconv.FormatInt(n, 10), &answer)
	if err == nil && answer != n {
		err = fmt.Errorf("%d was answered for %d", answer, n)
		c.world.t.Error(err)
	}
	return err
}

// byAlarm sets an alarm that writes the number. Once that is acknowledged the
// alarm has to come, whatever is killed.
func byAlarm(ctx context.Context, c *client, n int64) error {
	var answer int64
	query := "&n=" + strconv.FormatInt(n, 10)
	if err := c.world.call(ctx, "POST", c.ledger.name, "call=writeSoon"+query, &answer); err != nil {
		return err
	}
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := e2e.Until(soon, "the alarm has come", func() (written bool, err error) {
		err = c.world.call(soon, "GET", c.ledger.name, "call=has"+query, &written)
		return written, err
	})
	if err != nil && ctx.Err() == nil {
		c.world.t.Errorf("%s: the alarm that was to write %d: %v", c.ledger.name, n, err)
	}
	return err
}

func (w *world) call(ctx context.Context, method, name, query string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	url := *w.url.Load() + "/" + strings.ReplaceAll(name, " ", "%20") + "?" + query
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %.200s", res.StatusCode, body)
	}
	return json.Unmarshal(body, answer)
}
