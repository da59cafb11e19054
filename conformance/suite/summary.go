package suite

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dormouse-dev/dormouse/conformance/script"
	"github.com/dormouse-dev/dormouse/internal/ws/wstest"
)

// areas are what the front page tells apart; a script in none of them is one of
// its own.
var areas = []struct {
	title   string
	scripts []string
}{
	{"`DurableObjectState`, ids, namespaces, stubs", []string{"state", "facets", "ids"}},
	{"`acceptWebSocket`, lists, tags, attachments", []string{"accept", "lists", "attachments"}},
	{"Auto-response, event timeout", []string{"autoresponse", "timeout", "expiry"}},
	{"Handlers, closing, upgrades, the wire", []string{"handlers", "silence", "close", "protocol", "upgrade"}},
	{"`WebSocket`, standard and outbound sockets", []string{"websocket", "standard"}},
	{"Hibernation, and what keeps an object in memory", []string{"hibernation", "wake", "awake", "between"}},
	{"Alarms", []string{"alarm"}},
	{"Gates, `blockConcurrencyWhile`, `abort`", []string{"gates", "block", "reset"}},
	{"Calls on stubs, and their errors", []string{"calls", "rpc"}},
	{"Services, and objects of another Worker", []string{"services"}},
	{"HTTP: `Request`, `Response`, `fetch`, bodies, streams", []string{"http"}},
	{"Storage: back in time", []string{"past"}},
	{"KV and R2 (with miniflare)", []string{"kv", "r2"}},
	{"Globals, modules, and the platform's other pieces", []string{"platform"}},
	{"Newer code takes over", []string{"update"}},
	{"Test hooks (`workerd:unsafe`)", []string{"unsafe"}},
}

// Summary is what the front page says of the comparison. root is the top of the
// repository.
func Summary(root string, scripts []*script.Script) (string, error) {
	counts := make(map[string]script.Count)
	var order []string
	for _, a := range areas {
		order = append(order, a.title)
	}
	var all script.Count
	for _, s := range scripts {
		title, c := areaOf(s), s.Count()
		if !slices.Contains(order, title) {
			order = append(order, title)
		}
		sum := counts[title]
		counts[title] = script.Count{Equal: sum.Equal + c.Equal, Differ: sum.Differ + c.Differ}
		all = script.Count{Equal: all.Equal + c.Equal, Differ: all.Differ + c.Differ}
	}
	var b strings.Builder
	b.WriteString("| compared with `workerd` | observations | equal | different on purpose |\n|---|---:|---:|---:|\n")
	for _, title := range order {
		if c := counts[title]; c.Equal+c.Differ > 0 {
			fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", title, c.Equal+c.Differ, c.Equal, c.Differ)
		}
	}
	fmt.Fprintf(&b, "| **all** | **%d** | **%d** | **%d** |\n", all.Equal+all.Differ, all.Equal, all.Differ)
	surface, err := surface(root)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "\nAnd %d recorded answers about classes, globals and errors, %d cases of RFC 6455 and RFC 7692 on each of three transports.\n",
		surface, len(wstest.Cases()))
	return b.String(), nil
}

// areaOf is the area of a script; those of older dates have the date behind
// their name.
func areaOf(s *script.Script) string {
	name, _, _ := strings.Cut(s.Name, "-")
	for _, a := range areas {
		if slices.Contains(a.scripts, name) {
			return a.title
		}
	}
	return s.Title
}

// surface counts the answers of workerd that the guest's own tests hold against
// it.
func surface(root string) (int, error) {
	files, err := filepath.Glob(filepath.Join(root, "sdk/node/test/surface/workerd-*.json"))
	if err != nil || len(files) != 1 {
		return 0, cmp.Or(err, fmt.Errorf("%d records of the surface, want one", len(files)))
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		return 0, err
	}
	var answers []json.RawMessage
	if err := json.Unmarshal(text, &answers); err != nil {
		return 0, fmt.Errorf("read %s: %w", files[0], err)
	}
	return len(answers), nil
}
