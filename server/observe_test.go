package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/server"
)

// get asks the admin address of a server, as somebody on this machine does.
func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	r := httptest.NewRequest("GET", "http://127.0.0.1"+path, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(b)
}

// series reads what Prometheus would: values by name and labels.
func series(t *testing.T, text string) map[string]float64 {
	t.Helper()
	all := make(map[string]float64)
	for _, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, _ := cut(line)
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all[name] = v
	}
	return all
}

func cut(line string) (name, value string, ok bool) {
	i := strings.LastIndexByte(line, ' ')
	return line[:max(i, 0)], line[i+1:], i > 0
}

// TestMetricsDoNotGrowWithObjects: 10,000 objects are numbers, not labels.
func TestMetricsDoNotGrowWithObjects(t *testing.T) {
	s := new(server.Server)
	rooms := s.Define(dormouse.NewClass("Room", newRoom, struct{}{}))
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	wake := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			name := fmt.Sprint("room ", i)
			w := httptest.NewRecorder()
			rooms.ByName(name).ServeHTTP(w, httptest.NewRequest("GET", "/hello", nil))
			if w.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", name, w.Code, w.Body)
			}
		}
	}
	wake(0, 1)
	h := s.AdminHandler(admin.Options{})
	status, text := get(t, h, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, text)
	}
	before := series(t, text)
	const n = 10_000
	wake(1, n)
	_, text = get(t, h, "/metrics")
	after := series(t, text)
	for name := range after {
		if _, had := before[name]; !had && !strings.HasPrefix(name, "go_") {
			t.Errorf("%d objects have added the series %s", n, name)
		}
	}
	for name, want := range map[string]float64{
		`dormouse_wakes_total{class="Room"}`:                                 n,
		`dormouse_events_total{class="Room",kind="request"}`:                 n,
		`dormouse_events_total{class="Room",kind="message"}`:                 0,
		`dormouse_event_duration_seconds_count{class="Room",kind="request"}`: n,
		`dormouse_ready`: 1,
	} {
		if after[name] != want {
			t.Errorf("%s: got %v, want %v", name, after[name], want)
		}
	}
	if got := after[`dormouse_objects{class="Room",state="idle"}`] + after[`dormouse_objects{class="Room",state="active"}`]; got != n {
		t.Errorf("got %v objects in memory, want %d", got, n)
	}
	if regexp.MustCompile(`room|[0-9a-f]{64}`).MatchString(strings.ReplaceAll(text, "Room", "")) {
		t.Error("an object's name or id is among the metrics")
	}
}

// TestPromtoolLikesTheMetrics asks the tool that Prometheus ships for it.
func TestPromtoolLikesTheMetrics(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("NOT TESTED: promtool is not installed (Debian: prometheus)")
	}
	s := new(server.Server)
	rooms := s.Define(dormouse.NewClass("Room", newRoom, struct{}{}))
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	rooms.ByName("a").ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/hello", nil))
	_, text := get(t, s.AdminHandler(admin.Options{}), "/metrics")
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

func TestReadyzFollowsTheServer(t *testing.T) {
	s := new(server.Server)
	rooms := s.Define(dormouse.NewClass("Room", newRoom, struct{}{}))
	rooms.ByName("a").ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/hello", nil))
	h := s.AdminHandler(admin.Options{})
	for _, path := range []string{"/readyz", "/healthz"} {
		if status, text := get(t, h, path); status != http.StatusOK || !strings.Contains(text, `"ready": true`) {
			t.Errorf("%s of a server that runs: %d %s", path, status, text)
		}
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, text := get(t, h, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(text, "the server is stopping") {
		t.Errorf("/readyz of a server that stops: %d %s", status, text)
	}
	if status, text := get(t, h, "/healthz"); status != http.StatusServiceUnavailable {
		t.Errorf("/healthz of a server that has stopped: %d %s", status, text)
	}
}

// TestMetricsNamesAreThose keeps the list that docs/observe.md describes: a name
// that changes breaks somebody's alert.
func TestMetricsNamesAreThose(t *testing.T) {
	s := new(server.Server)
	s.Define(dormouse.NewClass("Room", newRoom, struct{}{}))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	_, text := get(t, s.AdminHandler(admin.Options{}), "/metrics")
	names := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (dormouse_\S+)`).FindAllStringSubmatch(text, -1) {
		names[m[1]] = true
	}
	documented := make(map[string]bool)
	for _, m := range regexp.MustCompile("`(dormouse_[a-z_]+)").FindAllStringSubmatch(readDoc(t, "observe.md"), -1) {
		documented[m[1]] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !documented[name] {
			t.Errorf("docs/observe.md does not have %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		// What has no number yet is not shown.
		if !names[name] && name != "dormouse_socket_closes_total" && !strings.HasPrefix(name, "dormouse_alarm") && !strings.HasPrefix(name, "dormouse_guest_r") && name != "dormouse_guest_stalls_total" {
			t.Errorf("docs/observe.md has %s, which nobody counts", name)
		}
	}
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestListIsCutIntoPages: each object on one page, in the order of their ids.
func TestListIsCutIntoPages(t *testing.T) {
	s := new(server.Server)
	rooms := s.Define(dormouse.NewClass("Room", newRoom, struct{}{}))
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	const n = 25
	for i := range n {
		rooms.ByName(fmt.Sprint("room ", i)).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/hello", nil))
	}
	h := s.AdminHandler(admin.Options{})
	var ids []string
	for offset := 0; offset < n; offset += 10 {
		var page struct {
			Total   int
			Objects []admin.Object
		}
		_, text := get(t, h, fmt.Sprintf("/api/objects?class=Room&search=room&limit=10&offset=%d", offset))
		if err := json.Unmarshal([]byte(text), &page); err != nil {
			t.Fatal(err)
		}
		if page.Total != n || len(page.Objects) != min(10, n-offset) {
			t.Errorf("page from %d: %d of %d", offset, len(page.Objects), page.Total)
		}
		for _, o := range page.Objects {
			ids = append(ids, o.ID)
		}
	}
	if !slices.IsSorted(ids) || len(slices.Compact(ids)) != n {
		t.Errorf("got %d ids: %v", len(ids), ids)
	}
}
