package node

import (
	"strconv"
)

// Options is what the flags of a guest process depend on.
type Options struct {
	Bundle  string // folder of the Worker's bundle; read only
	SDK     string // folder of the bundled guest (main.js, side.js); read only
	Data    string // folder of the objects' databases; read and write
	HeapMB  int    // limit of the JavaScript heap; 0 leaves Node's own
	Inspect string // address for DevTools, "127.0.0.1:9229"; empty for none
	// HeapSnapshots is a folder where one is written when the memory is full; read
	// and write. Empty: none is.
	HeapSnapshots string

	// Unrestricted leaves Node's permission model off.
	Unrestricted bool
}

// Flags are the arguments for node that go before the guest's main.js. The
// environment of the process must be empty, and descriptor 3 the host.
func Flags(o Options) []string {
	flags := []string{
		// ctx.abort() throws an object's stack away (V8's termination); Node
		// takes the stack of async hooks that this leaves for a bug and dies.
		"--no-force-async-hooks-checks",
		// Bundles carry source maps: stacks name the author's files.
		"--enable-source-maps",
		// As in Workers: eval and new Function throw.
		"--disallow-code-generation-from-strings",
		// Whatever is installed on this machine is no part of a Worker.
		"--no-global-search-paths",
		// Warnings of Node's about its own state would go to a stderr that
		// nobody of the author's side reads.
		"--disable-warning=ExperimentalWarning",
		"--disable-warning=SecurityWarning",
	}
	if o.HeapMB > 0 {
		flags = append(flags, "--max-old-space-size="+strconv.Itoa(o.HeapMB))
	}
	if o.Inspect != "" {
		flags = append(flags, "--inspect="+o.Inspect)
	}
	if o.HeapSnapshots != "" {
		flags = append(flags, "--heapsnapshot-near-heap-limit=1", "--diagnostic-dir="+o.HeapSnapshots)
	}
	if !o.Unrestricted {
		flags = append(flags,
			"--permission",
			"--allow-fs-read="+o.Bundle,
			"--allow-fs-read="+o.SDK,
			"--allow-fs-read="+o.Data,
			"--allow-fs-write="+o.Data,
			// Outbound fetch and sockets.
			"--allow-net",
			// The keeper of the databases and the watchdog are a worker thread.
			// Authors cannot reach node:worker_threads.
			"--allow-worker",
			// Ending one instance (abort, or code that runs without end) asks V8
			// through the inspector. Authors cannot reach node:inspector.
			"--allow-inspector",
		)
		if o.HeapSnapshots != "" {
			flags = append(flags, "--allow-fs-read="+o.HeapSnapshots, "--allow-fs-write="+o.HeapSnapshots)
		}
	}
	return flags
}
