package loop

import (
	"container/heap"
	"time"
)

// Timer is a function that runs once at a time, each time it is scheduled. It
// belongs to the loop that it is first scheduled on.
type Timer struct {
	f func()

	// Owned by the loop.
	at    time.Time
	seq   uint64 // orders timers of the same time, and rounds
	index int    // in the heap, plus one; 0 when not scheduled
}

// NewTimer returns a timer that runs f on the loop when its time has come.
func NewTimer(f func()) *Timer { return &Timer{f: f} }

// Scheduled reports whether t has a time at which it will run. On the loop.
func (t *Timer) Scheduled() bool { return t.index != 0 }

// At is the time for which t was last scheduled. On the loop.
func (t *Timer) At() time.Time { return t.at }

// Schedule plans t for a time, in place of any earlier plan. It runs at that
// time or soon after, never in the round that schedules it. On the loop.
func (l *Loop) Schedule(t *Timer, at time.Time) {
	l.timers.seq++
	t.at, t.seq = at, l.timers.seq
	if t.index != 0 {
		heap.Fix(&l.timers, t.index-1)
		return
	}
	heap.Push(&l.timers, t)
}

// Cancel forgets the plan for t, if there is one. On the loop.
func (l *Loop) Cancel(t *Timer) {
	if t.index != 0 {
		heap.Remove(&l.timers, t.index-1)
	}
}

// Timers is how many timers are planned. On the loop.
func (l *Loop) Timers() int { return l.timers.Len() }

// timers is a heap: the one that is due first is at the top.
type timers struct {
	heap []*Timer
	seq  uint64
}

// next is the time of the earliest timer.
func (s *timers) next() (time.Time, bool) {
	if len(s.heap) == 0 {
		return time.Time{}, false
	}
	return s.heap[0].at, true
}

// run runs what is due, of the plans up to the given one. Newer ones have their
// turn in the next round, and it comes at once.
func (s *timers) run(l *Loop, last uint64) {
	for len(s.heap) > 0 {
		t := s.heap[0]
		if t.seq > last || t.at.After(l.Now()) {
			return
		}
		heap.Pop(s)
		t.f()
	}
}

// Len, Less, Swap, Push and Pop are for container/heap.
func (s *timers) Len() int { return len(s.heap) }

func (s *timers) Less(i, j int) bool {
	a, b := s.heap[i], s.heap[j]
	if a.at.Equal(b.at) {
		return a.seq < b.seq
	}
	return a.at.Before(b.at)
}

func (s *timers) Swap(i, j int) {
	s.heap[i], s.heap[j] = s.heap[j], s.heap[i]
	s.heap[i].index, s.heap[j].index = i+1, j+1
}

func (s *timers) Push(x any) {
	t := x.(*Timer)
	s.heap = append(s.heap, t)
	t.index = len(s.heap)
}

func (s *timers) Pop() any {
	last := len(s.heap) - 1
	t := s.heap[last]
	s.heap[last] = nil
	s.heap = s.heap[:last]
	t.index = 0
	return t
}
