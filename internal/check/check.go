// Package check looks at a machine before a server runs on it: its disk, its
// descriptors, its ports. It measures and says what it found; what a project
// needs is told to it.
package check

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dormouse-dev/dormouse/internal/storage/disk"
)

// Verdict says how good a finding is.
type Verdict string

const (
	Fine Verdict = "ok"
	Warn Verdict = "warn" // it runs, and something should be done
	Fail Verdict = "fail" // it does not run
)

// Finding is one line of a check.
type Finding struct {
	Part    string  `json:"part"`
	Verdict Verdict `json:"verdict"`
	Text    string  `json:"text"` // what was found, and if it is not fine what to do
}

func finding(part string, v Verdict, format string, args ...any) Finding {
	return Finding{part, v, fmt.Sprintf(format, args...)}
}

// Port tries whether an address can be listened on.
func Port(part, address, setting string) Finding {
	l, err := net.Listen("tcp", address)
	if err == nil {
		l.Close()
		return finding(part, Fine, "%s is free", address)
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return finding(part, Fail, "%s is in use; stop that program (it may be this server), or set %s", address, setting)
	case errors.Is(err, syscall.EACCES):
		return finding(part, Fail, "%s takes root or CAP_NET_BIND_SERVICE; set %s to a port from 1024 up, behind a proxy", address, setting)
	}
	return finding(part, Fail, "%v; set %s", err, setting)
}

// Descriptors looks at how many this process may have: a socket takes one, an
// open database three.
func Descriptors() Finding {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return finding("descriptors", Warn, "cannot be read: %v", err)
	}
	const part = "descriptors"
	if l.Cur < 4096 {
		return finding(part, Warn, "%d: about as many sockets can be connected; raise the hard limit (ulimit -n, LimitNOFILE= of the service)", l.Cur)
	}
	return finding(part, Fine, "%d, for about %d sockets", l.Cur, l.Cur-l.Cur/20)
}

const (
	// syncs is how many are measured.
	syncs = 25
	// A disk that answers a sync faster than this has not waited for anything.
	impossible = 15 * time.Microsecond
	// One that needs longer makes every durable answer slow.
	slow = 20 * time.Millisecond
)

// Disk writes to the folder, or to the nearest one above it that is there, and
// measures how long a wait for the disk takes.
func Disk(folder string) []Finding {
	dir := folder
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	f, err := os.CreateTemp(dir, ".dormouse-check-")
	if err != nil {
		return []Finding{finding("disk", Fail, "%v; give the folder to the user that runs Dormouse, or set data", err)}
	}
	defer os.Remove(f.Name())
	defer f.Close()
	took, err := measure(f)
	if err != nil {
		return []Finding{finding("disk", Fail, "%s: %v", dir, err)}
	}
	list := []Finding{judgeSync(dir, took)}
	if free, err := (disk.OS{}).Free(dir); err == nil {
		v, advice := Fine, ""
		if free < 1<<30 {
			v, advice = Warn, "; make room, or set data to another disk"
		}
		list = append(list, finding("space", v, "%s has %.1f GiB free%s", dir, float64(free)/(1<<30), advice))
	}
	return list
}

// measure appends and waits, again and again, and returns the median wait.
func measure(f *os.File) (time.Duration, error) {
	block := make([]byte, 4096)
	times := make([]time.Duration, 0, syncs)
	for i := range syncs {
		block[0] = byte(i)
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		began := time.Now()
		if err := f.Sync(); err != nil {
			return 0, err
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

func judgeSync(dir string, took time.Duration) Finding {
	shown := took.Round(time.Microsecond)
	switch {
	case took < impossible:
		return finding("disk", Warn, "a sync in %s returns after %v, which no disk does: a power cut may take what was confirmed. It is memory (tmpfs), or the file system ignores syncs; set data to a real disk", dir, shown)
	case took > slow:
		return finding("disk", Warn, "a sync in %s takes %v: every answer behind a write takes at least that long; use a faster disk, or durability relaxed", dir, shown)
	}
	return finding("disk", Fine, "a sync in %s takes %v (median of %d)", dir, shown, syncs)
}

// Format compares the data folder with the version that this program reads.
func Format(folder, reads string) Finding {
	b, err := os.ReadFile(filepath.Join(folder, "format"))
	switch have := strings.TrimSpace(string(b)); {
	case errors.Is(err, os.ErrNotExist):
		return finding("data", Fine, "%s is new: it will have format %s", folder, reads)
	case err != nil:
		return finding("data", Fail, "%v; give the folder to the user that runs Dormouse", err)
	case have != reads:
		return finding("data", Fail, "%s has format %q, and this program reads %q; use the version that wrote it, or a newer one", folder, have, reads)
	default:
		return finding("data", Fine, "%s has format %s", folder, have)
	}
}
