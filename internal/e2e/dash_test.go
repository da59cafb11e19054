package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestDashboard looks at real objects with a real browser. It leaves screenshots
// in artefacts/TestDashboard.
func TestDashboard(t *testing.T) {
	browser := need[string](t)(findBrowser())
	d := StartDormouse(t, Options{
		Dir: filepath.Join(root(t), "internal/e2e/testdata/runaway"), HibernateAfter: time.Hour,
		More: []string{"--guests", "1"},
	})
	one, other := dial(t, d, "one"), dial(t, d, "other")
	one.ask("store things")
	other.ask("before")
	// Something that nobody catches, and a store that the page is to show.
	other.say("throw")
	for _, args := range [][]string{{"put", "--create", "words", "greeting", "hello, everybody"}, {"put", "--create", "words", "data", "1 2 3"}} {
		if _, err := d.Run(append([]string{"kv"}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	shots := filepath.Join(root(t), "artefacts", t.Name())
	if err := os.MkdirAll(shots, 0o755); err != nil {
		t.Fatal(err)
	}
	drive(t, d.Target, "dash.mjs", "", "CHROMIUM="+browser, "SCREENSHOTS="+shots, "ADMIN="+d.Admin,
		"OBJECT="+one.name, "NEIGHBOUR="+other.name, fmt.Sprint("GUEST_PID=", d.GuestPIDs()[0]))
}
