package main

import (
	"slices"
	"time"

	"github.com/dormouse-dev/dormouse/bench/alarms"
	"github.com/dormouse-dev/dormouse/bench/autoresponse"
	"github.com/dormouse-dev/dormouse/bench/broadcast"
	"github.com/dormouse-dev/dormouse/bench/calls"
	"github.com/dormouse-dev/dormouse/bench/ceiling"
	"github.com/dormouse-dev/dormouse/bench/chat"
	"github.com/dormouse-dev/dormouse/bench/compression"
	"github.com/dormouse-dev/dormouse/bench/connects"
	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/durable"
	"github.com/dormouse-dev/dormouse/bench/echo"
	"github.com/dormouse-dev/dormouse/bench/growth"
	"github.com/dormouse-dev/dormouse/bench/idle"
	"github.com/dormouse-dev/dormouse/bench/memory"
	"github.com/dormouse-dev/dormouse/bench/neighbour"
	"github.com/dormouse-dev/dormouse/bench/objects"
	"github.com/dormouse-dev/dormouse/bench/party"
	"github.com/dormouse-dev/dormouse/bench/roundtrip"
	"github.com/dormouse-dev/dormouse/bench/tls"
	"github.com/dormouse-dev/dormouse/bench/wake"
	"github.com/dormouse-dev/dormouse/bench/web"
)

// groups are all questions, in the order of the table. A new one is a folder
// with a function that returns a contest.Group, and a line here.
func groups() []contest.Group {
	return slices.Concat([]contest.Group{
		roundtrip.Group(),
		echo.Group(),
		chat.Group(),
		durable.Group(),
		broadcast.Group(),
		autoresponse.Group(),
		connects.Group(),
		wake.Group(),
		objects.Group(),
		neighbour.Group(),
		compression.Group(),
		tls.Group(),
		web.Group(),
		alarms.Group(),
		calls.Group(),
		party.Group(),
	}, memory.Groups(), []contest.Group{
		idle.Group(),
	}, growth.Groups(), []contest.Group{
		ceiling.Group(),
	})
}

var (
	whole = contest.Pace{Rounds: 4, Warm: 100 * time.Millisecond, Measure: 400 * time.Millisecond, Connects: 1000, Idle: 10_000, Sleepers: 19_000}
	quick = contest.Pace{Rounds: 2, Warm: 50 * time.Millisecond, Measure: 200 * time.Millisecond, Connects: 300, Idle: 2000, Sleepers: 2000}
)
