package host

import (
	"time"

	"github.com/dormouse-dev/dormouse"
)

// Moment is something that happened to an object's instance.
type Moment struct {
	At   time.Time
	What string // wake, sleep, reset, isolated, error
	Why  string
	// Of an error: the event's name in the log, and the version of its code.
	Event, Version string
	Events         uint32        // of a sleep: that this life had
	Lasted         time.Duration // of a sleep: this life
}

// maxMoments is how many a shard remembers, of all its objects together; the
// oldest are forgotten.
const maxMoments = 4096

// history is a ring of moments: when it is full, next is the oldest.
type history struct {
	ring []remembered
	next int
}

type remembered struct {
	key dormouse.Key
	Moment
}

func (s *Shard) remember(k dormouse.Key, m Moment) {
	m.At = s.Loop.Now()
	h := &s.history
	if len(h.ring) < maxMoments {
		h.ring = append(h.ring, remembered{k, m})
		return
	}
	h.ring[h.next] = remembered{k, m}
	h.next = (h.next + 1) % maxMoments
}

// History is what the shard remembers of an object, oldest first. On the loop.
func (s *Shard) History(k dormouse.Key) (list []Moment) {
	h := &s.history
	for i := range h.ring {
		if m := &h.ring[(h.next+i)%len(h.ring)]; m.key == k {
			list = append(list, m.Moment)
		}
	}
	return list
}
