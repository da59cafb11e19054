// Package powercut runs the product while strace writes down every call with
// which it and its guests change files, and looks, for moments of that record,
// at what a power cut would have left then. Nothing in the product knows of it.
package powercut

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// traced are the calls that matter: those that change files or make changes
// last, and those with which something is said to clients.
const traced = "?open,openat,creat,write,pwrite64,pwritev,pwritev2,writev,copy_file_range,sendfile,ftruncate,truncate,fallocate," +
	"fsync,fdatasync,sync,syncfs,sync_file_range,rename,renameat,renameat2,link,linkat,symlink,unlink,unlinkat,rmdir,mkdir,mkdirat,sendto,sendmsg"

// recording are strace's arguments for a record that read reads: of all threads
// and children, with whole texts and the paths behind descriptors.
var recording = []string{"-f", "--seccomp-bpf", "-y", "-s", "8388608", "-e", "signal=none", "-e", "trace=" + traced}

// call is a system call. Others may have been in progress at the same time: it
// had its effect somewhere between its beginning and its end.
type call struct {
	name   string
	args   []string // as strace prints them
	result int64    // -1 is an error, also while it is in progress
	ended  bool
}

// read gives each beginning and each end of a call to see, in order. The same
// *call is given both times.
func read(r io.Reader, see func(*call) error) error {
	lines := bufio.NewReaderSize(r, 1<<20)
	begun := make(map[string]*call) // by thread
	half := make(map[string]string) // what stands before <unfinished ...>
	for number := 1; ; number++ {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		thread, text, ok := strings.Cut(strings.TrimRight(line, "\n"), " ")
		text = strings.TrimLeft(text, " ")
		if !ok || strings.HasPrefix(text, "+++") || strings.HasPrefix(text, "---") {
			continue
		}
		if rest, resumed := strings.CutPrefix(text, "<... "); resumed {
			_, rest, _ = strings.Cut(rest, " resumed>")
			c := begun[thread]
			if c == nil {
				continue // it was in progress when the record began
			}
			delete(begun, thread)
			if err := c.end(half[thread] + rest); err != nil {
				return fmt.Errorf("line %d: %w", number, err)
			}
			if err := see(c); err != nil {
				return fmt.Errorf("line %d: %w", number, err)
			}
			continue
		}
		start, unfinished := strings.CutSuffix(text, " <unfinished ...>")
		if !unfinished {
			start, unfinished = strings.CutSuffix(text, " <detached ...>") // as the record ends
		}
		c := &call{result: -1}
		if c.name, _, ok = strings.Cut(start, "("); !ok {
			return fmt.Errorf("line %d: no call in %.100q", number, text)
		}
		if unfinished {
			begun[thread], half[thread] = c, start
			c.args = split(start[len(c.name)+1:])
		} else if err := c.end(start); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		for _, c.ended = range []bool{false, true}[:moments(unfinished)] {
			if err := see(c); err != nil {
				return fmt.Errorf("line %d: %w", number, err)
			}
		}
	}
}

// moments is how many of beginning and end a line tells of.
func moments(unfinished bool) int {
	if unfinished {
		return 1
	}
	return 2
}

// end reads the whole line of a call.
func (c *call) end(line string) error {
	i := strings.LastIndex(line, ") ") // before the padding in front of " = "
	_, result, ok := strings.Cut(line[max(i, 0):], "= ")
	if i < 0 || !ok {
		return fmt.Errorf("no result in %.200q", line)
	}
	c.args = split(line[len(c.name)+1 : i])
	c.ended = true
	word, _, _ := strings.Cut(result, " ")
	word, _, _ = strings.Cut(word, "<")
	n, err := strconv.ParseInt(word, 0, 64)
	if err != nil {
		n = -1 // "?": the process ended in it
	}
	c.result = n
	return nil
}

// split cuts arguments at the commas between them.
func split(s string) (args []string) {
	depth, from, quoted := 0, 0, false
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '(' || b == '[' || b == '{' || b == '<':
			depth++
		case b == ')' || b == ']' || b == '}' || b == '>' && s[i-1] != '-':
			depth--
		case b == ',' && depth == 0:
			args = append(args, strings.TrimSpace(s[from:i]))
			from = i + 1
		}
	}
	return append(args, strings.TrimSpace(s[from:]))
}

// number is the i-th argument as a number.
func (c *call) number(i int) (int64, error) {
	if i >= len(c.args) {
		return 0, fmt.Errorf("%s has no argument %d", c.name, i)
	}
	return strconv.ParseInt(c.args[i], 0, 64)
}

// file is the path behind the descriptor that is the i-th argument.
func (c *call) file(i int) string {
	if i >= len(c.args) {
		return ""
	}
	_, path, ok := strings.Cut(c.args[i], "<")
	if !ok || !strings.HasSuffix(path, ">") {
		return "" // also "(deleted)" behind it
	}
	return path[:len(path)-1]
}

// text is the i-th argument as the bytes that it was.
func (c *call) text(i int) ([]byte, error) {
	if i >= len(c.args) {
		return nil, fmt.Errorf("%s has no argument %d", c.name, i)
	}
	s, ok := strings.CutPrefix(c.args[i], `"`)
	if s, ok = strings.CutSuffix(s, `"`); !ok {
		return nil, fmt.Errorf("%s: argument %d is no whole text: %.50q", c.name, i, c.args[i])
	}
	return unescape(s)
}

// unescape reads the escapes of C.
func unescape(s string) ([]byte, error) {
	b := make([]byte, 0, len(s)/2)
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		if i++; i == len(s) {
			return nil, fmt.Errorf("a text ends with a backslash")
		}
		if at := strings.IndexByte(`abtnvfr"\`, s[i]); at >= 0 {
			b = append(b, "\a\b\t\n\v\f\r\"\\"[at])
			continue
		}
		end := i
		for end < len(s) && end < i+3 && s[end] >= '0' && s[end] <= '7' {
			end++
		}
		n, err := strconv.ParseUint(s[i:end], 8, 8)
		if err != nil {
			return nil, err
		}
		b = append(b, byte(n))
		i = end - 1
	}
	return b, nil
}
