package server

import (
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse/internal/handover"
	"github.com/dormouse-dev/dormouse/internal/observe/metrics"
)

// changes is what this server, and those that have handed over to it, have lived
// through. Of neighbours the first one's count for all.
type changes struct {
	mu    sync.Mutex // guards the following
	story handover.Story
}

func (c *changes) note(f func(*handover.Story)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.story)
}

func (c *changes) read() handover.Story {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.story
}

func (c *changes) metrics() metrics.Changes {
	t := c.read()
	return metrics.Changes{
		Deploys: metrics.Deeds(t.Deploys), Upgrades: metrics.Deeds(t.Upgrades),
		Moved: t.Moved, Told: t.Told, Cut: t.Cut, Silence: t.Silence, LongestSilence: t.LongestSilence,
	}
}

// NoteDeploy counts a deploy or a rollback that was tried, whoever has refused it.
func (s *Server) NoteDeploy(took time.Duration, err error) {
	s.Neighbours.first().changes.note(func(t *handover.Story) { t.Deploys.Add(took, err) })
}

// handOn is what a successor hears when it is told to serve.
func (c *changes) handOn(m *Moved, took time.Duration, heard time.Time) handover.Farewell {
	t := c.read()
	t.Upgrades.Add(took, nil)
	t.Moved += uint64(m.Descriptors)
	t.Told += uint64(m.Told)
	if m.Cut {
		t.Cut++
	}
	return handover.Farewell{Story: t, Since: heard}
}

// goOn takes the story of the predecessor, and returns for how long clients were
// not heard: by the clock on the wall, which both processes have.
func (c *changes) goOn(f handover.Farewell) (silence time.Duration) {
	silence = max(0, time.Since(f.Since))
	f.Story.Silent(silence)
	c.note(func(t *handover.Story) { *t = f.Story })
	return silence
}

// Step is a part of an upgrade.
type Step struct {
	Name string
	Took time.Duration
}

// stopwatch says where the time goes.
type stopwatch struct {
	steps []Step
	began time.Time
	last  time.Time
}

func startWatch() *stopwatch {
	now := time.Now()
	return &stopwatch{began: now, last: now}
}

// lap ends a step.
func (w *stopwatch) lap(name string) {
	now := time.Now()
	w.steps = append(w.steps, Step{name, now.Sub(w.last)})
	w.last = now
}

// attrs are the steps for a line of the log.
func (w *stopwatch) attrs() []any {
	var list []any
	for _, s := range w.steps {
		list = append(list, s.Name, s.Took)
	}
	return list
}
