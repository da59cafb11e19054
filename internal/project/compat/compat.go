// Package compat knows the compatibility dates and flags of Workers: which
// behaviours a Worker's date and flags ask for, and which of those Dormouse can
// give. It never sees where the date was written.
package compat

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/dormouse-dev/dormouse/internal/project/source"
)

// Flag is a compatibility flag by the name that turns it on.
type Flag string

// The flags whose two sides both exist in Dormouse: with the flag and without
// it, objects behave as they would on Workers.
const (
	// FetchRequiresFullURL makes stub.fetch refuse a URL without scheme and host.
	FetchRequiresFullURL Flag = "durable_object_fetch_requires_full_url"
	// WebSocketCompression offers and accepts permessage-deflate.
	WebSocketCompression Flag = "web_socket_compression"
	// RPC makes a class's methods callable on its stubs.
	RPC Flag = "rpc"
	// CtxExports gives ctx.exports its members.
	CtxExports Flag = "enable_ctx_exports"
	// RPCParamsDupStubs duplicates stubs in RPC parameters instead of moving them.
	RPCParamsDupStubs Flag = "rpc_params_dup_stubs"
	// DeleteAllDeletesAlarm makes storage.deleteAll clear the alarm too.
	DeleteAllDeletesAlarm Flag = "delete_all_deletes_alarm"
	// CloseReasonByteLimit refuses a close reason of more than 123 bytes.
	CloseReasonByteLimit Flag = "websocket_close_reason_byte_limit"
	// StandardBinaryType makes "blob" the default binaryType of standard sockets.
	StandardBinaryType Flag = "websocket_standard_binary_type"
	// AutoReplyToClose answers a client's Close without the handler.
	AutoReplyToClose Flag = "web_socket_auto_reply_to_close"
	// EnhancedErrors keeps more of an error that crosses RPC.
	EnhancedErrors Flag = "enhanced_error_serialization"
	// NodeJS lets author code import node: modules.
	NodeJS Flag = "nodejs_compat"
	// NodeJSv2 lets it import them without the prefix, and adds Node's globals.
	NodeJSv2 Flag = "nodejs_compat_v2"
	// AsyncLocalStorage lets it import node:async_hooks alone.
	AsyncLocalStorage Flag = "nodejs_als"
	// ProcessEnv fills process.env with the Worker's text bindings.
	ProcessEnv Flag = "nodejs_compat_populate_process_env"
	// NodeTimers has setTimeout and the like return objects, as in Node.
	NodeTimers Flag = "enable_nodejs_global_timers"
	// IOTasksPreventEviction keeps an object in memory while waitUntil,
	// outbound fetches and the like are pending.
	IOTasksPreventEviction Flag = "durable_object_io_tasks_prevent_eviction"
	// PedanticWPT narrows the close codes that close() takes.
	PedanticWPT Flag = "pedantic_wpt"
	// UnsafeModule gives the module workerd:unsafe: test hooks.
	UnsafeModule Flag = "unsafe_module"
	// NavigationPrefersAssets serves an asset to a browser's navigation.
	NavigationPrefersAssets Flag = "assets_navigation_prefers_asset_serving"
)

// here is what a flag means in Dormouse.
type here uint8

const (
	honoured  here = iota // both sides exist
	alwaysOn              // Dormouse behaves as with the flag, whatever the date
	alwaysOff             // Dormouse behaves as without it, whatever the date
	unused                // it concerns something that Dormouse does not have
)

type row struct {
	on, off string // the names; off may be empty
	since   string // the date from which it is on; empty: never by itself
	by      []Flag // any of these brings it along, from bySince
	bySince string
	here    here
}

// Set is the behaviours that a date and a list of flags ask for.
type Set struct {
	// Date is the compatibility date that was resolved.
	Date string
	on   map[Flag]bool
}

// Has reports whether the behaviour is asked for.
func (s Set) Has(f Flag) bool { return s.on[f] }

// Enabled lists the behaviours asked for that Dormouse also knows how to leave
// out, sorted. It is what a guest must be told; the rest never changes.
func (s Set) Enabled() []Flag {
	var list []Flag
	for i := range table {
		if f := Flag(table[i].on); table[i].here == honoured && s.on[f] {
			list = append(list, f)
		}
	}
	slices.Sort(list)
	return list
}

// Differs lists the flags, as one would write them, for behaviours that the
// date and flags ask for and Dormouse does not have: mostly those of old dates.
func (s Set) Differs() []string {
	var list []string
	for _, r := range table {
		switch on := s.on[Flag(r.on)]; {
		case r.here == alwaysOn && !on && r.off != "":
			list = append(list, r.off)
		case r.here == alwaysOff && on:
			list = append(list, r.on)
		}
	}
	slices.Sort(list)
	return list
}

// Finding is what there is to say about one flag of the list.
type Finding struct {
	Index   int  // of the flag in the list
	Fatal   bool // the Worker must not start
	Message string
	Hint    string // may be empty
}

// Resolve works out what a date and a list of flags ask for. The date must have
// passed CheckDate. A fatal finding leaves its flag out of the set.
func Resolve(date string, flags []string) (Set, []Finding) {
	r := resolver{
		set:     Set{Date: date, on: make(map[Flag]bool, len(table))},
		decided: make(map[Flag]bool),
		written: make(map[string]bool),
	}
	for i, name := range flags {
		r.flag(i, name)
	}
	r.byDate()
	return r.set, r.findings
}

type resolver struct {
	set      Set
	decided  map[Flag]bool // by the list, whatever the date says
	written  map[string]bool
	findings []Finding
}

func (r *resolver) fatal(i int, hint, format string, args ...any) {
	r.findings = append(r.findings, Finding{Index: i, Fatal: true, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (r *resolver) flag(i int, name string) {
	row, on := find(name)
	if row == nil {
		r.fatal(i, source.DidYouMean(name, Names()), "%q is not a compatibility flag", name)
		return
	}
	f := Flag(row.on)
	switch {
	case r.written[name]:
		r.fatal(i, "Remove one of them.", "compatibility flag %q stands in the list twice", name)
		return
	case r.decided[f]:
		r.fatal(i, "Keep one of them.", "compatibility flags %q and %q contradict each other", row.on, row.off)
		return
	case row.here == alwaysOff && on:
		r.fatal(i, "Dormouse does not have what it turns on. Remove it if the Worker can do without.",
			"compatibility flag %q is not supported", name)
		return
	case row.here == alwaysOn && !on:
		r.fatal(i, fmt.Sprintf("Dormouse always behaves as with %q. Remove the flag if the Worker can live with that.", row.on),
			"compatibility flag %q is not supported", name)
		return
	case row.here == unused:
		r.findings = append(r.findings, Finding{Index: i, Message: fmt.Sprintf("compatibility flag %q changes nothing here", name)})
	}
	r.written[name], r.decided[f] = true, true
	if on {
		r.set.on[f] = true
	}
}

func (r *resolver) byDate() {
	for _, row := range table {
		if row.since != "" && row.since <= r.set.Date && !r.decided[Flag(row.on)] {
			r.set.on[Flag(row.on)] = true
		}
	}
	// One flag brings another, which may bring a third that stands before it.
	for again := true; again; {
		again = false
		for _, row := range table {
			f := Flag(row.on)
			if r.set.on[f] || r.decided[f] || row.bySince == "" || row.bySince > r.set.Date {
				continue
			}
			if slices.ContainsFunc(row.by, r.set.Has) {
				r.set.on[f], again = true, true
			}
		}
	}
}

// find looks a flag up by either name; on tells which it was.
func find(name string) (r *row, on bool) {
	for i := range table {
		switch name {
		case "":
		case table[i].on:
			return &table[i], true
		case table[i].off:
			return &table[i], false
		}
	}
	return nil, false
}

// Names lists every flag, in both directions.
func Names() []string {
	var names []string
	for _, r := range table {
		names = append(names, r.on)
		if r.off != "" {
			names = append(names, r.off)
		}
	}
	return names
}

// dateLayout is the form of a compatibility date.
const dateLayout = "2006-01-02"

// CheckDate reports what is wrong with a compatibility date, or "". Today is
// what its calendar says in UTC, as for Cloudflare.
func CheckDate(date string, now time.Time) (message, hint string) {
	today := now.UTC().Format(dateLayout)
	if t, err := time.Parse(dateLayout, date); err != nil || t.Format(dateLayout) != date {
		return fmt.Sprintf("%q is not a compatibility date", date), "Write it as YYYY-MM-DD, such as \"" + Newest + "\"."
	}
	if date > today {
		return fmt.Sprintf("compatibility date %s is in the future", date), "Today is " + today + " (UTC)."
	}
	return "", ""
}

// written is a Set as JSON.
type written struct {
	Date string `json:"date"`
	On   []Flag `json:"on"`
}

// MarshalJSON keeps a set as it was resolved, whatever dates mean later.
func (s Set) MarshalJSON() ([]byte, error) {
	w := written{Date: s.Date, On: []Flag{}}
	for f, on := range s.on {
		if on {
			w.On = append(w.On, f)
		}
	}
	slices.Sort(w.On)
	return json.Marshal(w)
}

// UnmarshalJSON pairs with MarshalJSON.
func (s *Set) UnmarshalJSON(b []byte) error {
	var w written
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*s = Set{Date: w.Date, on: make(map[Flag]bool, len(w.On))}
	for _, f := range w.On {
		s.on[f] = true
	}
	return nil
}
