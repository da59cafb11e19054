package goworker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse"
)

const far = time.Hour

// Alarm implements dormouse.AlarmHandler: it tells what it was given and does
// what is planned, one word after the other. See worker/src/probes/alarms.ts.
func (o *room) Alarm(ctx context.Context, a dormouse.AlarmInfo) error {
	plan := o.book.planned(o.name) // as of now
	o.note(fmt.Sprintf("alarm, retry %t, count %d, name %s", a.Retry > 0, a.Retry, show(o.name)))
	for _, word := range plan {
		if word != "alarm-info" {
			continue
		}
		set, _, err := dormouse.Get[int64](o.state.Storage(), "set")
		if err != nil {
			return err
		}
		at := `"number"`
		if a.Scheduled.UnixMilli() == set {
			at = "as it was set"
		}
		o.note("info has isRetry, retryCount, scheduledTime; scheduledTime is " + at)
	}
	for _, word := range plan {
		deed := deeds[word]
		if deed == nil {
			continue
		}
		if err := deed(o, ctx, func(line string) { o.note("in alarm: " + line) }); err != nil {
			return err
		}
	}
	for _, word := range plan {
		if word == "alarm-ends" {
			o.note("alarm ends")
		}
	}
	return nil
}

// deeds are what a plan may have the handler do.
var deeds = map[string]func(o *room, ctx context.Context, say func(string)) error{
	"alarm-gets": func(o *room, _ context.Context, say func(string)) error {
		text, err := o.tellAlarm()
		say("getAlarm " + text)
		return err
	},
	"alarm-sets":        func(o *room, _ context.Context, _ func(string)) error { return o.setAlarm(far) },
	"alarm-sets-soon":   func(o *room, _ context.Context, _ func(string)) error { return o.setAlarm(300 * time.Millisecond) },
	"alarm-sets-past":   func(o *room, _ context.Context, _ func(string)) error { return o.setAlarm(-far) },
	"alarm-deletes":     func(o *room, _ context.Context, _ func(string)) error { return o.state.Storage().DeleteAlarm() },
	"alarm-deletes-all": func(o *room, _ context.Context, _ func(string)) error { return o.state.Storage().DeleteAll() },
	"alarm-syncs":       func(o *room, ctx context.Context, _ func(string)) error { return o.state.Storage().Sync(ctx) },
	"alarm-waits":       func(o *room, ctx context.Context, _ func(string)) error { return o.sleep(ctx, 1500*time.Millisecond) },
	"alarm-writes": func(o *room, _ context.Context, _ func(string)) error {
		_, err := o.add("runs")
		return err
	},
	"alarm-reads": func(o *room, _ context.Context, say func(string)) error {
		text, err := o.stored("runs")
		say("runs " + text)
		return err
	},
	"alarm-throws": func(*room, context.Context, func(string)) error { return errors.New("the alarm handler threw") },
	"alarm-aborts": func(o *room, _ context.Context, _ func(string)) error {
		o.state.Abort("the alarm aborts")
		return nil
	},
	"alarm-blocks": func(o *room, ctx context.Context, _ func(string)) error {
		o.state.BlockConcurrencyWhile(ctx, func(context.Context) error { return errors.New("the alarm's section threw") })
		return nil
	},
	"alarm-sends": func(o *room, _ context.Context, say func(string)) error {
		var kept []any
		for ws := range o.state.WebSockets() {
			kept = append(kept, attachment(ws))
		}
		say(fmt.Sprintf("sockets %d, attachments %s", len(kept), show(kept)))
		for ws := range o.state.WebSockets() {
			ws.SendText("from the alarm")
		}
		return nil
	},
	"alarm-rolls-back": func(o *room, _ context.Context, _ func(string)) error {
		o.state.Storage().Transaction(func() error {
			o.state.Storage().SetAlarm(time.Now().Add(far))
			return errors.New("rolled back")
		})
		return nil
	},
}

// setAlarm sets the alarm, and remembers to when.
func (o *room) setAlarm(d time.Duration) error {
	at := time.Now().Add(d)
	if err := dormouse.Put(o.state.Storage(), "set", at.UnixMilli()); err != nil {
		return err
	}
	return o.state.Storage().SetAlarm(at)
}

// tellAlarm is the alarm as a script can know it.
func (o *room) tellAlarm() (string, error) {
	at, err := o.state.Storage().Alarm()
	if err != nil || at.IsZero() {
		return "null", err
	}
	set, _, err := dormouse.Get[int64](o.state.Storage(), "set")
	switch {
	case err != nil:
		return "", err
	case at.UnixMilli() == set:
		return "as it was set", nil
	case time.Until(at).Abs() < 5*time.Second:
		return "another, about now", nil
	}
	return "another, far away", nil
}

// stored is a stored number as a script knows it.
func (o *room) stored(key string) (string, error) {
	n, ok, err := dormouse.Get[int](o.state.Storage(), key)
	if !ok {
		return "undefined", err
	}
	return fmt.Sprint(n), err
}

// sleep is JavaScript's await of a timer: others have the object meanwhile.
func (o *room) sleep(ctx context.Context, d time.Duration) error {
	return o.state.Yield(ctx, func(ctx context.Context) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}
