// Go-counter counts visits in the object's own SQL database, and forgets old ones
// by an alarm, whether anybody visits or not.
//
//	go run ./examples/go-counter -data /tmp/counter
//	curl http://127.0.0.1:8787/front-page
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/server"
)

// kept is how long a visit counts.
const kept = 24 * time.Hour

// counter counts the visits of one page.
type counter struct{ state *dormouse.State }

func newCounter(s *dormouse.State, _ struct{}) (*counter, error) {
	_, err := s.Storage().SQL().Exec("CREATE TABLE IF NOT EXISTS visits (at INTEGER NOT NULL)")
	return &counter{s}, err
}

// Visit counts a visit and returns how many there were within the last day. Its
// caller learns of it when it is on disk.
func (c *counter) Visit(context.Context) (visits int, err error) {
	store := c.state.Storage()
	if _, err := store.SQL().Exec("INSERT INTO visits VALUES (?)", time.Now()); err != nil {
		return 0, err
	}
	if at, err := store.Alarm(); err != nil {
		return 0, err
	} else if at.IsZero() {
		if err := store.SetAlarm(time.Now().Add(kept)); err != nil {
			return 0, err
		}
	}
	return c.visits()
}

func (c *counter) visits() (n int, err error) {
	err = c.state.Storage().SQL().QueryRow("SELECT count(*) FROM visits").Scan(&n)
	return n, err
}

// Alarm forgets the visits that count no more, and comes back for the next one.
func (c *counter) Alarm(ctx context.Context, a dormouse.AlarmInfo) error {
	store := c.state.Storage()
	if _, err := store.SQL().Exec("DELETE FROM visits WHERE at <= ?", a.Scheduled.Add(-kept)); err != nil {
		return err
	}
	var next *time.Time
	if err := store.SQL().QueryRow("SELECT min(at) FROM visits").Scan(&next); err != nil || next == nil {
		return err
	}
	return store.SetAlarm(next.Add(kept))
}

// pages answers each path with its number of visits.
func pages(s *server.Server) http.Handler {
	counters := s.Define(dormouse.NewClass("Counter", newCounter, struct{}{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{page}", func(w http.ResponseWriter, r *http.Request) {
		n, err := server.Call(r.Context(), counters.ByName(r.PathValue("page")), (*counter).Visit)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, n)
	})
	return mux
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8787", "where to listen")
	data := flag.String("data", "counter-data", "the folder that keeps the databases")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	s := &server.Server{Config: server.Config{Data: *data}}
	h := &http.Server{Addr: *addr, Handler: pages(s)}
	if err := s.Start(ctx); err != nil { // now, so that alarms of before fire
		log.Fatal(err)
	}
	go func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		h.Shutdown(end)
	}()
	if err := h.ListenAndServe(); err != http.ErrServerClosed {
		log.Print(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
}
