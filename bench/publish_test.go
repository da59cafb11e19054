package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/dormouse-dev/dormouse/conformance/runtimes"
)

// What README and bench/results show must be what the newest result file says.
func TestPublishedAgreesWithResults(t *testing.T) {
	root, err := runtimes.Root()
	if err != nil {
		t.Fatal(err)
	}
	file, err := newest(root)
	if err != nil {
		t.Fatal(err)
	}
	if file == "" {
		t.Skip("no results are kept here")
	}
	made, err := published(root, file)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range made {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
		} else if string(got) != string(want) {
			t.Errorf("%s is not what %s says: run go run ./bench -publish", name, file)
		}
	}
}

// Every bar, row and plot must name a question that is asked.
func TestNamesOfQuestions(t *testing.T) {
	asked := make(map[string]bool)
	for _, g := range groups() {
		for _, q := range g.Questions {
			if asked[q.Name+g.Name] {
				t.Errorf("%s is asked twice", q.Name)
			}
			asked[q.Name] = true
		}
	}
	for _, b := range bars {
		if !asked[b.Question] {
			t.Errorf("bar %q: nobody asks %q", b.Says, b.Question)
		}
	}
	for _, r := range rows {
		if !asked[r.question] {
			t.Errorf("row %q: nobody asks %q", r.label, r.question)
		}
	}
	for _, p := range plots {
		if !asked[p.question] {
			t.Errorf("plot %s: nobody asks %q", p.file, p.question)
		}
	}
}
