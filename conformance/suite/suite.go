// Package suite runs all conformance scripts against a runtime, and tells what
// they cover.
package suite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse/conformance/drive"
	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	"github.com/dormouse-dev/dormouse/conformance/script"
)

// Idle times. workerd's ten seconds are fixed. Dormouse's is well above the
// time in which a script waits for silence, so that an object leaves memory only
// where the script has it so.
const (
	workerdIdle    = 11500 * time.Millisecond
	hibernateAfter = 3 * time.Second
	dormouseIdle   = 4500 * time.Millisecond
)

// atOnce is how many scripts run beside one another: mostly they wait.
const atOnce = 12

// Load reads the scripts of dir whose names match only.
func Load(dir string, only *regexp.Regexp) ([]*script.Script, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	var scripts []*script.Script
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if only != nil && !only.MatchString(name) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		s, err := script.Parse(name, string(text))
		if err != nil {
			return nil, err
		}
		scripts = append(scripts, s)
	}
	if len(scripts) == 0 {
		return nil, fmt.Errorf("no script in %s matches", dir)
	}
	return scripts, nil
}

// Save writes a script back to its file.
func Save(dir string, s *script.Script) error {
	return os.WriteFile(filepath.Join(dir, s.Name+".txt"), []byte(s.String()), 0o644)
}

// Answers are what the scripts' steps were answered, by script.
type Answers map[string][][]string

// Run runs the scripts on one side, script.Workerd or script.Dormouse, with a
// server for each Worker. root is the top of the repository.
// dormouse are further arguments of Dormouse's.
func Run(ctx context.Context, root string, side script.Kind, scripts []*script.Script, dormouse ...string) (Answers, error) {
	servers := make(map[string]drive.Runtime)
	for _, s := range scripts {
		at := server(s)
		if _, ok := servers[at]; ok {
			continue
		}
		w, err := runtimes.Load(filepath.Join(root, folder(s)))
		if err != nil {
			return nil, err
		}
		if s.Alone {
			rt, stop, err := startAlone(ctx, side, w, dormouse)
			if err != nil {
				return nil, err
			}
			defer stop()
			servers[at] = rt
			continue
		}
		server, rt, err := start(ctx, side, w, dormouse)
		if err != nil {
			return nil, err
		}
		defer server.Stop()
		servers[at] = rt
	}

	return runAll(ctx, scripts, func(s *script.Script) drive.Runtime { return servers[server(s)] })
}

// server names the server that a script talks to.
func server(s *script.Script) string {
	if s.Alone {
		return s.Name
	}
	return folder(s)
}

// folder is the Worker that a script talks to.
func folder(s *script.Script) string {
	switch {
	case s.Stores:
		return "conformance/worker-stores"
	case s.Others:
		return "conformance/neighbours/caller"
	case s.Unsafe:
		return "conformance/worker-unsafe"
	case s.Date == script.Older:
		return "conformance/worker-2025"
	}
	return "conformance/worker"
}

func start(ctx context.Context, side script.Kind, w runtimes.Worker, more []string) (*runtimes.Server, drive.Runtime, error) {
	if side == script.Workerd {
		begin := runtimes.StartWorkerd
		if w.HasStores() {
			begin = runtimes.StartMiniflare
		}
		s, err := begin(ctx, w)
		if err != nil {
			return nil, drive.Runtime{}, err
		}
		return s, drive.Runtime{Addr: s.Addr, Idle: workerdIdle}, nil
	}
	// One guest, so that what the Worker keeps in its module (the objects' logs)
	// is seen by all its objects.
	// With room for the longest values of RPC, several times over.
	s, err := runtimes.StartDormouse(ctx, w, hibernateAfter, append([]string{"--guests", "1", "--guest-memory", "1GiB"}, more...)...)
	if err != nil {
		return nil, drive.Runtime{}, err
	}
	return s, drive.Runtime{Addr: s.Addr, Admin: s.Admin, Idle: dormouseIdle}, nil
}

// Compare holds the answers against the scripts.
func Compare(side script.Kind, scripts []*script.Script, answers Answers) []script.Difference {
	var found []script.Difference
	for _, s := range scripts {
		found = append(found, s.Compare(side, answers[s.Name])...)
	}
	return found
}

// Table is the scripts' coverage as Markdown, with a list of all differences.
func Table(scripts []*script.Script) string {
	var b strings.Builder
	b.WriteString("| area | compatibility date | observations | equal | differ on purpose |\n|---|---|---:|---:|---:|\n")
	var equal, differ int
	reasons := make(map[string]int)
	for _, s := range scripts {
		c := s.Count()
		fmt.Fprintf(&b, "| [%s](testdata/%s.txt) | %s | %d | %d | %d |\n", s.Title, s.Name, s.Date, c.Equal+c.Differ, c.Equal, c.Differ)
		equal, differ = equal+c.Equal, differ+c.Differ
		for r, n := range c.Reasons {
			reasons[r] += n
		}
	}
	fmt.Fprintf(&b, "| **all** | | **%d** | **%d** | **%d** |\n", equal+differ, equal, differ)
	if len(reasons) == 0 {
		return b.String()
	}
	b.WriteString("\n| where Dormouse differs on purpose | observations |\n|---|---:|\n")
	var names []string
	for r := range reasons {
		names = append(names, r)
	}
	slices.Sort(names)
	for _, r := range names {
		fmt.Fprintf(&b, "| %s | %d |\n", strings.ReplaceAll(r, "|", "\\|"), reasons[r])
	}
	return b.String()
}

// A table stands in a README between these lines.
const (
	tableBegin = "<!-- table: go run ./conformance -table -->\n"
	goBegin    = "<!-- table: go run ./conformance -side go -table -->\n"
	tableEnd   = "<!-- end of table -->\n"
)

// PutTable returns a README with the table in its place.
func PutTable(readme, table string) (string, error) { return put(readme, tableBegin, table) }

// PutGoTable does the same for objects written in Go.
func PutGoTable(readme, table string) (string, error) { return put(readme, goBegin, table) }

func put(readme, begin, table string) (string, error) {
	before, rest, ok := strings.Cut(readme, begin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return "", fmt.Errorf("the README lacks the lines %q and %q", strings.TrimSpace(begin), strings.TrimSpace(tableEnd))
	}
	return before + begin + "\n" + table + "\n" + tableEnd + after, nil
}
