package source

import "strings"

// Suggest returns the candidate that a person most likely meant by name, or ""
// when none is near.
func Suggest[S ~string](name string, candidates []S) string {
	if len(name) > 200 {
		return ""
	}
	best, bestDistance := "", 1+max(1, len(name)/3)
	for _, c := range candidates {
		d := distance(name, string(c))
		if len(name) >= 4 && strings.HasPrefix(string(c), name) {
			d = 1 // "class" for "class_name"
		}
		if d < bestDistance {
			best, bestDistance = string(c), d
		}
	}
	return best
}

// DidYouMean is Suggest as a sentence, or "".
func DidYouMean[S ~string](name string, candidates []S) string {
	if s := Suggest(name, candidates); s != "" {
		return "Did you mean \"" + s + "\"?"
	}
	return ""
}

// distance counts the letters to insert, delete, replace, or swap with their
// neighbour (Damerau-Levenshtein, optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
