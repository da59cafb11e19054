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
		return Sample{Rate.Name: float64(len(order))}, nil
	}}
	peers := []Peer{{Name: "a", Start: sleeper}, {Name: "b", Start: absent}, {Name: "c", Start: sleeper}}
	answers, err := Put(t.Context(), q, peers, Pace{Rounds: 2}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, " "); got != "a0 c0 a1 c1" {
		t.Errorf("order %q, want a0 c0 a1 c1", got)
	}
	if answers[1].Skipped == "" || len(answers[1].Samples) != 0 || len(answers[0].Samples) != 2 {
		t.Errorf("answers: %+v", answers)
	}

	r := Report{Results: []Result{{Question: q.Name, Metrics: q.Metrics, Answers: answers}}}
	var table bytes.Buffer
	r.Table(&table)
	for _, want := range []string{"| question | | a | b | c |", "| q | messages/s | 2 (1–3) | – | 3 (2–4) |", "b was skipped: it is not here."} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
}

func TestFailureEndsTheRun(t *testing.T) {
	wrong := errors.New("wrong answer")
	q := Question{Name: "q", Ask: func(*Target) (Sample, error) { return nil, wrong }}
	_, err := Put(t.Context(), q, []Peer{{Name: "a", Start: sleeper}}, Pace{Rounds: 2}, io.Discard)
	if !errors.Is(err, wrong) {
		t.Errorf("got %v, want the failure", err)
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.34567: "0.346", 12.345: "12.3", 99.96: "100", 123.4: "123", 1234: "1,230", 999_600: "1,000,000", 2_870_123: "2,870,000", -1234: "-1,230",
	} {
		if got := figure(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}
