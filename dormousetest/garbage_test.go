package dormousetest_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/dormousetest"
	"github.com/dormouse-dev/dormouse/server"
)

// heavy is an object with a field of as many bytes as its class says.
type heavy struct {
	state *dormouse.State
	field []byte
}

func newHeavy(s *dormouse.State, size *int) (*heavy, error) {
	return &heavy{state: s, field: make([]byte, *size)}, nil
}

func (o *heavy) ServeHTTP(w http.ResponseWriter, r *http.Request) { o.state.AcceptWebSocket(w, r) }

func (o *heavy) Touch(context.Context) (int, error) {
	for i := range o.field {
		o.field[i] = 1
	}
	return len(o.field), nil
}

const (
	fieldBytes = 10 << 10
	// atOnceAwake bounds what the test itself needs: 20 MB.
	atOnceAwake = 2000
	// garbageHeadroom: what is left of hibernated objects, beside a registry that
	// holds as many whose objects have no field. Measured 2026-11-22: 3,020 kB
	// beside 3,013 kB after 100,000 objects. If it trips, something of an instance
	// is still referred to: pprof.WriteHeapProfile tells by whom.
	garbageHeadroom = 1.05
)

// Hibernated objects are garbage: the heap goes back to that of a registry that
// holds them hibernated.
func TestHibernatedObjectsAreGarbageSoak(t *testing.T) {
	objects := 8_000
	if os.Getenv("DORMOUSE_SOAK") != "" {
		objects = 100_000
	}
	for _, c := range []struct {
		name    string
		objects int
		sockets bool
	}{
		{"alone", objects, false},
		{"with a socket each", objects / 4, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := dormousetest.New(t)
				s.HibernateAfter = 10 * time.Second
				size := new(int)
				n := s.Define(dormouse.NewClass("Heavy", newHeavy, size))
				var clients []*dormousetest.Client
				if c.sockets {
					for i := range c.objects {
						clients = append(clients, s.Dial(n.ByName(fmt.Sprint(i)), "/"))
					}
					time.Sleep(time.Minute)
				}
				t.Logf("heap of an empty registry: %d kB", heap()>>10)
				wake(t, n, c.objects)
				empty := heap()
				*size = fieldBytes
				awake := wake(t, n, c.objects)
				held := heap()
				t.Logf("heap: %d kB with the fields gone, %d kB without fields, %d kB at most", held>>10, empty>>10, awake>>10)
				if float64(held) > float64(empty)*garbageHeadroom {
					t.Errorf("hibernated objects leave %d bytes each", (int64(held)-int64(empty))/int64(c.objects))
				}
				if awake < empty+atOnceAwake*fieldBytes*9/10 {
					t.Errorf("the fields were never there: %d bytes", awake)
				}
				runtime.KeepAlive(clients)
			})
		})
	}
}

// wake wakes all objects, a part at a time, lets them hibernate, and returns the
// heap when a part was awake.
func wake(t *testing.T, n *server.Namespace, objects int) (most uint64) {
	t.Helper()
	for i := range objects {
		_, err := server.Call(t.Context(), n.ByName(fmt.Sprint(i)), (*heavy).Touch)
		if err != nil {
			t.Fatal(err)
		}
		if (i+1)%atOnceAwake == 0 {
			if most == 0 {
				most = heap()
			}
			time.Sleep(time.Minute)
		}
	}
	time.Sleep(time.Minute)
	return most
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
