package schedules

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/host"
)

// step is something that happens; what n means is the kind's business.
type step struct {
	kind string
	n    uint32
}

func (s step) String() string { return fmt.Sprintf("%s %d", s.kind, s.n) }

// kind is a kind of step with how often it comes.
type kind struct {
	name   string
	weight int
	do     func(w *world, n int)
}

// commands are what messages and requests ask for.
var commands = []string{
	"reply", "reply", "reply", "broadcast", "commit;reply", "reply;commit;broadcast", "unconfirmed;reply", "attach red", "attach blue;commit",
	"detach", "close", "commit;close", "reply;close", "hang;reply", "section;reply", "commit;hang;commit;reply", "task", "durable;reply",
	"commit;durable;broadcast", "ask 0;reply", "ask 1;commit;reply", "pair 1", "pair 2", "pair ", "abort", "commit;reply;abort", "",
}

var tagLists = []string{"", "a", "a b", "b c d"}

// kinds are all that can happen. It is a function because it would otherwise
// change between tests.
func kinds() []kind {
	return []kind{
		{"connect", 10, func(w *world, n int) {
			w.fetch(w.things[n%things], "up "+tagLists[n/things%len(tagLists)])
		}},
		{"message", 24, func(w *world, n int) {
			if c := w.pick(n, (*conn).canSpeak); c != nil {
				c.say(n%5 != 0, commands[n/16%len(commands)])
			}
		}},
		{"burst", 6, func(w *world, n int) {
			if c := w.pick(n, (*conn).canSpeak); c != nil {
				for k := range 2 + n%9 {
					c.say(true, commands[(n/16+k)%8])
				}
			}
		}},
		{"match", 8, (*world).match},
		{"ping", 2, func(w *world, n int) {
			if c := w.pick(n, (*conn).canSpeak); c != nil {
				c.protocolPing()
			}
		}},
		{"close", 4, func(w *world, n int) {
			if c := w.pick(n, (*conn).canSpeak); c != nil {
				c.polite = n/16%2 == 0
				c.close([]uint16{0, 1000, 4000, 4999}[n/32%4], []string{"", "", "bye", "so long"}[n/32%4])
			}
		}},
		{"leave", 3, func(w *world, n int) {
			if c := w.pick(n, (*conn).canLeave); c != nil {
				c.leave()
			}
		}},
		{"half-close", 2, func(w *world, n int) {
			if c := w.pick(n, func(c *conn) bool { return c.connected() && !c.halfOver }); c != nil {
				c.halfClose()
			}
		}},
		{"slow", 2, func(w *world, n int) {
			if c := w.pick(n, (*conn).canLeave); c != nil {
				c.slow = !c.slow
			}
		}},
		{"mute", 1, func(w *world, n int) {
			if c := w.pick(n, (*conn).canLeave); c != nil {
				c.mute = true
			}
		}},
		{"fetch", 8, func(w *world, n int) {
			w.fetch(w.things[n%things], commands[n/things%len(commands)])
		}},
		{"alarm", 3, func(w *world, n int) {
			outcome := new(string)
			w.alarms = append(w.alarms, outcome)
			w.host.Alarm(w.things[n%things].key, 0, time.Time{}, n%3, func(_ host.AlarmEnd, e *dormouse.Error) { *outcome += fmt.Sprint("done ", e) })
		}},
		{"work", 20, func(w *world, n int) {
			w.on(func() {
				if len(w.procs) > 0 {
					w.procs[n%len(w.procs)].work(1 + n/2%24)
				}
			})
		}},
		{"finish", 10, func(w *world, n int) {
			w.on(func() {
				if len(w.procs) > 0 {
					w.procs[n%len(w.procs)].finishOne(n / 2)
				}
			})
		}},
		{"sync", 14, func(w *world, n int) {
			w.on(func() {
				for k := range 1 + n/things%4 {
					w.things[(n+k)%things].sync(nil)
				}
			})
		}},
		{"syncs", 2, func(w *world, n int) {
			w.on(func() {
				for w.things[n%things].sync(nil) {
				}
			})
		}},
		{"disk fails", 1, func(w *world, n int) {
			w.on(func() { w.things[n%things].sync(errDisk) })
		}},
		{"time", 8, func(w *world, n int) {
			w.sleep([]time.Duration{time.Second, 9 * time.Second, hibernateAfter, hibernateAfter, handshake + 1, evictAfter}[n%6])
		}},
		{"hibernate", 4, func(w *world, n int) {
			w.on(func() { w.host.Hibernate(w.things[n%things].key, n/things%2 == 0, func(bool) {}) })
		}},
		{"evict", 3, func(w *world, n int) {
			w.on(func() {
				w.host.Evict(w.things[n%things].key, false, []time.Duration{0, time.Second, time.Minute}[n/things%3], func(*dormouse.Error) {})
			})
		}},
		{"constructor", 4, func(w *world, n int) { w.things[n%things].next = mood(n / things % int(moods)) }},
		{"die", 3, func(w *world, n int) {
			w.on(func() {
				if len(w.procs) > 0 {
					marked := n / 2 % 8
					w.procs[n%len(w.procs)].die(marked, n/16%(marked+1), n/128%9)
				}
			})
		}},
		{"guest", 5, func(w *world, n int) {
			w.on(func() {
				if w.guest == nil {
					w.replace()
				}
			})
		}},
		{"deploy", 2, func(w *world, n int) { w.on(w.replace) }},
	}
}

var errDisk = errors.New("no space left on device")

func (c *conn) canSpeak() bool { return c.speaks() }
func (c *conn) canLeave() bool { return c.connected() }

// pick chooses among the sockets that can.
func (w *world) pick(n int, can func(*conn) bool) *conn {
	var all []*conn
	for _, c := range w.conns {
		if can(c) {
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[n%len(all)]
}

// match says what may be answered without waking anybody, and if the object
// sleeps it must be.
func (w *world) match(n int) {
	c := w.pick(n, (*conn).canSpeak)
	if c == nil {
		return
	}
	t, pongs, wakes := c.thing, c.pongs, uint64(0)
	var before string
	w.on(func() {
		i, _ := w.host.Look(t.key)
		before, wakes = i.State, w.host.Stats().Wakes
		if i.Mail > 0 {
			before = "has mail"
		}
	})
	c.sayPing()
	synctest.Wait()
	w.drain()
	if w.tight || before != "hibernated" || t.pair == nil || c.outstanding() {
		return
	}
	w.on(func() {
		if got := w.host.Stats().Wakes; got != wakes {
			w.fail("%v woke for an auto-response", t)
		}
		if c.pongs == pongs && !c.slow && !c.hostClosed && !c.gotEnd {
			w.fail("%v: no auto-response came while %v sleeps", c, t)
		}
	})
}

// outstanding says that something of the socket waits for the disk or for its
// client.
func (c *conn) outstanding() bool {
	return slices.ContainsFunc(c.outs[c.seen:], func(e *expected) bool { return !e.excused }) || c.sentClose != nil ||
		slices.ContainsFunc(c.said[:len(c.said)-1], func(m *message) bool { return m.heard == 0 && !m.reported && m.excused == "" && !m.ping })
}

// generate makes the schedule of a seed.
func generate(seed uint64) (shape, []step) {
	r := rand.New(rand.NewPCG(seed, 0))
	s := shape{keep: r.IntN(3) == 0, autoReply: r.IntN(2) == 0, eager: r.IntN(2) == 0, tight: r.IntN(4) == 0}
	all, sum := kinds(), 0
	for _, k := range all {
		sum += k.weight
	}
	steps := make([]step, 20+r.IntN(40))
	for n := range steps {
		at := r.IntN(sum)
		for _, k := range all {
			if at -= k.weight; at < 0 {
				steps[n] = step{k.name, r.Uint32() >> 8}
				break
			}
		}
	}
	return s, steps
}

// run runs a schedule in a bubble and returns what was wrong.
func run(t *testing.T, s shape, steps []step, trace bool) (failures []string) {
	synctest.Test(t, func(t *testing.T) {
		do := make(map[string]func(*world, int))
		for _, k := range kinds() {
			do[k.name] = k.do
		}
		w := newWorld(s)
		for _, step := range steps {
			do[step.kind](w, int(step.n))
			synctest.Wait()
			w.drain()
			if trace {
				t.Log(step, w.failures)
			}
		}
		w.end()
		failures = w.failures
	})
	return failures
}

// shorten leaves out steps as long as the schedule fails.
func shorten(t *testing.T, s shape, steps []step) []step {
	for size := len(steps) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(steps); {
			shorter := slices.Delete(slices.Clone(steps), at, at+size)
			if len(run(t, s, shorter, false)) > 0 {
				steps = shorter
			} else {
				at += size
			}
		}
	}
	return steps
}

// check runs the schedule of a seed. It reports whether all was well.
func check(t *testing.T, seed uint64) bool {
	s, steps := generate(seed)
	if len(run(t, s, steps, false)) == 0 {
		return true
	}
	steps = shorten(t, s, steps)
	if os.Getenv("DORMOUSE_SEED") != "" {
		run(t, s, steps, true)
	}
	var list []string
	for _, step := range steps {
		list = append(list, step.String())
	}
	t.Errorf("DORMOUSE_SEED=%d, %+v:\n\t%s\nfails:\n\t%s", seed, s, strings.Join(list, "\n\t"), strings.Join(run(t, s, steps, false), "\n\t"))
	return false
}

// TestSchedules runs 10,000 random schedules.
func TestSchedules(t *testing.T) {
	if v := os.Getenv("DORMOUSE_SEED"); v != "" {
		seed, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		s, steps := generate(seed)
		t.Logf("%+v", s)
		t.Log(run(t, s, steps, true))
		check(t, seed)
		return
	}
	count := 10_000
	if v := os.Getenv("DORMOUSE_SCHEDULES"); v != "" {
		var err error
		if count, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	runSeeds(t, 1, count)
}

// runSeeds runs the schedules of many seeds, on all processors.
func runSeeds(t *testing.T, first, count int) {
	workers := runtime.GOMAXPROCS(0)
	for n := range workers {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			bad := 0
			for seed := first + n; seed < first+count && bad < 3; seed += workers {
				if !check(t, uint64(seed)) {
					bad++
				}
			}
		})
	}
}

// TestSoak runs new schedules for longer.
func TestSoak(t *testing.T) {
	if os.Getenv("DORMOUSE_SOAK") == "" {
		t.Skip("set DORMOUSE_SOAK=1")
	}
	first := int(time.Now().UnixNano() >> 10 & (1<<40 - 1))
	t.Logf("the first seed is %d", first)
	runSeeds(t, first, 300_000)
}
