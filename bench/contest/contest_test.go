package contest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/dormouse-dev/dormouse/conformance/runtimes"
)

func sleeper(context.Context) (*runtimes.Server, error) {
	return runtimes.Start(exec.Command("sleep", "60"))
}

func absent(context.Context) (*runtimes.Server, error) {
	return nil, fmt.Errorf("it is %w", runtimes.ErrNotHere)
}

func TestRoundsAreInterleaved(t *testing.T) {
	var order []string
	q := Question{Name: "q", Metrics: []Metric{Rate}, Ask: func(t *Target) (Sample, error) {
		order = append(order, fmt.Sprint(t.Peer.Name, t.Round))
		return Sample{Values: map[string]float64{Rate.Name: float64(len(order)), Memory.Name: 1}}, nil
	}}
	peers := []Peer{{Name: "a", Start: sleeper}, {Name: "b", Start: absent}, {Name: "c", Start: sleeper}}
	results, err := Run{peers, Pace{Rounds: 2}, io.Discard}.Put(t.Context(), Group{"g", []Question{q}})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, " "); got != "a0 c0 a1 c1" {
		t.Errorf("order %q, want a0 c0 a1 c1", got)
	}
	answers := results[0].Answers
	if answers[1].Skipped == "" || len(answers[1].Samples) != 0 || len(answers[0].Samples) != 2 {
		t.Errorf("answers: %+v", answers)
	}

	r := Report{Results: results}
	var table bytes.Buffer
	r.Table(&table)
	for _, want := range []string{"| question | | a | b | c |", "| q | messages/s | 2 (1–3) | – | 3 (2–4) |", "b was skipped: it is not here."} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
}

func TestWhoFailsIsAskedNoMore(t *testing.T) {
	asked := map[string]int{}
	q := Question{Name: "q", Metrics: []Metric{Rate}, Ask: func(t *Target) (Sample, error) {
		if asked[t.Peer.Name]++; t.Peer.Name == "a" && t.Round == 1 {
			return Sample{}, errors.New("wrong answer")
		}
		return Sample{Values: map[string]float64{Rate.Name: 1}}, nil
	}}
	peers := []Peer{{Name: "a", Start: sleeper}, {Name: "b", Start: sleeper}}
	results, err := Run{peers, Pace{Rounds: 3}, io.Discard}.Put(t.Context(), Group{"g", []Question{q}})
	if err != nil {
		t.Fatal(err)
	}
	if asked["a"] != 2 || asked["b"] != 3 || results[0].Answers[0].Failed != "wrong answer" {
		t.Errorf("asked %v, answers %+v", asked, results[0].Answers)
	}
	r := Report{Results: results}
	if _, ok := r.Median("q", "a", Rate.Name); ok {
		t.Error("who failed has a figure")
	}
	var table bytes.Buffer
	r.Table(&table)
	for _, want := range []string{"| q | messages/s | failed | 1 (1–1) |", "q: a failed: wrong answer."} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
}

func TestPreparedIsClosedAndOthersAreNotAsked(t *testing.T) {
	closed := 0
	q := Question{
		Name: "q", Peers: []string{"b"}, Rounds: 1,
		Prepare: func(*Target) (any, error) { return closer{&closed}, nil },
		Ask: func(t *Target) (Sample, error) {
			if t.Peer.Name != "b" || t.Prepared == nil {
				return Sample{}, fmt.Errorf("asked %s with %v", t.Peer.Name, t.Prepared)
			}
			return Sample{Values: map[string]float64{}}, nil
		},
	}
	peers := []Peer{{Name: "a", Start: sleeper}, {Name: "b", Special: true, Start: sleeper}}
	results, err := Run{peers, Pace{Rounds: 3}, io.Discard}.Put(t.Context(), Group{"g", []Question{q}})
	if err != nil {
		t.Fatal(err)
	}
	if a := results[0].Answers; len(a) != 1 || len(a[0].Samples) != 1 || a[0].Failed != "" || closed != 1 {
		t.Errorf("answers %+v, closed %d times", results[0].Answers, closed)
	}
}

type closer struct{ n *int }

func (c closer) Close() error {
	*c.n++
	return nil
}

func TestBars(t *testing.T) {
	sample := func(v float64) []Sample { return []Sample{{Values: map[string]float64{"rate": v}}} }
	r := Report{Results: []Result{{Question: "q", Answers: []Answer{{Peer: "a", Samples: sample(10)}, {Peer: "b", Samples: sample(4)}}}}}
	for _, c := range []struct {
		bar        Bar
		got        float64
		met, known bool
	}{
		{Bar{Question: "q", Metric: "rate", Of: "a", Against: "b", Least: 3}, 2.5, false, true},
		{Bar{Question: "q", Metric: "rate", Of: "a", Against: "b", Least: 2.5}, 2.5, true, true},
		{Bar{Question: "q", Metric: "rate", Of: "b", Most: 4}, 4, true, true},
		{Bar{Question: "q", Metric: "rate", Of: "b", Most: 3}, 4, false, true},
		{Bar{Question: "q", Metric: "rate", Of: "a", Against: "c", Least: 1}, 0, false, false},
	} {
		got, met, known := c.bar.Check(&r)
		if met != c.met || known != c.known || known && got != c.got {
			t.Errorf("%+v: got %v, met %v, known %v", c.bar, got, met, known)
		}
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.34567: "0.346", 12.345: "12.3", 99.96: "100", 123.4: "123", 1234: "1,230", 999_600: "1,000,000", 2_870_123: "2,870,000", -1234: "-1,230",
	} {
		if got := Figure(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}
