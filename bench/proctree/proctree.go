// Package proctree measures a process and all that descend from it: what they
// have computed and what they hold in memory. Linux only.
package proctree

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of the times in /proc: USER_HZ, 100 on every Linux that Go
// runs on.
const tick = 10 * time.Millisecond

// CPU returns the user and system time of the tree below root, the reaped
// children of its members included. Only those are rounded, to ticks: the
// living are asked for their clocks, which count nanoseconds.
func CPU(root int) (time.Duration, error) {
	tree, err := read(root)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, p := range tree {
		var t unix.Timespec
		if err := unix.ClockGettime(cpuClock(p.pid), &t); err != nil {
			if p.pid == root {
				return 0, fmt.Errorf("read the clock of process %d: %w", p.pid, err)
			}
			continue // it has ended since
		}
		sum += time.Duration(t.Nano()) + time.Duration(p.reaped)*tick
	}
	return sum, nil
}

// cpuClock is the clock of all threads of a process, dead ones included, as
// clock_getcpuclockid(3) makes its number.
func cpuClock(pid int) int32 { return int32(^pid)<<3 | 2 }

// Memory returns what the tree below root has made in memory: anonymous pages
// and shared memory, a page that several share divided among them (the kernel's
// Pss_Anon and Pss_Shmem). Mapped files, such as the program itself, are left
// out, for their share moves whenever anybody else starts the same program. What
// the kernel holds for the tree (socket buffers, page tables) is not in it.
func Memory(root int) (uint64, error) {
	tree, err := read(root)
	if err != nil {
		return 0, err
	}
	var sum uint64
	for _, p := range tree {
		n, err := made(p.pid)
		if os.IsNotExist(err) && p.pid != root {
			continue // it has ended since
		}
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

type process struct {
	pid, parent int
	reaped      uint64 // ticks of the children it has waited for
}

// read returns the root and its descendants that are alive.
func read(root int) ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]process)
	var tree []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended since
		}
		p, err := parseStat(pid, string(stat))
		if err != nil {
			return nil, err
		}
		if pid == root {
			tree = append(tree, p)
		}
		children[p.parent] = append(children[p.parent], p)
	}
	if len(tree) == 0 {
		return nil, fmt.Errorf("process %d is not alive", root)
	}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i].pid]...)
	}
	return tree, nil
}

// parseStat reads a line of proc_pid_stat(5). The command's name is in
// parentheses and may hold anything, so fields are counted from its end.
func parseStat(pid int, line string) (process, error) {
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 15 {
		return process{}, fmt.Errorf("read /proc/%d/stat: %q has too few fields", pid, line)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return process{}, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
	}
	p := process{pid: pid, parent: parent}
	for _, f := range fields[13:15] { // cutime, cstime
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return process{}, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
		}
		p.reaped += n
	}
	return p, nil
}

func made(pid int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	var sum uint64 // stays zero for one that is about to be reaped
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if name != "Pss_Anon" && name != "Pss_Shmem" {
			continue
		}
		kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/%d/smaps_rollup: %w", pid, err)
		}
		sum += kb << 10
	}
	return sum, nil
}

// Wakeups returns how often the threads of the tree have gone to sleep of their
// own will; between two calls that is how often they have been woken.
func Wakeups(root int) (uint64, error) {
	tree, err := read(root)
	if err != nil {
		return 0, err
	}
	var sum uint64
	for _, p := range tree {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.pid))
		if err != nil {
			if p.pid == root {
				return 0, err
			}
			continue // it has ended since
		}
		for _, task := range tasks {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", p.pid, task.Name()))
			if err != nil {
				continue
			}
			_, rest, _ := strings.Cut(string(text), "\nvoluntary_ctxt_switches:")
			line, _, _ := strings.Cut(rest, "\n")
			n, err := strconv.ParseUint(strings.TrimSpace(line), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the status of thread %s: %w", task.Name(), err)
			}
			sum += n
		}
	}
	return sum, nil
}
