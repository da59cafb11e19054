package gate

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestOutputsWaitForEveryEarlierCommit(t *testing.T) {
	var g Output
	var left []string
	hold := func(s string) { g.Hold(len(s), func() { left = append(left, s) }) }

	if !g.Open() {
		t.Fatal("a gate without commits is closed")
	}
	first := g.Commit()
	hold("behind the first")
	second := g.Commit()
	hold("behind the second")
	hold("and one more")

	g.Durable(first)
	if want := []string{"behind the first"}; !slices.Equal(left, want) {
		t.Errorf("after the first commit got %q, want %q", left, want)
	}
	if g.Open() {
		t.Error("the gate opened before the second commit was durable")
	}
	g.Durable(second)
	if want := []string{"behind the first", "behind the second", "and one more"}; !slices.Equal(left, want) {
		t.Errorf("after the second commit got %q, want %q", left, want)
	}
	if !g.Open() || g.Bytes() != 0 {
		t.Errorf("open %v with %d bytes, want open and empty", g.Open(), g.Bytes())
	}
}

func TestDropForgetsWhatWaits(t *testing.T) {
	var g Output
	n := g.Commit()
	g.Hold(1, func() { t.Error("an output of a failed commit left") })
	g.Drop()
	g.Durable(n)
	if !g.Open() || g.Bytes() != 0 {
		t.Errorf("open %v with %d bytes, want open and empty", g.Open(), g.Bytes())
	}
}

func TestReleaseMayCloseTheGateAgain(t *testing.T) {
	var g Output
	var left []int
	n := g.Commit()
	g.Hold(0, func() {
		left = append(left, 1)
		g.Commit()
		g.Hold(0, func() { left = append(left, 3) })
	})
	g.Hold(0, func() { left = append(left, 2) })
	g.Durable(n)
	if want := []int{1, 2}; !slices.Equal(left, want) {
		t.Fatalf("got %v, want %v", left, want)
	}
	g.Durable(n + 1)
	if want := []int{1, 2, 3}; !slices.Equal(left, want) {
		t.Fatalf("got %v, want %v", left, want)
	}
}

// TestOrderIsKept runs random schedules: whatever happens, outputs leave in the
// order in which they came and never before a commit that was in front of them.
func TestOrderIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var g Output
		var durable uint64
		next, left := 0, 0
		say := func() {
			n, behind := next, g.Committed()
			next++
			leave := func() {
				if n != left {
					panic(fmt.Sprintf("output %d left in place of %d", n, left))
				}
				if behind > durable {
					panic(fmt.Sprintf("output %d left before commit %d", n, behind))
				}
				left++
			}
			if g.Open() {
				leave()
				return
			}
			g.Hold(1, leave)
		}
		t.Repeat(map[string]func(*rapid.T){
			"say":    func(*rapid.T) { say() },
			"commit": func(*rapid.T) { g.Commit() },
			"durable": func(t *rapid.T) {
				durable = rapid.Uint64Range(durable, g.Committed()).Draw(t, "n")
				g.Durable(durable)
			},
			"": func(t *rapid.T) {
				if g.Open() && left != next {
					t.Fatalf("the gate is open and %d outputs wait", next-left)
				}
				if g.Bytes() != next-left {
					t.Fatalf("got %d bytes, want %d", g.Bytes(), next-left)
				}
			},
		})
	})
}
