package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// run is what an alarm handler was given.
type run struct {
	IsRetry       bool
	RetryCount    int
	ScheduledTime int64
}

// clock is an object of testdata/clock.
type clock struct {
	t    *testing.T
	d    *Dormouse
	name string
}

func startClocks(t *testing.T, data string, more ...string) *Dormouse {
	t.Helper()
	return StartDormouse(t, Options{Dir: "testdata/clock", Data: data, More: more})
}

func (c clock) get(path string, answer any) error {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", c.d.URL+"/"+c.name+"/"+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal(body, answer); err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: status %d, %q", path, res.StatusCode, body)
	}
	return nil
}

// set has the object set its alarm, and returns the time.
func (c clock) set(after time.Duration, how string) (at int64) {
	c.t.Helper()
	var answer struct{ At int64 }
	if err := c.get(fmt.Sprintf("set?ms=%d&how=%s", after.Milliseconds(), how), &answer); err != nil {
		c.t.Fatal(err)
	}
	return answer.At
}

// runs returns what the handler was given, and the alarm that there is. It asks
// again where its own request has met the object's end.
func (c clock) runs() (runs []run, alarm *int64) {
	c.t.Helper()
	var answer struct {
		Runs  []run
		Alarm *int64
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	var err error
	if until := Until(ctx, "an answer", func() (bool, error) {
		err = c.get("runs", &answer)
		return err == nil, nil
	}); until != nil {
		c.t.Fatalf("%v: %v", until, err)
	}
	return answer.Runs, answer.Alarm
}

// ran waits until the handler has run as often as want has entries, and compares
// what it was given.
func (c clock) ran(want ...run) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	var got []run
	if err := Until(ctx, fmt.Sprintf("%d runs of the alarm of %s", len(want), c.name), func() (bool, error) {
		got, _ = c.runs()
		return len(got) >= len(want), nil
	}); err != nil {
		c.t.Fatalf("%v; there were %+v", err, got)
	}
	if !slices.Equal(got, want) {
		c.t.Errorf("the handler was given %+v, want %+v", got, want)
	}
}

// done waits until no alarm is left.
func (c clock) done() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	if err := Until(ctx, "no alarm is left", func() (bool, error) {
		_, alarm := c.runs()
		return alarm == nil, nil
	}); err != nil {
		c.t.Error(err)
	}
}

// alarms is what the admin API counts.
type alarms struct{ Alarms, Running, Runs, Failures, Interrupted, Dropped, Repairs int }

func (d *Dormouse) alarms() (a alarms) {
	d.t.Helper()
	if status, err := d.ask(d.t.Context(), "GET", "/api/alarms", &a); err != nil || status != http.StatusOK {
		d.t.Fatalf("GET /api/alarms: status %d, %v", status, err)
	}
	return a
}

// An alarm that kills its guest's process, or whose guest is killed, runs again,
// and that is no retry.
func TestGuestKilledDuringAnAlarm(t *testing.T) {
	t.Parallel()
	d := startClocks(t, "")
	c := clock{t, d, "a"}
	at := c.set(200*time.Millisecond, "hang")
	first := run{false, 0, at}
	c.ran(first)
	if runs, alarm := c.runs(); alarm != nil {
		t.Errorf("while the handler runs there is an alarm at %d; it has run %d times", *alarm, len(runs))
	}
	for _, pid := range d.GuestPIDs() {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		d.waitGone("guest", pid)
	}
	c.ran(first, first)
	c.done()
	if got := d.alarms(); got.Failures != 0 || got.Interrupted == 0 || got.Repairs != 0 {
		t.Errorf("counted %+v", got)
	}
}

// An alarm that takes too long, or does not end, is cut; that counts.
func TestAlarmThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	d := startClocks(t, "", "--limits-alarm-time", "1s", "--limits-guest-stall", "1s")
	hang, loop := clock{t, d, "hang"}, clock{t, d, "loop"}
	for _, c := range []clock{hang, loop} {
		at := c.set(100*time.Millisecond, c.name)
		c.ran(run{false, 0, at}, run{true, 1, at})
		c.done()
	}
	if log := d.server.Log(); !strings.Contains(log, "Alarm exceeded its allowed execution time") {
		t.Error("the limit was not named in the log")
	}
	if got := d.alarms(); got.Failures != 2 || got.Repairs != 0 {
		t.Errorf("counted %+v", got)
	}
}

// The admin API shows the alarm of an object that is not in memory.
func TestAlarmIsShown(t *testing.T) {
	t.Parallel()
	d := startClocks(t, "")
	c := clock{t, d, "a"}
	at := c.set(time.Hour, "")
	d.Hibernate("a")
	var shown struct {
		State, Class string
		Alarm        struct {
			Time  time.Time
			Retry int `json:"retry_count"`
		}
	}
	if status, err := d.ask(t.Context(), "GET", d.object("a"), &shown); err != nil || status != http.StatusOK {
		t.Fatalf("status %d, %v", status, err)
	}
	if shown.State != "inactive" || shown.Class != "Clock" || shown.Alarm.Time.UnixMilli() != at || shown.Alarm.Retry != 0 {
		t.Errorf("got %+v, want the alarm at %d", shown, at)
	}
}
