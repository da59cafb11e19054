package main

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/dormouse-dev/dormouse/internal/storage/disk/disktest"
)

// TestPowerCutWhileWorkersAreRemembered: the list is the old or the new one, never
// a part of it, with which the next start would leave Workers out.
func TestPowerCutWhileWorkersAreRemembered(t *testing.T) {
	root := t.TempDir()
	old, next := []string{"chat", "shop"}, []string{"chat", "shop", "mail"}
	r := disktest.New(t, root)
	if err := writeWorkers(r, root, old); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	cut := func() []string {
		t.Helper()
		dir := t.TempDir()
		if err := r.Cut(dir, rnd); err != nil {
			t.Fatal(err)
		}
		names, err := readWorkers(dir)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	r.Before = func(op, _ string) error {
		for range 20 {
			if got := fmt.Sprint(cut()); got != fmt.Sprint(old) && got != fmt.Sprint(next) {
				t.Fatalf("after a power cut before %s the Workers are %s, want %v or %v", op, got, old, next)
			}
		}
		return nil
	}
	if err := writeWorkers(r, root, next); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(cut()); got != fmt.Sprint(next) {
		t.Errorf("afterwards the Workers are %s, want %v", got, next)
	}
}
