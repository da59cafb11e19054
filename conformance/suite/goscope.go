package suite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/dormouse-dev/dormouse/conformance/drive"
	"github.com/dormouse-dev/dormouse/conformance/goworker"
	"github.com/dormouse-dev/dormouse/conformance/script"
)

// Scope says what of the scripts has no meaning for objects written in Go.
type Scope []exception

// exception is a line of a scope: a pattern of scripts' names, one of their
// commands or "" for all, and the reason.
type exception struct {
	scripts, command, reason string
	used                     bool
}

// LoadScope reads conformance/goworker/scope.txt. Its lines are
//
//	NAMES | REASON
//	NAME > COMMAND | REASON
//
// with * as in file names. A command is left out wherever it stands in its
// script.
func LoadScope(root string) (Scope, error) {
	file := filepath.Join(root, "conformance/goworker/scope.txt")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var s Scope
	for i, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndex(line, " | ")
		if at < 0 {
			return nil, fmt.Errorf("%s:%d: want NAME > COMMAND | REASON", file, i+1)
		}
		names, command, _ := strings.Cut(line[:at], " > ")
		if _, err := path.Match(names, ""); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
		s = append(s, exception{scripts: strings.TrimSpace(names), command: strings.TrimSpace(command), reason: strings.TrimSpace(line[at+3:])})
	}
	return s, nil
}

// except returns why a command does not apply, or "".
func (s Scope) except(name, command string) string {
	for i := range s {
		e := &s[i]
		if ok, _ := path.Match(e.scripts, name); ok && (e.command == "" || e.command == command) {
			e.used = true
			return e.reason
		}
	}
	return ""
}

// Unused are the lines of the scope that no script needs.
func (s Scope) Unused() (lines []string) {
	for _, e := range s {
		if !e.used {
			lines = append(lines, strings.TrimSpace(e.scripts+" > "+e.command))
		}
	}
	return lines
}

// ForGo returns the scripts of which something applies to Go.
func (s Scope) ForGo(scripts []*script.Script) (left []*script.Script) {
	for _, one := range scripts {
		if slices.ContainsFunc(one.Steps, func(step script.Step) bool {
			return s.except(one.Name, step.Command) == "" && len(step.Want) > 0
		}) {
			left = append(left, one)
		}
	}
	return left
}

// Coverage is how many observations of a script hold for Go, and why others are
// not looked for, with how many they are.
type Coverage struct {
	Script *script.Script
	Equal  int
	Out    map[string]int
}

// Compare holds the answers of objects written in Go against the scripts. What the
// scope leaves out counts as answered.
func (s Scope) Compare(scripts []*script.Script, answers Answers) (found []script.Difference, covered []Coverage) {
	for _, one := range scripts {
		c := Coverage{Script: one, Out: make(map[string]int)}
		got := slices.Clone(answers[one.Name])
		for i, step := range one.Steps {
			want := step.View(script.Dormouse)
			reason := s.except(one.Name, step.Command)
			if reason != "" || i >= len(got) {
				if got != nil && i < len(got) {
					got[i] = want
				}
				c.Out[reason] += len(want)
				continue
			}
			said := slices.Clone(got[i])
			for n := range said {
				if said[n] == goworker.NotInGo && n < len(want) {
					said[n] = want[n]
					c.Out["members of JavaScript's sockets and promises"]++
					c.Equal--
				}
			}
			got[i] = said
			c.Equal += len(want)
		}
		if got != nil {
			found = append(found, one.Compare(script.Dormouse, got)...)
		}
		covered = append(covered, c)
	}
	return found, covered
}

// GoTable is what of the scripts holds for objects written in Go, as Markdown.
func GoTable(covered []Coverage) string {
	var b strings.Builder
	b.WriteString("| area | observations in Go | left out | why |\n|---|---:|---:|---|\n")
	equal, out := 0, 0
	for _, c := range covered {
		n := 0
		for _, k := range c.Out {
			n += k
		}
		fmt.Fprintf(&b, "| [%s](testdata/%s.txt) | %d | %d | %s |\n", c.Script.Title, c.Script.Name, c.Equal, n,
			strings.Join(slices.Sorted(maps.Keys(c.Out)), "; "))
		equal, out = equal+c.Equal, out+n
	}
	fmt.Fprintf(&b, "| **all** | **%d** | **%d** | |\n", equal, out)
	return b.String()
}

// RunGo runs scripts against the Worker that is written in Go.
func RunGo(ctx context.Context, scripts []*script.Script) (_ Answers, err error) {
	w, err := goworker.Start(hibernateAfter)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Stop()) }()
	rt := drive.Runtime{Addr: w.Addr, Admin: w.Admin, Idle: dormouseIdle}
	return runAll(ctx, scripts, func(*script.Script) drive.Runtime { return rt })
}

// runAll runs scripts, some at a time.
func runAll(ctx context.Context, scripts []*script.Script, at func(*script.Script) drive.Runtime) (Answers, error) {
	var (
		mu      sync.Mutex // guards the following
		answers = make(Answers)
		errs    []error
		wg      sync.WaitGroup
		slots   = make(chan struct{}, atOnce)
	)
	for _, s := range scripts {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			got, err := drive.Run(ctx, at(s), s)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			answers[s.Name] = got
		})
	}
	wg.Wait()
	return answers, errors.Join(errs...)
}
