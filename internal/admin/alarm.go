package admin

import "time"

// Alarm is the alarm of an object.
type Alarm struct {
	Time    *time.Time `json:"time,omitempty"` // as it was set
	Next    *time.Time `json:"next,omitempty"` // when it runs: not Time if it has failed
	Retry   int        `json:"retry_count"`    // runs that have failed
	Running bool       `json:"running"`
}

// Alarms is the alarms of all objects: how many there are now, and what has
// happened to them since the server began.
type Alarms struct {
	Alarms      int    `json:"alarms"`
	Running     int    `json:"running"`
	Late        int    `json:"late"` // due, and nothing to run them on
	Runs        uint64 `json:"runs"`
	Failures    uint64 `json:"failures"`
	Interrupted uint64 `json:"interrupted"`
	Dropped     uint64 `json:"dropped"`
	// Repairs counts what must not happen: an alarm that had passed and did not
	// run, or that nobody knew of.
	Repairs    uint64 `json:"repairs"`
	ClockJumps uint64 `json:"clock_jumps"`
}

// Add adds what others have counted. A jump of the clock is one for all.
func (a *Alarms) Add(b Alarms) {
	a.Alarms += b.Alarms
	a.Running += b.Running
	a.Late += b.Late
	a.Runs += b.Runs
	a.Failures += b.Failures
	a.Interrupted += b.Interrupted
	a.Dropped += b.Dropped
	a.Repairs += b.Repairs
	a.ClockJumps = max(a.ClockJumps, b.ClockJumps)
}
