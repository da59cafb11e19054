package main

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse/conformance/runtimes"
	"github.com/dormouse-dev/dormouse/conformance/script"
	"github.com/dormouse-dev/dormouse/conformance/suite"
)

func load(t *testing.T) []*script.Script {
	t.Helper()
	scripts, err := suite.Load("testdata", nil)
	if err != nil {
		t.Fatal(err)
	}
	return scripts
}

// recurring asks the scripts that differ again, alone, twice at most. Scripts run
// beside each other and beside other tests, and alarms' times are in some: a
// machine that stood still for two seconds is no difference. What is one comes again.
func recurring(t *testing.T, scripts []*script.Script, found []script.Difference, ask func([]*script.Script) []script.Difference) []script.Difference {
	t.Helper()
	for range 2 {
		if len(found) == 0 {
			break
		}
		differ := make(map[string]bool)
		for _, d := range found {
			t.Log("asked again:", d)
			differ[d.Script] = true
		}
		scripts = slices.DeleteFunc(slices.Clone(scripts), func(s *script.Script) bool { return !differ[s.Name] })
		found = ask(scripts)
	}
	return found
}

// Dormouse answers every script as workerd did when it was recorded, or as the
// script says that it differs. `go run ./conformance` asks workerd again.
func TestDormouseAnswersAsRecorded(t *testing.T) {
	if testing.Short() {
		t.Skip("runs all scripts against Dormouse")
	}
	t.Parallel() // with that of Go: both mostly wait
	root, err := runtimes.Root()
	if err != nil {
		t.Fatal(err)
	}
	scripts := load(t)
	ask := func(scripts []*script.Script) []script.Difference {
		answers, err := suite.Run(t.Context(), root, script.Dormouse, scripts)
		if errors.Is(err, runtimes.ErrNotHere) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return suite.Compare(script.Dormouse, scripts, answers)
	}
	for _, d := range recurring(t, scripts, ask(scripts), ask) {
		t.Error(d)
	}
}

// Objects written in Go answer as recorded what the scripts ask that has a meaning
// for Go, and the README's table says how much that is.
func TestGoAnswersAsRecorded(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the scripts against objects written in Go")
	}
	t.Parallel()
	root, err := runtimes.Root()
	if err != nil {
		t.Fatal(err)
	}
	scope, err := suite.LoadScope(root)
	if err != nil {
		t.Fatal(err)
	}
	scripts := load(t)
	var covered []suite.Coverage // of all scripts
	ask := func(scripts []*script.Script) []script.Difference {
		answers, err := suite.RunGo(t.Context(), scope.ForGo(scripts))
		if err != nil {
			t.Fatal(err)
		}
		found, these := scope.Compare(scripts, answers)
		if covered == nil {
			covered = these
		}
		return found
	}
	for _, d := range recurring(t, scripts, ask(scripts), ask) {
		t.Error(d)
	}
	for _, line := range scope.Unused() {
		t.Errorf("goworker/scope.txt leaves out %s, which no script has", line)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if want, err := suite.PutGoTable(string(readme), suite.GoTable(covered)); err != nil || want != string(readme) {
		t.Errorf("the table of Go in conformance/README.md is not that of the scripts (%v): run go run ./conformance -side go -table", err)
	}
}

// A fault that is put on purpose into what a runtime answered is found: another
// text, a line that is missing, one too many, two in another order.
func TestSeededFaultsAreFound(t *testing.T) {
	for _, side := range []script.Kind{script.Workerd, script.Dormouse} {
		for _, s := range load(t) {
			answers := make([][]string, len(s.Steps))
			for i, step := range s.Steps {
				answers[i] = step.View(side)
			}
			if found := s.Compare(side, answers); len(found) != 0 {
				t.Fatalf("%s: the record differs from itself: %v", s.Name, found[0])
			}
			for i, right := range answers {
				for j, line := range right {
					seed := func(what string, wrong []string) {
						answers[i] = wrong
						if found := s.Compare(side, answers); len(found) != 1 || found[0].Command != s.Steps[i].Command {
							t.Errorf("%s: > %s: %s in line %d was not found", s.Name, s.Steps[i].Command, what, j+1)
						}
						answers[i] = right
					}
					seed("another text", slices.Replace(slices.Clone(right), j, j+1, line+"!"))
					seed("a missing line", slices.Delete(slices.Clone(right), j, j+1))
					seed("a line twice", slices.Insert(slices.Clone(right), j, line))
					if j > 0 && right[j-1] != line {
						swapped := slices.Clone(right)
						swapped[j-1], swapped[j] = swapped[j], swapped[j-1]
						seed("another order", swapped)
					}
				}
			}
		}
	}
}

func TestScriptsAreWrittenAsTheyAreRead(t *testing.T) {
	for _, s := range load(t) {
		text, err := os.ReadFile("testdata/" + s.Name + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		if s.String() != string(text) {
			t.Errorf("%s.txt is written otherwise than it stands there: run go run ./conformance -record", s.Name)
		}
		if s.Title == "" {
			t.Errorf("%s.txt has no title: its first line is a comment that says what it is about", s.Name)
		}
	}
}

func TestCoverage(t *testing.T) {
	const least = 250
	scripts := load(t)
	n := 0
	for _, s := range scripts {
		c := s.Count()
		n += c.Equal + c.Differ
	}
	if n < least {
		t.Errorf("%d observations, want at least %d", n, least)
	}
	summary, err := suite.Summary("..", scripts)
	if err != nil {
		t.Fatal(err)
	}
	for file, table := range map[string]string{"README.md": suite.Table(scripts), "../README.md": summary} {
		readme, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := suite.PutTable(string(readme), table)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if want != string(readme) {
			t.Errorf("the table in conformance/%s is not that of the scripts: run go run ./conformance -table", file)
		}
	}
}

// Every member of the API's classes is used by a probe.
func TestEveryMemberIsProbed(t *testing.T) {
	var source strings.Builder
	for _, dir := range []string{"worker/src", "worker/src/probes"} {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.IsDir() {
				continue
			}
			text, err := os.ReadFile(dir + "/" + f.Name())
			if err != nil {
				t.Fatal(err)
			}
			source.Write(text)
		}
	}
	members := strings.Fields(`
		.id .storage .props .exports .facets .container
		.waitUntil( .blockConcurrencyWhile( .acceptWebSocket( .getWebSockets( .getTags( .abort(
		.setWebSocketAutoResponse( .getWebSocketAutoResponse( .getWebSocketAutoResponseTimestamp(
		.setHibernatableWebSocketEventTimeout( .getHibernatableWebSocketEventTimeout(
		.serializeAttachment( .deserializeAttachment( .accept( .send( .close( .addEventListener(
		.readyState .url .protocol .extensions .binaryType .bufferedAmount
		.request .response getRequest getResponse
		webSocketMessage( webSocketClose( webSocketError( alarm( WebSocketPair( WebSocketRequestResponsePair(
		.idFromName( .idFromString( .newUniqueId( .get( .getByName( .equals( .toString( .name`)
	for _, m := range members {
		if !strings.Contains(source.String(), m) {
			t.Errorf("no probe uses %s", m)
		}
	}
}
