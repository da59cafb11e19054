package source

import (
	"sort"
	"unicode/utf8"
)

// lines answers many questions for positions in one text.
type lines struct {
	text   []byte
	starts []int // the offset at which each line begins
}

func newLines(text []byte) lines {
	l := lines{text: text, starts: []int{0}}
	for i, c := range text {
		if c == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	return l
}

func (l lines) at(offset int) Pos {
	offset = min(max(offset, 0), len(l.text))
	line := sort.SearchInts(l.starts, offset+1) - 1
	return Pos{Line: line + 1, Column: utf8.RuneCount(l.text[l.starts[line]:offset]) + 1}
}
