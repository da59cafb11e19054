package browse

import "time"

// History is what is known of what an object was.
type History struct {
	Now    string    `json:"now"`              // bookmark
	Since  time.Time `json:"since"`            // what was from here on can be reached
	Bytes  int64     `json:"bytes"`            // of the history of all objects
	Damage string    `json:"damage,omitempty"` // why it does not go back further
	Points []Point   `json:"points"`           // the oldest first
}

// Point is a moment in the history of an object.
type Point struct {
	Bookmark string    `json:"bookmark"`
	Time     time.Time `json:"time"`
	What     string    `json:"what"` // commit, created, restored, removed
	Pages    int       `json:"pages,omitempty"`
}

// PastPoint is a bookmark or, without one, a time.
type PastPoint struct {
	Bookmark string    `json:"bookmark,omitempty"`
	Time     time.Time `json:"time,omitzero"`
}

// PutBack is the answer to a restore.
type PutBack struct {
	Undo string `json:"undo"` // the bookmark of the state just before
}
