package nodeguest

import (
	"fmt"
	"os"
	"strings"
)

// residentBytes is the memory that a process occupies.
func residentBytes(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		return 0, err
	}
	return resident * int64(os.Getpagesize()), nil
}

// FreeMemory is what processes may still take before the system, or the group
// that we are in, has none left; 0 when it does not tell. proc(5), and the
// kernel's documentation of cgroup v2.
func FreeMemory() int64 {
	free := int64(0)
	meminfo, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(meminfo)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kb); n == 1 {
			free = kb << 10
		}
	}
	var limit, used int64
	if number("/sys/fs/cgroup/memory.max", &limit) && number("/sys/fs/cgroup/memory.current", &used) {
		free = min(free, max(0, limit-used))
	}
	return free
}

func number(path string, n *int64) bool {
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	got, _ := fmt.Sscan(string(text), n)
	return got == 1
}
