package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestErrorsHaveOneName: an error that nobody caught has the same event, object
// and version in the log, in the answer of `dormouse dev`, and in what the page
// shows; by whatever way the Worker has asked.
func TestErrorsHaveOneName(t *testing.T) {
	s := startDev(t, filepath.Join(root(t), "internal/e2e/testdata/traced"), "--data", t.TempDir(), "--log-format", "json")
	name := regexp.MustCompile(`^event=([0-9]+-[0-9]+-[0-9]+)(; class=Stop; object=there)?; version=(.+)$`)
	for path, test := range map[string]struct {
		text   string
		object string
	}{
		"/fetch": {"Uncaught (in fetch): RangeError: thrown in fetch", "there"},
		"/call":  {"Uncaught (in RPC): RangeError: thrown in a call", "there"},
		"/self":  {"Uncaught (in fetch): Error: thrown in the Worker", ""},
	} {
		resp, err := http.Get("http://" + s.Addr + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		header := resp.Header.Get("Dormouse-Error")
		m := name.FindStringSubmatch(header)
		if resp.StatusCode != 500 || m == nil || (m[2] != "") != (test.object != "") {
			t.Errorf("%s: status %d, Dormouse-Error %q", path, resp.StatusCode, header)
			continue
		}
		err = Until(t.Context(), path+" is in the log", func() (bool, error) {
			for line := range strings.SplitSeq(s.Log(), "\n") {
				var l struct {
					Text   string `json:"msg"`
					Event  string `json:"event_id"`
					Object string `json:"object"`
					Code   string `json:"version"`
				}
				if json.Unmarshal([]byte(line), &l) == nil && l.Event == m[1] && strings.HasPrefix(l.Text, test.text) && l.Object == test.object && l.Code == m[3] {
					return true, nil
				}
			}
			return false, fmt.Errorf("no line %q of event %s in\n%s", test.text, m[1], s.Log())
		})
		if err != nil {
			t.Error(err)
		}
		if test.object == "" {
			continue
		}
		var past struct {
			Timeline []struct {
				What  string `json:"what"`
				Why   string `json:"why"`
				Event string `json:"event_id"`
				Code  string `json:"version"`
			} `json:"timeline"`
		}
		answer, err := http.Get("http://" + s.Admin + "/api/objects/traced-Stop/name:there/timeline")
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(answer.Body).Decode(&past)
		answer.Body.Close()
		found := false
		for _, p := range past.Timeline {
			found = found || p.What == "error" && p.Event == m[1] && p.Why == test.text && p.Code == m[3]
		}
		if err != nil || !found {
			t.Errorf("%s: the timeline has %+v, %v", path, past, err)
		}
	}
}
