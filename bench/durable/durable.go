// Package durable asks what storage costs: how many replies a second leave when
// each has to be on disk first, what a statement costs, how soon an object with
// data is there, and what its neighbours notice.
package durable

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
)

// frameBytes is what an INSERT adds to a write-ahead log: a page and its header.
const frameBytes = 4096 + 24

// done is the reply to every message.
var done = []byte("done")

func store(i int) string { return fmt.Sprintf("/ws/Store/store-%d", i) }

// Replies is objects with a socket each. A message is one INSERT and its reply,
// which may only leave when the row is on disk. Beside it stands what one
// fdatasync per reply, one after another, would allow on this disk at this time:
// a disk that others use too is twice as fast in one minute as in the next.
func Replies(objects int) contest.Question {
	name := fmt.Sprintf("durable replies, %d objects", objects)
	if objects == 1 {
		name = "durable replies, 1 object"
	}
	return contest.Question{
		Name: name,
		Asks: "How many replies a second leave, if each waits until its row is on disk?",
		Metrics: []contest.Metric{
			{Name: contest.Rate.Name, Unit: "replies/s"}, contest.P50, contest.P99, contest.CPU,
			{Name: "serial", Unit: "fdatasync/s, one after another"}, {Name: "times", Unit: "times that"},
		},
		Workers: true,
		Rounds:  2,
		Ask: func(t *contest.Target) (contest.Sample, error) {
			fleet, err := load.Dial(t.Server.Addr, objects, 16, store)
			if err != nil {
				return contest.Sample{}, err
			}
			defer fleet.Close()
			before, err := serial(objects, t.Pace.Warm)
			if err != nil {
				return contest.Sample{}, err
			}
			s, err := t.Loop(func(w load.Window) (*load.Result, error) {
				return fleet.Pump(load.Pump{Send: []byte("insert 1"), Reply: done, InFlight: 1}, w)
			})
			if err != nil {
				return contest.Sample{}, err
			}
			after, err := serial(objects, t.Pace.Warm)
			if err != nil {
				return contest.Sample{}, err
			}
			s.Values["serial"] = (before + after) / 2
			s.Values["times"] = s.Values[contest.Rate.Name] / s.Values["serial"]
			return s, nil
		},
	}
}

// serial appends a frame to one of n files and waits for the disk, then to the
// next one, and so on, and returns how often a second.
func serial(n int, limit time.Duration) (perSecond float64, err error) {
	dir, err := os.MkdirTemp("", "serial-") // where the servers have their data
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	files := make([]*os.File, n)
	frame := make([]byte, frameBytes)
	for i := range files {
		if files[i], err = os.Create(filepath.Join(dir, fmt.Sprint(i))); err != nil {
			return 0, err
		}
		defer files[i].Close()
		if err := append1(files[i], frame); err != nil { // the folder and the inode are no part of it
			return 0, err
		}
	}
	began := time.Now()
	count := 0
	for time.Since(began) < limit {
		if err := append1(files[count%n], frame); err != nil {
			return 0, err
		}
		count++
	}
	return float64(count) / time.Since(began).Seconds(), nil
}

func append1(f *os.File, b []byte) error {
	if _, err := f.Write(b); err != nil {
		return err
	}
	return unix.Fdatasync(int(f.Fd()))
}

// Group is what storage costs.
func Group() contest.Group {
	return contest.Group{Name: "durable", Questions: []contest.Question{
		Replies(1),
		Replies(16),
		Replies(100),
		Replies(256),
		Statements("insert", "statement", 1000),
		Statements("select", "statement", 1000),
		Statements("putget", "put and get", 1000),
		Neighbour(50),
		Cold(),
	}}
}

// Statements is one object that does something count times in one turn, over
// and over.
func Statements(what, unit string, count int) contest.Question {
	send := fmt.Appendf(nil, "%s %d", what, count)
	return contest.Question{
		Name:    fmt.Sprintf("%s, %d in one turn", what, count),
		Asks:    "What does it cost in a turn of many?",
		Metrics: []contest.Metric{{Name: "each", Unit: "µs per " + unit}, contest.P50, contest.P99},
		Workers: true,
		Rounds:  2,
		Ask: func(t *contest.Target) (contest.Sample, error) {
			name := fmt.Sprintf("/ws/Store/%s-%d", what, t.Round)
			fleet, err := load.Dial(t.Server.Addr, 1, 1, func(int) string { return name })
			if err != nil {
				return contest.Sample{}, err
			}
			defer fleet.Close()
			if _, err := fleet.Ask(0, fmt.Sprintf("insert %d", count)); err != nil { // rows to select
				return contest.Sample{}, err
			}
			s, err := t.Loop(func(w load.Window) (*load.Result, error) {
				return fleet.Pump(load.Pump{Send: send, Reply: done, InFlight: 1}, w)
			})
			if err != nil {
				return contest.Sample{}, err
			}
			s.Values["each"] = s.Values[contest.P50.Name] / float64(count)
			return s, nil
		},
	}
}

// Neighbour is an echo beside objects that write without a pause.
func Neighbour(writers int) contest.Question {
	payload := []byte("is anybody there?")
	return contest.Question{
		Name:    fmt.Sprintf("echo beside %d writers", writers),
		Asks:    "What does an object that stores nothing notice of others that wait for the disk?",
		Metrics: []contest.Metric{{Name: "idle", Unit: "µs p50 alone"}, contest.P50, contest.P99, {Name: "times", Unit: "times p50 alone"}},
		Workers: true,
		Rounds:  2,
		Ask: func(t *contest.Target) (contest.Sample, error) {
			echo, err := load.Dial(t.Server.Addr, 1, 1, func(int) string { return "/ws/Echo/neighbour" })
			if err != nil {
				return contest.Sample{}, err
			}
			defer echo.Close()
			fleet, err := load.Dial(t.Server.Addr, writers, 16, store)
			if err != nil {
				return contest.Sample{}, err
			}
			defer fleet.Close()
			measure := func(w load.Window) (*load.Result, error) {
				return echo.Pump(load.Pump{Send: payload, Reply: payload, InFlight: 1}, w)
			}
			idle, err := t.Loop(measure)
			if err != nil {
				return contest.Sample{}, err
			}
			written := make(chan error, 1)
			go func() {
				long := load.Window{Measure: 2 * (t.Pace.Warm + t.Pace.Measure)} // ends last
				_, err := fleet.Pump(load.Pump{Send: []byte("insert 1"), Reply: done, InFlight: 1}, long)
				written <- err
			}()
			s, err := t.Loop(measure)
			if e := <-written; err == nil {
				err = e
			}
			if err != nil {
				return contest.Sample{}, err
			}
			s.Values["idle"] = idle.Values[contest.P50.Name]
			s.Values["times"] = s.Values[contest.P50.Name] / s.Values["idle"]
			return s, nil
		},
	}
}
