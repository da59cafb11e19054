// Package metrics shows what has been counted in the text format of Prometheus.
// It knows names, labels and help texts; what they are made from is given to it
// as a Snapshot. Its labels are classes, kinds, states and codes, of which there
// are few: no object, socket or client ever becomes one.
package metrics

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/dormouse-dev/dormouse/internal/observe"
)

// Snapshot is all there is to show, at one time and of all shards together.
type Snapshot struct {
	Version, Commit string

	Classes []Class
	Guests  []Guest

	Sockets                  int
	Received, Sent           uint64 // messages
	ReceivedBytes, SentBytes uint64
	AutoResponses            uint64
	Closes                   map[uint16]uint64 // by code; 0 stands for all past a bound

	MailboxWait, InputGate, OutputGate, Commits, Syncs observe.Histogram

	SyncedBytes                                      uint64
	CommitsFailed, RanAway, Slow, Resets, Unfinished uint64
	Mail, MailBytes, Waiting, Backlog, GateBytes     int
	Isolated                                         int

	Changes Changes

	// Alarms; nil if nobody keeps them.
	Alarms *Alarms

	HTTP  map[string]uint64 // requests, by what became of them
	Ready bool
	// Memory of the Go process from which on it takes no new sockets; 0: none.
	MemoryLimit int64
	Deferred    uint64 // times that accepting had to wait for a descriptor
}

// Class is the objects of one class.
type Class struct {
	Name                             string
	Active, Idle, Hibernated, Broken int
	Wakes, Constructions             uint64
	Constructor                      time.Duration // sum
	ConstructorMax                   time.Duration
	Memory, Saved                    time.Duration // object-time in memory, and hibernated
	Events                           observe.Events
}

// Guest is a process.
type Guest struct {
	Slot     string // its place; the processes there change
	Running  bool
	Restarts uint64
	Stalls   uint64
}

// Alarms is what the index of alarms has counted.
type Alarms struct {
	Waiting        int
	Late, Repaired uint64
	Lateness       observe.Histogram
}

// Handler serves the metrics; look makes a Snapshot each time.
func Handler(look func(context.Context) Snapshot) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{look},
	)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// collector is a prometheus.Collector that makes everything anew each time: the
// numbers live with who counts them.
type collector struct {
	look func(context.Context) Snapshot
}

type desc = prometheus.Desc

func describe(name, help string, labels ...string) *desc {
	return prometheus.NewDesc("dormouse_"+name, help, labels, nil)
}

var (
	buildInfo = describe("build_info", "The version that runs; always 1.", "version", "commit")
	ready     = describe("ready", "1 if /readyz says that clients may come.")

	objects         = describe("objects", "Objects by class and state: active, idle, hibernated (not in memory, sockets attached), broken (being reset).", "class", "state")
	wakes           = describe("wakes_total", "Times that an object came into memory.", "class")
	constructions   = describe("constructions_total", "Constructors that ran to their end.", "class")
	constructor     = describe("constructor_seconds_total", "Time spent in constructors.", "class")
	constructorMax  = describe("constructor_max_seconds", "The longest constructor since the start.", "class")
	memorySeconds   = describe("object_memory_seconds_total", "Time that objects have spent in memory, added up.", "class")
	sleepSeconds    = describe("object_hibernated_seconds_total", "Time that objects with sockets have not been in memory, added up: what hibernation has saved.", "class")
	events          = describe("events_total", "Events given to objects, by kind.", "class", "kind")
	latency         = describe("event_duration_seconds", "From the arrival of an event to the end of its handler, by kind.", "class", "kind")
	isolated        = describe("objects_isolated", "Objects that are not started for a while because their code ended its guest.")
	resets          = describe("object_resets_total", "Instances that were reset.")
	runaways        = describe("runaways_total", "Instances that were ended because their code ran without a pause.")
	unfinished      = describe("events_unfinished_total", "Events that a guest may have begun before it died; they are not repeated.")
	slow            = describe("slow_events_total", "Events that took longer than log.slow.")
	mailbox         = describe("mailbox_events", "Events that wait in mailboxes now.")
	mailboxBytes    = describe("mailbox_bytes", "How much they are.")
	mailboxWait     = describe("mailbox_wait_seconds", "How long events waited in a mailbox, of those that did.")
	inputGate       = describe("input_gate_wait_seconds", "How long events waited for an input gate, of those that did.")
	outputGate      = describe("output_gate_closed_seconds", "How long output gates were closed, each time.")
	gateBytes       = describe("output_gate_bytes", "Output that waits for commits to be durable now.")
	waiting         = describe("guest_waiting", "Objects and requests that wait for a guest now.")
	backlog         = describe("guest_backlog_bytes", "What guests have not taken yet.")
	commits         = describe("commit_duration_seconds", "From a commit to the word that it is durable.")
	commitsFailed   = describe("commits_failed_total", "Commits that could not be made durable.")
	syncs           = describe("sync_duration_seconds", "How long a write to the journal and its wait for the disk took.")
	syncedBytes     = describe("journal_written_bytes_total", "Bytes written to the journal.")
	guestUp         = describe("guest_running", "1 if the guest at this place runs.", "slot")
	guestRestarts   = describe("guest_restarts_total", "Guests that ended without having been asked to.", "slot")
	guestStalls     = describe("guest_stalls_total", "Guests that were ended because they handled nothing.", "slot")
	sockets         = describe("sockets", "WebSockets that objects hold.")
	closes          = describe("socket_closes_total", "Sockets that the peer closed, by code; 1006: without a Close frame.", "code")
	messages        = describe("socket_messages_total", "Messages over WebSockets, by direction.", "direction")
	messageBytes    = describe("socket_message_bytes_total", "Payload of messages over WebSockets, by direction.", "direction")
	autoResponses   = describe("auto_responses_total", "Messages that were answered without waking anybody.")
	requests        = describe("http_requests_total", "Requests of clients, by what became of them.", "outcome")
	alarms          = describe("alarms_waiting", "Alarms that are set.")
	alarmsLate      = describe("alarms_late_total", "Alarms that were rung more than a second late.")
	alarmsRepaired  = describe("alarms_repaired_total", "Alarms that the index did not have and the database did.")
	alarmLateness   = describe("alarm_lateness_seconds", "How long after its time an alarm was rung.")
	memoryLimit     = describe("memory_limit_bytes", "limits.memory: near it new sockets are refused; 0 is without limit.")
	acceptsDeferred = describe("accepts_deferred_total", "Times that accepting paused because there was no descriptor.")
)

// Describe sends nothing: what there is depends on the classes.
func (c *collector) Describe(chan<- *desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s := c.look(ctx)
	w := writer{to}
	w.gauge(buildInfo, 1, s.Version, s.Commit)
	w.gauge(ready, flag(s.Ready))
	for i := range s.Classes {
		w.class(&s.Classes[i])
	}
	for _, g := range s.Guests {
		w.gauge(guestUp, flag(g.Running), g.Slot)
		w.count(guestRestarts, g.Restarts, g.Slot)
		w.count(guestStalls, g.Stalls, g.Slot)
	}
	w.waits(&s)
	w.traffic(&s)
	w.changes(&s.Changes)
	w.gauge(memoryLimit, float64(s.MemoryLimit))
	w.count(acceptsDeferred, s.Deferred)
	if a := s.Alarms; a != nil {
		w.gauge(alarms, float64(a.Waiting))
		w.count(alarmsLate, a.Late)
		w.count(alarmsRepaired, a.Repaired)
		w.histogram(alarmLateness, &a.Lateness)
	}
}

type writer struct{ to chan<- prometheus.Metric }

func (w writer) class(c *Class) {
	for state, n := range map[string]int{"active": c.Active, "idle": c.Idle, "hibernated": c.Hibernated, "broken": c.Broken} {
		w.gauge(objects, float64(n), c.Name, state)
	}
	w.count(wakes, c.Wakes, c.Name)
	w.count(constructions, c.Constructions, c.Name)
	w.sum(constructor, c.Constructor, c.Name)
	w.gauge(constructorMax, c.ConstructorMax.Seconds(), c.Name)
	w.sum(memorySeconds, c.Memory, c.Name)
	w.sum(sleepSeconds, c.Saved, c.Name)
	for k := range observe.Kind(observe.Kinds) {
		w.count(events, c.Events.Delivered[k], c.Name, k.String())
		w.histogram(latency, &c.Events.Latency[k], c.Name, k.String())
	}
}

func (w writer) waits(s *Snapshot) {
	w.gauge(isolated, float64(s.Isolated))
	w.count(resets, s.Resets)
	w.count(runaways, s.RanAway)
	w.count(unfinished, s.Unfinished)
	w.count(slow, s.Slow)
	w.gauge(mailbox, float64(s.Mail))
	w.gauge(mailboxBytes, float64(s.MailBytes))
	w.gauge(gateBytes, float64(s.GateBytes))
	w.gauge(waiting, float64(s.Waiting))
	w.gauge(backlog, float64(s.Backlog))
	w.histogram(mailboxWait, &s.MailboxWait)
	w.histogram(inputGate, &s.InputGate)
	w.histogram(outputGate, &s.OutputGate)
	w.histogram(commits, &s.Commits)
	w.count(commitsFailed, s.CommitsFailed)
	w.histogram(syncs, &s.Syncs)
	w.count(syncedBytes, s.SyncedBytes)
}

func (w writer) traffic(s *Snapshot) {
	w.gauge(sockets, float64(s.Sockets))
	for code, n := range s.Closes {
		name := strconv.Itoa(int(code))
		if code == 0 {
			name = "other"
		}
		w.count(closes, n, name)
	}
	w.count(messages, s.Received, "received")
	w.count(messages, s.Sent, "sent")
	w.count(messageBytes, s.ReceivedBytes, "received")
	w.count(messageBytes, s.SentBytes, "sent")
	w.count(autoResponses, s.AutoResponses)
	for outcome, n := range s.HTTP {
		w.count(requests, n, outcome)
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (w writer) gauge(d *desc, v float64, labels ...string) {
	w.to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (w writer) count(d *desc, n uint64, labels ...string) {
	w.to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func (w writer) sum(d *desc, t time.Duration, labels ...string) {
	w.to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, t.Seconds(), labels...)
}

// histogram writes a Histogram, whose buckets count alone, as one whose buckets
// count all below them.
func (w writer) histogram(d *desc, h *observe.Histogram, labels ...string) {
	buckets := make(map[float64]uint64, len(observe.Bounds))
	var n uint64
	for i, bound := range observe.Bounds {
		n += h.Counts[i]
		buckets[bound.Seconds()] = n
	}
	w.to <- prometheus.MustNewConstHistogram(d, n+h.Counts[len(observe.Bounds)], h.Sum.Seconds(), buckets, labels...)
}
