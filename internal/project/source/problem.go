package source

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Problem is one thing that is wrong, or only odd, in a file. It is an error;
// the same value serves as a warning where it is listed as one.
type Problem struct {
	File    string // as the reader would type it; see Display
	Line    int    // from 1; 0 when the problem has no place in the file
	Column  int    // from 1, in characters
	Key     string // such as "durable_objects.bindings[0].name"; may be empty
	Message string // what is wrong
	Hint    string // what to do about it; may be empty, may have several lines
}

// Error gives the place, the message, and the hint on lines of its own.
func (p *Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("\n    ")
		b.WriteString(strings.ReplaceAll(p.Hint, "\n", "\n    "))
	}
	return b.String()
}

// Problems are several of them, in the order in which they were found. As an
// error it is never empty.
type Problems []*Problem

// maxShown bounds what one error prints: the first few are the ones that help.
const maxShown = 20

func (ps Problems) Error() string {
	var b strings.Builder
	for i, p := range ps {
		if i == maxShown {
			fmt.Fprintf(&b, "\nand %d more", len(ps)-maxShown)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.Error())
	}
	return b.String()
}

// Unwrap lets errors.As find the single problems.
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

// Report collects what is found while a file is read, so that a person learns
// of every mistake at once and not of one at each start.
type Report struct {
	Errors   Problems
	Warnings Problems
}

// Sort puts both lists into the order of their places, file by file.
func (r *Report) Sort() {
	for _, list := range []Problems{r.Errors, r.Warnings} {
		slices.SortStableFunc(list, func(a, b *Problem) int {
			return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
	}
}

// Err is the errors as one error, or nil.
func (r *Report) Err() error {
	if len(r.Errors) == 0 {
		return nil
	}
	return r.Errors
}

// Display shortens a path to one relative to the working directory when the
// file lies below it, as compilers print it.
func Display(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	wd, err := os.Getwd()
	if err != nil {
		return abs
	}
	rel, err := filepath.Rel(wd, abs)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return abs
	}
	return rel
}
