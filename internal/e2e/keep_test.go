package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// atDate copies a project with another compatibility date.
func atDate(t *testing.T, dir, date string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "project")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(to, "wrangler.jsonc")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "2026-11-17", date, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// silence is a server that does not answer requests, but for upgrades.
func silence(t *testing.T) *url.URL {
	t.Helper()
	ended := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-ended:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(ended) })
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// unanswered is an address that takes connections and says nothing, for a
// WebSocket that is being opened.
func unanswered(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	}()
	return "ws://" + l.Addr().String()
}

// left says whether an object is in memory no more.
func (d *Dormouse) left(ctx context.Context, name string) (bool, error) {
	var answer struct{ State string }
	status, err := d.ask(ctx, "GET", d.object(name), &answer)
	return status == http.StatusNotFound || answer.State == "inactive", err
}

// stays has an object begin something, and returns how long the object then
// stayed in memory; 0: longer than most.
func (d *Dormouse) stays(t *testing.T, how, to string, most time.Duration) time.Duration {
	t.Helper()
	c := clock{t, d, how}
	if err := c.get("hold?how="+how+"&url="+url.QueryEscape(to), new(struct{})); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	if err := Until(ctx, how+" has left memory", func() (bool, error) { return d.left(ctx, how) }); err != nil {
		return 0
	}
	return time.Since(began)
}

// What keeps an object in memory does so for limits.task_keepalive and no
// longer. Before 2026-10-01 an object with tasks leaves after evict_after all
// the same, unless it waits for something outside.
func TestWhatKeepsAnObjectInMemory(t *testing.T) {
	t.Parallel()
	const long, soon = 30 * time.Second, 4 * time.Second
	ways := map[string]string{"waitUntil": "", "timer": "", "interval": "", "fetch": silence(t).String(), "socket": unanswered(t)}
	outbound := map[string]bool{"fetch": true, "socket": true}
	for name, c := range map[string]struct {
		date             string
		keepalive, evict time.Duration
		leaves           func(how string) bool
	}{
		"until they are too old":            {"2026-10-01", time.Second, time.Hour, func(string) bool { return true }},
		"since 2026-10-01":                  {"2026-10-01", time.Hour, time.Second, func(string) bool { return false }},
		"before it":                         {"2026-09-30", time.Hour, time.Second, func(how string) bool { return !outbound[how] }},
		"before it, until they are too old": {"2026-09-30", 2 * time.Second, time.Hour, func(string) bool { return true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := StartDormouse(t, Options{
				Dir: atDate(t, "testdata/clock", c.date), HibernateAfter: 200 * time.Millisecond,
				More: []string{"--limits-task-keepalive", c.keepalive.String(), "--evict-after", c.evict.String()},
			})
			for how, to := range ways {
				t.Run(how, func(t *testing.T) {
					t.Parallel()
					if c.leaves(how) {
						if took := d.stays(t, how, to, long); took == 0 {
							t.Errorf("it has not left after %v: %s", long, d.look(d.object(how)))
						}
						return
					}
					if took := d.stays(t, how, to, soon); took != 0 {
						t.Errorf("it left after %v", took)
					}
					if why := d.look(d.object(how)); !strings.Contains(why, fmt.Sprintf("%q", kinds[how])) {
						t.Errorf("nothing says why it is awake: %s", why)
					}
				})
			}
		})
	}
}

// kinds are what `why_awake` calls them.
var kinds = map[string]string{"waitUntil": "waitUntil", "timer": "timer", "interval": "timer", "fetch": "fetch", "socket": "outbound socket"}
