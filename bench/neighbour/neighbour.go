package neighbour

import "github.com/dormouse-dev/dormouse/bench/contest"

// Group is all kinds of neighbours.
func Group() contest.Group {
	return contest.Group{Name: "neighbour", Questions: []contest.Question{Burner()}}
}
