// Package handover is what one Dormouse says to another that takes its place:
// the state of every object and socket as bytes, and the descriptors, over a Unix
// socket. docs/handover.md has the same as offsets and sizes, and the order of
// what is said. It knows bytes and descriptors, and never sees a loop, an object
// that runs or a file.
package handover

import (
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/guest"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/storage"
)

// Format is the version of everything in this package that is written, and
// Oldest the earliest that can be read.
const (
	Format = 1
	Oldest = 1
)

// Hello is the first thing that either side says. It is JSON, so that versions
// that understand nothing else of each other can say so.
type Hello struct {
	Format  int    `json:"format"`           // that it writes
	Oldest  int    `json:"oldest"`           // that it reads
	Version string `json:"version"`          // of Dormouse, for people
	Worker  string `json:"worker,omitempty"` // the predecessor's: its name,
	Data    string `json:"data,omitempty"`   // its data folder,
	// and the last incarnation of a guest that it will start: the successor's begin
	// after it.
	Incarnation uint32 `json:"incarnation,omitempty"`
	// Beside are the Workers that run beside that one, in their order.
	Beside []Worker `json:"beside,omitempty"`
}

// Worker is one of several, by its name, and its data folder.
type Worker struct {
	Name string `json:"name"`
	Data string `json:"data"`
}

// Object is an object between two processes: its sockets, and what they have said
// that nobody has heard.
type Object struct {
	Key     dormouse.Key
	Name    string
	HasName bool
	Awake   bool // constructed again at once
	Sockets hibernation.SavedSet
	Mail    []guest.Event
}

// Alarm is when an object has to be woken.
type Alarm struct {
	Key  dormouse.Key
	Wake storage.Wake
}

// State is everything.
type State struct {
	Objects []*Object
	Alarms  []Alarm
}

// Total says what a state consists of, so that both sides can compare.
type Total struct {
	Objects     int `json:"objects"`
	Sockets     int `json:"sockets"`
	Descriptors int `json:"descriptors"`
	Mail        int `json:"mail"`
	Alarms      int `json:"alarms"`
	Bytes       int `json:"bytes"`
}

// Bounds on what is read. They are beyond what any setting allows, so that only a
// broken predecessor meets them.
const (
	maxObjects   = 1 << 24
	maxAlarms    = 1 << 24
	maxSockets   = 1 << 24
	maxMail      = 1 << 24 // of one object
	maxTags      = 1 << 10 // of one socket; Durable Objects have ten
	maxName      = 1 << 20
	maxShort     = 1 << 20 // a tag, a reason, a pair's side
	maxPayload   = 1 << 30 // a message, an attachment
	maxUnsent    = 1 << 33 // of one socket
	maxDuration  = 1 << 40 * time.Millisecond
	maxNamespace = 1 << 12
)
