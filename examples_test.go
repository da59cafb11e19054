package dormouse_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/server"
)

// ledger is an object with tables.
type ledger struct{ state *dormouse.State }

func newLedger(s *dormouse.State, _ struct{}) (*ledger, error) {
	_, err := s.Storage().SQL().Exec("CREATE TABLE IF NOT EXISTS entries (at INTEGER, what TEXT, cents INTEGER)")
	return &ledger{s}, err
}

func (l *ledger) Book(what string, cents int) error {
	_, err := l.state.Storage().SQL().Exec("INSERT INTO entries VALUES (?, ?, ?)", time.Now(), what, cents)
	return err
}

func (l *ledger) Balance(context.Context) (sum int, err error) {
	err = l.state.Storage().SQL().QueryRow("SELECT coalesce(sum(cents), 0) FROM entries").Scan(&sum)
	return sum, err
}

// withLedger has one event of an object call f.
func withLedger(f func(*ledger, context.Context) error) {
	s := new(server.Server)
	defer s.Shutdown(context.Background())
	ada := s.Define(dormouse.NewClass("Ledger", newLedger, struct{}{})).ByName("ada")
	_, err := server.Call(context.Background(), ada, func(l *ledger, ctx context.Context) (int, error) { return 0, f(l, ctx) })
	if err != nil {
		fmt.Println("error:", err)
	}
}

// The rows of a query, one after the other.
func ExampleSQL_Query() {
	withLedger(func(l *ledger, _ context.Context) error {
		l.Book("acorns", -250)
		l.Book("a nest", -9900)
		rows, err := l.state.Storage().SQL().Query("SELECT what, cents FROM entries WHERE cents < ? ORDER BY cents", 0)
		if err != nil {
			return err
		}
		for row := range rows.All() {
			var what string
			var cents int
			if err := row.Scan(&what, &cents); err != nil {
				return err
			}
			fmt.Println(what, cents)
		}
		return rows.Err()
	})
	// Output:
	// a nest -9900
	// acorns -250
}

// A statement that is used often.
func ExampleSQL_Prepare() {
	withLedger(func(l *ledger, _ context.Context) error {
		insert, err := l.state.Storage().SQL().Prepare("INSERT INTO entries (what, cents) VALUES (?, ?)")
		if err != nil {
			return err
		}
		for n := range 3 {
			if _, err := insert.Exec("berry", n); err != nil {
				return err
			}
		}
		_, err = l.state.Storage().SQL().Prepare("INSERT INTO burrows VALUES (1)")
		fmt.Println(err != nil)
		return nil
	})
	// Output: true
}

// What a transaction has written is taken back when it fails; what the handler
// wrote before stays.
func ExampleStorage_Transaction() {
	withLedger(func(l *ledger, ctx context.Context) error {
		l.Book("wages", 1000)
		err := l.state.Storage().Transaction(func() error {
			l.Book("a palace", -100000)
			if sum, _ := l.Balance(ctx); sum < 0 {
				return errors.New("too dear")
			}
			return nil
		})
		sum, _ := l.Balance(ctx)
		fmt.Println(err, sum)
		return nil
	})
	// Output: too dear 1000
}

// Handlers run one after the other. Yield lets others in while something takes
// long that does not touch the object; afterwards it may have changed.
func ExampleState_Yield() {
	withLedger(func(l *ledger, ctx context.Context) error {
		var price int
		err := l.state.Yield(ctx, func(ctx context.Context) error {
			price = 250 // a request to a shop, with ctx
			return nil
		})
		if err != nil {
			return err // the object was reset meanwhile
		}
		l.Book("acorns", -price)
		sum, err := l.Balance(ctx)
		fmt.Println(sum, err)
		return err
	})
	// Output: -250 <nil>
}

// A task beside the object touches it in Do.
func ExampleState_WaitUntil() {
	done := make(chan struct{})
	withLedger(func(l *ledger, _ context.Context) error {
		l.state.WaitUntil(func(ctx context.Context) error {
			defer close(done)
			report := "a report from elsewhere"
			return l.state.Do(ctx, func(context.Context) error { return l.Book(report, 0) })
		})
		return nil
	})
	<-done
	fmt.Println("done")
	// Output: done
}

// Nothing else reaches the object before the function has returned; if it fails,
// the object is reset.
func ExampleState_BlockConcurrencyWhile() {
	withLedger(func(l *ledger, ctx context.Context) error {
		l.state.BlockConcurrencyWhile(ctx, func(context.Context) error { return l.Book("opening balance", 100) })
		sum, err := l.Balance(ctx)
		fmt.Println(sum)
		return err
	})
	// Output: 100
}

// An alarm is set, looked at and deleted like any other value of the object.
func ExampleStorage_SetAlarm() {
	s := new(server.Server)
	defer s.Shutdown(context.Background())
	rang := make(chan dormouse.AlarmInfo, 1)
	tower := s.Define(dormouse.NewClass("Bell", newBell, rang)).ByName("tower")
	_, err := server.Call(context.Background(), tower, func(b *bell, _ context.Context) (int, error) {
		return 0, b.state.Storage().SetAlarm(time.Now().Add(10 * time.Millisecond))
	})
	fmt.Println(err, (<-rang).Retry)
	// Output: <nil> 0
}

type bell struct {
	state *dormouse.State
	rang  chan<- dormouse.AlarmInfo
}

func newBell(s *dormouse.State, rang chan dormouse.AlarmInfo) (*bell, error) {
	return &bell{s, rang}, nil
}

// Alarm implements dormouse.AlarmHandler.
func (b *bell) Alarm(_ context.Context, a dormouse.AlarmInfo) error {
	select {
	case b.rang <- a:
	default: // it may run more than once
	}
	return nil
}

// An object calls another one; a circle is an error, not a standstill.
func ExampleClass_deadlock() {
	s := new(server.Server)
	defer s.Shutdown(context.Background())
	ada := s.Define(dormouse.NewClass("Ledger", newLedger, struct{}{})).ByName("ada")
	_, err := server.Call(context.Background(), ada, func(_ *ledger, ctx context.Context) (int, error) {
		return server.Call(ctx, ada, (*ledger).Balance)
	})
	fmt.Println(errors.Is(err, dormouse.ErrDeadlock))
	// Output: true
}

// greeter answers requests as any http.Handler does.
type greeter struct{ state *dormouse.State }

func newGreeter(s *dormouse.State, _ struct{}) (*greeter, error) { return &greeter{s}, nil }

// ServeHTTP implements http.Handler.
func (g *greeter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, _ := g.state.Name()
	fmt.Fprintf(w, "%s says hello to %s", name, strings.TrimPrefix(r.URL.Path, "/"))
}

// A class whose objects are mounted in a router of the program.
func ExampleNewClass() {
	s := new(server.Server)
	defer s.Shutdown(context.Background())
	greeters := s.Define(dormouse.NewClass("Greeter", newGreeter, struct{}{}))
	mux := http.NewServeMux()
	mux.HandleFunc("/{visitor}", func(w http.ResponseWriter, r *http.Request) { greeters.ByName("Ada").ServeHTTP(w, r) })
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/Bob", nil))
	fmt.Println(w.Body)
	// Output: Ada says hello to Bob
}
