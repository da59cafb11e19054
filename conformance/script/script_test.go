package script

import (
	"slices"
	"strings"
	"testing"
)

const sample = `# Closing, from either side.
compatibility_date 2025-06-01

# Somebody comes.
> connect a room
  101
> a close 1000 bye
> a hear
! The runtime answers a Close itself.
- silent
+ close 1000 "bye"
+ the connection ended
> log room 1
  close of a
`

func parse(t *testing.T, text string) *Script {
	t.Helper()
	s, err := Parse("sample", text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParse(t *testing.T) {
	s := parse(t, sample)
	if s.Title != "Closing, from either side." || s.Date != Older || len(s.Steps) != 4 {
		t.Errorf("got title %q, date %s, %d steps", s.Title, s.Date, len(s.Steps))
	}
	if s.String() != sample {
		t.Errorf("written as\n%s", s.String())
	}
	if got, want := s.Steps[2].View(Workerd), []string{"silent"}; !slices.Equal(got, want) {
		t.Errorf("workerd: got %q, want %q", got, want)
	}
	if got, want := s.Steps[2].View(Dormouse), []string{`close 1000 "bye"`, "the connection ended"}; !slices.Equal(got, want) {
		t.Errorf("Dormouse: got %q, want %q", got, want)
	}
	c := s.Count()
	if c.Equal != 2 || c.Differ != 2 || c.Reasons["The runtime answers a Close itself."] != 2 {
		t.Errorf("count: %+v", c)
	}
}

func TestParseRefuses(t *testing.T) {
	for what, text := range map[string]string{
		"without a reason":    "# t\n> a\n- x\n",
		"bad:6: a difference": "# t\n> a\n! why\n- x\n  y\n+ z\n",
		"without a command":   "# t\n  x\n",
		"neither a command":   "# t\n> a\nx\n",
		"want 2026-11-17":     "# t\ncompatibility_date 2020-01-01\n> a\n",
		"behind the last":     "# t\n> a\n  x\n# lost\n",
	} {
		if _, err := Parse("bad", text); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%q: got %v, want an error %q", text, err, what)
		}
	}
}

func TestCompareSaysWhere(t *testing.T) {
	s := parse(t, sample)
	answers := [][]string{{"101"}, nil, {"silent"}, {"close of a", "close of a"}}
	found := s.Compare(Workerd, answers)
	if len(found) != 1 {
		t.Fatalf("got %d differences, want 1: %v", len(found), found)
	}
	want := "sample.txt:13: > log room 1\n      close of a\n    + close of a\n"
	if got := found[0].String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if found := s.Compare(Dormouse, answers); len(found) != 2 {
		t.Errorf("Dormouse: got %d differences, want 2", len(found))
	}
	if found := s.Compare(Workerd, answers[:2]); len(found) != 2 {
		t.Errorf("a run that broke off: got %d differences, want 2", len(found))
	}
}

func TestRecord(t *testing.T) {
	s := parse(t, sample)
	if lost := s.Record([][]string{{"101"}, nil, {"silent"}, {"close of a", "more"}}); lost != nil {
		t.Errorf("lost %v, want nothing", lost)
	}
	if !strings.Contains(s.String(), `+ close 1000 "bye"`) || !strings.HasSuffix(s.String(), "  close of a\n  more\n") {
		t.Errorf("recorded:\n%s", s)
	}
	if lost := s.Record([][]string{{"101"}, nil, {"something else"}, {"close of a"}}); len(lost) != 1 {
		t.Errorf("lost %v, want the step that had a difference", lost)
	}
}

func TestDiffer(t *testing.T) {
	s := parse(t, sample)
	answers := [][]string{{"101"}, {"the connection did not take it"}, {"silent for once"}, {"close of a", "more"}}
	s.Differ(answers, "Not yet.")
	if found := s.Compare(Dormouse, answers); len(found) != 0 {
		t.Errorf("still different: %v", found)
	}
	if found := s.Compare(Workerd, [][]string{{"101"}, nil, {"silent"}, {"close of a"}}); len(found) != 0 {
		t.Errorf("workerd's side has changed: %v", found)
	}
	if c := s.Count(); c.Reasons["Not yet."] != 3 || c.Equal != 2 {
		t.Errorf("count: %+v\n%s", c, s)
	}
	if again := parse(t, s.String()); again.String() != s.String() {
		t.Errorf("cannot be read back:\n%s", s)
	}

	// A difference that stays keeps its reason when another comes beside it.
	s = parse(t, "# t\n> a\n! Old.\n- x\n+ y\n  z\n  v\n")
	s.Differ([][]string{{"y", "z", "w"}}, "New.")
	if got, want := s.String(), "# t\n> a\n! Old.\n- x\n+ y\n  z\n! New.\n- v\n+ w\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("fuzz", text)
		if err != nil || len(s.Steps) == 0 {
			return
		}
		again, err := Parse("fuzz", s.String())
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, s)
		}
		if again.String() != s.String() {
			t.Errorf("written differently the second time:\n%q\n%q", s, again)
		}
	})
}
