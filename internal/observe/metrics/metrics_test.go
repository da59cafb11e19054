package metrics

import (
	"context"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// made reads the names and labels of this package's metrics from its source: what
// has no number at the moment is not shown by any server.
func made(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source []byte
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	all := make(map[string][]string)
	for _, m := range regexp.MustCompile(`= describe\("([a-z_]+)", "(?:[^"\\]|\\.)*"((?:, "[a-z]+")*)\)`).FindAllStringSubmatch(string(source), -1) {
		all["dormouse_"+m[1]] = strings.FieldsFunc(m[2], func(r rune) bool { return strings.ContainsRune(`", `, r) })
	}
	if n := strings.Count(string(source), "= describe("); n != len(all) || n == 0 {
		t.Fatalf("%d metrics were read of %d", len(all), n)
	}
	return all
}

// TestEveryMetricIsInTheDocument, and the other way round.
func TestEveryMetricIsInTheDocument(t *testing.T) {
	page, err := os.ReadFile("../../../docs/observe.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for _, m := range regexp.MustCompile("`(dormouse_[a-z_]+)").FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = true
	}
	if got, want := slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(made(t))); !slices.Equal(got, want) {
		t.Errorf("docs/observe.md has\n%q, the code has\n%q", got, want)
	}
}

// TestLabelsAreFew: of each label there are as many values as there are classes,
// kinds, states, codes or guests' places; none grows with what clients do.
func TestLabelsAreFew(t *testing.T) {
	few := []string{"class", "state", "kind", "slot", "code", "direction", "outcome", "version", "commit"}
	for name, labels := range made(t) {
		for _, l := range labels {
			if !slices.Contains(few, l) {
				t.Errorf("%s has the label %s: how many values may that have?", name, l)
			}
		}
	}
}

// TestWhatSomebodyOnCallAsksFor: what there must be a number for.
func TestWhatSomebodyOnCallAsksFor(t *testing.T) {
	all := made(t)
	for question, names := range map[string]string{
		"objects by state and class":    "objects",
		"sockets":                       "sockets",
		"events by kind":                "events_total",
		"latency by kind":               "event_duration_seconds",
		"wakes":                         "wakes_total",
		"constructor time":              "constructor_seconds_total constructor_max_seconds constructions_total",
		"time in memory per class":      "object_memory_seconds_total object_hibernated_seconds_total",
		"mailbox":                       "mailbox_events mailbox_bytes mailbox_wait_seconds",
		"input gate":                    "input_gate_wait_seconds",
		"output gate":                   "output_gate_closed_seconds output_gate_bytes",
		"commit latency":                "commit_duration_seconds commits_failed_total",
		"sync latency":                  "sync_duration_seconds journal_written_bytes_total",
		"late alarms":                   "alarms_late_total alarm_lateness_seconds alarms_waiting",
		"guest restarts and stalls":     "guest_restarts_total guest_stalls_total guest_running",
		"closes by code":                "socket_closes_total",
		"bytes":                         "socket_message_bytes_total",
		"whether clients may come":      "ready",
		"which version runs":            "build_info",
		"code that does not behave":     "runaways_total object_resets_total objects_isolated events_unfinished_total",
		"limits of the machine":         "memory_limit_bytes accepts_deferred_total",
		"requests by what became of it": "http_requests_total",
	} {
		for name := range strings.FieldsSeq(names) {
			if _, ok := all["dormouse_"+name]; !ok {
				t.Errorf("%s: there is no dormouse_%s", question, name)
			}
		}
	}
}

// TestEverythingIsShown when there is a number for it: no metric is forgotten
// when they are written.
func TestEverythingIsShown(t *testing.T) {
	h := Handler(func(context.Context) Snapshot {
		return Snapshot{
			Classes: []Class{{Name: "Room"}}, Guests: []Guest{{Slot: "0"}}, Closes: map[uint16]uint64{1000: 1},
			HTTP: map[string]uint64{"answered": 1}, Alarms: new(Alarms),
		}
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for name := range made(t) {
		if !strings.Contains(w.Body.String(), "# TYPE "+name+" ") {
			t.Errorf("%s is not shown", name)
		}
	}
}
