// Package script reads and writes conformance scripts, and compares what a
// runtime answered with what stands in them. It knows text and no runtime.
//
// A script is commands, each with the lines that it answers:
//
//	# Closing, from either side.
//	compatibility_date 2026-11-17
//
//	> connect a room
//	  101
//	> a close 1000 bye
//	> a recv
//	! The runtime answers a Close by itself (documented; workerd leaves it to the class).
//	- nothing came
//	+ close 1000 "bye"
//
// Lines that start with two spaces are what workerd answered, and what Dormouse
// must answer too. Where Dormouse differs on purpose, "-" is workerd's line, "+"
// is Dormouse's, and a line with "!" before them says why.
package script

import (
	"fmt"
	"slices"
	"strings"
)

// Oldest of the dates that the scripts run under; a script that names none runs
// under the newest.
const (
	Newest = "2026-11-17"
	Older  = "2025-06-01"
)

// Script is a file of steps that run one after another.
type Script struct {
	Name   string // of the file, without its extension
	Title  string // its first comment
	Date   string // the compatibility date it needs
	Unsafe bool   // it needs a Worker of its own, with the flag unsafe_module
	Stores bool   // it needs the Worker with KV and R2
	Others bool   // it needs the Worker that is bound to another one
	Alone  bool   // it changes the Worker's code, so it needs a server of its own
	Head   []string
	Steps  []Step
}

// Step is a command and what it must answer.
type Step struct {
	Before  []string // comments and empty lines above the command
	Command string
	Want    []Line
	line    int // in the file
}

// Line is one line of an answer.
type Line struct {
	Kind Kind
	Text string
}

// Kind is the mark of a line.
type Kind byte

const (
	Both     Kind = ' '
	Workerd  Kind = '-'
	Dormouse Kind = '+'
	Reason   Kind = '!'
)

const (
	dateKey   = "compatibility_date "
	unsafeKey = "compatibility_flag unsafe_module"
	storesKey = "bindings KV R2"
	othersKey = "bindings of another Worker"
	aloneKey  = "code that changes"
)

// Parse reads the script of a file.
func Parse(name, text string) (*Script, error) {
	s := &Script{Name: name, Date: Newest}
	var before []string
	reason := false
	for i, l := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		fail := func(what string) error { return fmt.Errorf("%s:%d: %s: %q", name, i+1, what, l) }
		switch {
		case strings.HasPrefix(l, "> "):
			s.Steps = append(s.Steps, Step{Before: before, Command: strings.TrimSpace(l[2:]), line: i + 1})
			before, reason = nil, false
		case strings.TrimSpace(l) == "" || strings.HasPrefix(l, "#"):
			if s.Title == "" {
				s.Title = strings.TrimSpace(strings.TrimLeft(l, "#"))
			}
			before = append(before, l)
		case strings.HasPrefix(l, dateKey) && len(s.Steps) == 0:
			s.Date = strings.TrimSpace(l[len(dateKey):])
			if s.Date != Newest && s.Date != Older {
				return nil, fail(fmt.Sprintf("want %s or %s", Newest, Older))
			}
			s.Head, before = append(before, l), nil
		case l == unsafeKey && len(s.Steps) == 0:
			s.Unsafe, s.Head, before = true, append(before, l), nil
		case l == storesKey && len(s.Steps) == 0:
			s.Stores, s.Head, before = true, append(before, l), nil
		case l == othersKey && len(s.Steps) == 0:
			s.Others, s.Head, before = true, append(before, l), nil
		case l == aloneKey && len(s.Steps) == 0:
			s.Alone, s.Head, before = true, append(before, l), nil
		case len(l) >= 2 && l[1] == ' ' && strings.IndexByte(" -+!", l[0]) >= 0:
			if len(s.Steps) == 0 || before != nil {
				return nil, fail("an answer without a command above it")
			}
			kind := Kind(l[0])
			if kind == Both {
				reason = false
			} else if kind == Reason {
				reason = true
			} else if !reason {
				return nil, fail("a difference without a reason (a line that starts with !) above it")
			}
			step := &s.Steps[len(s.Steps)-1]
			step.Want = append(step.Want, Line{kind, l[2:]})
		default:
			return nil, fail("neither a command nor an answer nor a comment")
		}
	}
	if before != nil {
		return nil, fmt.Errorf("%s: comments behind the last command", name)
	}
	return s, nil
}

// String writes the script as Parse reads it.
func (s *Script) String() string {
	var b strings.Builder
	for _, l := range s.Head {
		b.WriteString(l + "\n")
	}
	for _, step := range s.Steps {
		for _, l := range step.Before {
			b.WriteString(l + "\n")
		}
		fmt.Fprintf(&b, "> %s\n", step.Command)
		for _, l := range step.Want {
			fmt.Fprintf(&b, "%c %s\n", l.Kind, l.Text)
		}
	}
	return b.String()
}

// View is what the step must answer on one side, Workerd or Dormouse.
func (s Step) View(side Kind) []string {
	var lines []string
	for _, l := range s.Want {
		if l.Kind == Both || l.Kind == side {
			lines = append(lines, l.Text)
		}
	}
	return lines
}

// Difference is a step that was answered otherwise than it must.
type Difference struct {
	Script    string
	Line      int
	Command   string
	Want, Got []string
}

func (d Difference) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.txt:%d: > %s\n", d.Script, d.Line, d.Command)
	for _, e := range diff(d.Want, d.Got) {
		fmt.Fprintf(&b, "    %s\n", e)
	}
	return b.String()
}

// Compare holds answers, one for each step, against the script.
func (s *Script) Compare(side Kind, answers [][]string) []Difference {
	var found []Difference
	for i, step := range s.Steps {
		var got []string
		if i < len(answers) {
			got = answers[i]
		}
		if want := step.View(side); !slices.Equal(want, got) {
			found = append(found, Difference{Script: s.Name, Line: step.line, Command: step.Command, Want: want, Got: got})
		}
	}
	return found
}

// Record takes workerd's answers into the script. Where an answer is as it was,
// the differences noted beside it stay; the lines of the steps whose notes were
// lost are returned, since only a person can say what of them still holds.
func (s *Script) Record(answers [][]string) (lost []int) {
	for i := range s.Steps {
		step := &s.Steps[i]
		if slices.Equal(step.View(Workerd), answers[i]) {
			continue
		}
		if slices.ContainsFunc(step.Want, func(l Line) bool { return l.Kind != Both }) {
			lost = append(lost, step.line)
		}
		step.Want = nil
		for _, l := range answers[i] {
			step.Want = append(step.Want, Line{Both, l})
		}
	}
	return lost
}

// Differ takes Dormouse's answers into the script: what differs from workerd's
// is noted with the reason, but what was noted already keeps the reason it has.
func (s *Script) Differ(answers [][]string, reason string) {
	for i := range s.Steps {
		step := &s.Steps[i]
		if slices.Equal(step.View(Dormouse), answers[i]) {
			continue
		}
		known := make(map[string]string)
		for _, g := range groups(step.Want) {
			known[g.key()] = g.reason
		}
		var lines []Line
		for _, e := range diff(step.View(Workerd), answers[i]) {
			lines = append(lines, Line{Kind(e[0]), e[2:]})
		}
		step.Want = nil
		for _, g := range groups(lines) {
			if g.lines[0].Kind != Both {
				why, ok := known[g.key()]
				if !ok {
					why = reason
				}
				step.Want = append(step.Want, Line{Reason, why})
			}
			step.Want = append(step.Want, g.lines...)
		}
	}
}

// group is a run of lines that are equal, or that differ for one reason.
type group struct {
	reason string
	lines  []Line
}

func (g group) key() string { return fmt.Sprint(g.lines) }

func groups(lines []Line) []group {
	var all []group
	reason := ""
	for i, l := range lines {
		if l.Kind == Reason {
			reason = l.Text
			continue
		}
		same := i > 0 && lines[i-1].Kind != Reason && (l.Kind == Both) == (lines[i-1].Kind == Both)
		if !same {
			all = append(all, group{reason: reason})
		}
		last := &all[len(all)-1]
		last.lines = append(last.lines, l)
	}
	return all
}

// Count is how many observations a script holds.
type Count struct {
	Equal   int            // lines that both must answer
	Differ  int            // lines in which Dormouse differs on purpose
	Reasons map[string]int // how many lines differ for it
}

// Count counts lines of answers. Where the two sides of a difference have
// different lengths the longer counts.
func (s *Script) Count() Count {
	c := Count{Reasons: make(map[string]int)}
	for _, step := range s.Steps {
		reason := ""
		var minus, plus int
		done := func() {
			if n := max(minus, plus); n > 0 {
				c.Differ += n
				c.Reasons[reason] += n
			}
			minus, plus = 0, 0
		}
		for _, l := range step.Want {
			switch l.Kind {
			case Both:
				done()
				c.Equal++
			case Reason:
				done()
				reason = l.Text
			case Workerd:
				minus++
			case Dormouse:
				plus++
			}
		}
		done()
	}
	return c
}

// diff writes want and got as one list: equal lines with two spaces, missing
// ones with "- ", unexpected ones with "+ ".
func diff(want, got []string) []string {
	// Length of the longest common part of want[i:] and got[j:].
	common := make([][]int, len(want)+1)
	for i := range common {
		common[i] = make([]int, len(got)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(got) - 1; j >= 0; j-- {
			if want[i] == got[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case i < len(want) && j < len(got) && want[i] == got[j]:
			out = append(out, "  "+want[i])
			i, j = i+1, j+1
		case j == len(got) || i < len(want) && common[i+1][j] >= common[i][j+1]:
			out = append(out, "- "+want[i])
			i++
		default:
			out = append(out, "+ "+got[j])
			j++
		}
	}
	return out
}
