package settings

import (
	"strings"
	"time"
)

// Type is what a setting's value is, and so how it is written.
type Type string

const (
	Duration  Type = "duration"  // 10s, 500ms, 2m, 1h30m; 0
	Bytes     Type = "size"      // 16MiB, 64KiB, 1GiB, or a number of bytes
	Int       Type = "number"    // a whole number
	Bool      Type = "boolean"   // true, false
	Path      Type = "path"      // relative to the file it stands in, or to where Dormouse starts
	Address   Type = "address"   // host:port
	Choice    Type = "choice"    // one of Choices
	Addresses Type = "addresses" // a list of IP addresses and networks
	Networks  Type = "networks"  // the same, with words for sets of them
	URL       Type = "URL"       // http:// or https://, and a host
)

// Setting is one setting. Its name in the file has dots for objects within
// objects.
type Setting struct {
	Name     string
	Type     Type
	Default  string // as it would be written; a path is relative to the project
	Choices  []string
	Min, Max int64 // of a number, a size, or a duration in nanoseconds; Max 0: no bound
	Off      bool  // an address that may be "off"
	Doc      string

	field func(*Settings) any // a pointer to the field
	class func(*Class) any    // to that of one class; nil when a class has none of its own
}

// PerClass reports whether a class of objects may have a value of its own, as
// classes.NAME.SETTING.
func (s *Setting) PerClass() bool { return s.class != nil }

// Flag is the setting's flag, without the dashes before it.
func (s *Setting) Flag() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(s.Name)
}

// Env is its environment variable.
func (s *Setting) Env() string {
	return "DORMOUSE_" + strings.ToUpper(strings.ReplaceAll(s.Name, ".", "_"))
}

// Table lists every setting, in the order of the reference.
func Table() []*Setting { return table[:len(table):len(table)] }

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

var table = []*Setting{
	{Name: "listen", Type: Address, Default: "127.0.0.1:8787", field: func(s *Settings) any { return &s.Listen },
		Doc: "Where clients reach the Worker."},
	{Name: "admin", Type: Address, Default: "127.0.0.1:8788", Off: true, field: func(s *Settings) any { return &s.Admin },
		Doc: "Where operators reach the dashboard and the admin API, or \"off\". An address that is not loopback needs admin_token_file."},
	{Name: "admin_token_file", Type: Path, field: func(s *Settings) any { return &s.AdminTokenFile },
		Doc: "A file whose first line is the token that requests to the admin address must carry."},
	{Name: "data", Type: Path, Default: ".dormouse", field: func(s *Settings) any { return &s.Data },
		Doc: "The folder that holds every object's database. One Dormouse at a time."},
	{Name: "hibernate_after", Type: Duration, Default: "10s", Max: int64(24 * time.Hour), field: func(s *Settings) any { return &s.HibernateAfter },
		Doc: "How long an object with nothing to do stays in memory."},
	{Name: "evict_after", Type: Duration, Default: "1m40s", Min: int64(time.Millisecond), Max: int64(24 * time.Hour), field: func(s *Settings) any { return &s.EvictAfter },
		Doc: "How long an object with timers or other tasks stays in memory without events, before compatibility date 2026-10-01 (durable_object_io_tasks_prevent_eviction). From then on, and before it for outbound fetches and sockets, limits.task_keepalive says it."},
	{Name: "guests", Type: Int, Default: "0", Max: 1024, field: func(s *Settings) any { return &s.Guests },
		Doc: "How many Node processes run the objects; 0 chooses by the number of processors."},
	{Name: "spare_guest", Type: Choice, Choices: []string{string(SpareAuto), string(SpareOn), string(SpareOff)}, Default: string(SpareAuto), field: func(s *Settings) any { return &s.SpareGuest },
		Doc: "Whether one more Node process is kept ready for each, to take over when it dies: \"auto\" does so under `dormouse serve` if twice what guests may use is free."},
	{Name: "deploy_deadline", Type: Duration, Default: "30s", Min: int64(time.Millisecond), Max: int64(time.Hour), field: func(s *Settings) any { return &s.DeployDeadline },
		Doc: "When an object moves to newer code although an event is in progress."},
	{Name: "versions", Type: Int, Default: "10", Min: 2, Max: 10_000, field: func(s *Settings) any { return &s.Versions },
		Doc: "How many versions of the Worker are kept in the data folder, for `dormouse rollback`."},
	{Name: "node", Type: Path, field: func(s *Settings) any { return &s.Node },
		Doc: "The Node to run guests with. Without it, the project's node_modules and PATH are searched."},
	{Name: "tls_cert", Type: Path, field: func(s *Settings) any { return &s.TLSCert },
		Doc: "A certificate chain in PEM, to serve clients over TLS."},
	{Name: "tls_key", Type: Path, field: func(s *Settings) any { return &s.TLSKey },
		Doc: "The key of tls_cert, in PEM."},
	{Name: "durability", Type: Choice, Choices: []string{string(Full), string(Relaxed)}, Default: string(Full), field: func(s *Settings) any { return &s.Durability },
		Doc: "\"full\" lets no answer out before the commit behind it is on the disk; \"relaxed\" lets it out when the commit is written and syncs once a second: a power cut may take the last second of it, the death of a process nothing."},
	{Name: "history_time", Type: Duration, Default: "720h", Min: int64(time.Minute), Max: int64(10 * 365 * 24 * time.Hour), field: func(s *Settings) any { return &s.HistoryTime },
		Doc: "How far back an object can be put to an earlier state (point-in-time recovery). Older history is removed."},
	{Name: "history_bytes", Type: Bytes, Default: "2GiB", Max: 1 << 50, field: func(s *Settings) any { return &s.HistoryBytes },
		Doc: "How many bytes of history are kept; the oldest is removed first. 0 keeps none, and nothing can be put back."},
	{Name: "guest_memory", Type: Bytes, Default: "256MiB", Min: 64 * mib, Max: 1024 * gib, field: func(s *Settings) any { return &s.GuestMemory },
		Doc: "The memory a guest may use before it is replaced."},
	{Name: "heap_snapshots", Type: Path, field: func(s *Settings) any { return &s.HeapSnapshots },
		Doc: "A folder where a guest that runs out of memory leaves a heap snapshot, for DevTools, before it is replaced. It takes up to a minute and eight times guest_memory to write one, and what objects have in memory is in it."},
	{Name: "heap_snapshots_kept", Type: Int, Default: "3", Min: 1, Max: 1000, field: func(s *Settings) any { return &s.HeapSnapshotsKept },
		Doc: "How many heap snapshots stay in that folder: the newest."},
	{Name: "guest_permissions", Type: Bool, Default: "true", field: func(s *Settings) any { return &s.GuestPermissions },
		Doc: "Start guests with Node's permission model: they read the bundle, write their data, and start no processes."},
	{Name: "trusted_proxies", Type: Addresses, field: func(s *Settings) any { return &s.TrustedProxies },
		Doc: "The proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."},
	{Name: "stop_deadline", Type: Duration, Default: "10s", Max: int64(time.Hour), field: func(s *Settings) any { return &s.StopDeadline },
		Doc: "How long an orderly stop waits for requests and handlers to finish."},
	{Name: "upgrade_deadline", Type: Duration, Default: "30s", Max: int64(time.Hour), field: func(s *Settings) any { return &s.UpgradeDeadline },
		Doc: "How long an upgrade of Dormouse lets what is in progress go on, streaming answers among it, before it takes place."},

	{Name: "egress.deny", Type: Networks, field: func(s *Settings) any { return &s.Egress.Deny },
		Doc: "Where fetch and outbound sockets may not connect to: addresses, networks, \"private\" (loopback, private and link-local networks, metadata addresses among them), \"all\". A name is refused if it has no other address."},
	{Name: "egress.allow", Type: Networks, field: func(s *Settings) any { return &s.Egress.Allow },
		Doc: "Exceptions from egress.deny, written in the same way."},

	{Name: "log.level", Type: Choice, Choices: []string{"debug", "info", "warn", "error"}, Default: "info", field: func(s *Settings) any { return &s.Log.Level },
		Doc: "What is logged: this level and those above it."},
	{Name: "log.format", Type: Choice, Choices: []string{"text", "json"}, Default: "text", field: func(s *Settings) any { return &s.Log.Format },
		Doc: "How it is logged: for people or for programs."},
	{Name: "log.slow", Type: Duration, Default: "1s", Max: int64(time.Hour), field: func(s *Settings) any { return &s.Log.Slow },
		Doc: "An event that takes longer than this, from its arrival to its last output, is logged with where it waited; 0 logs none."},

	{Name: "trace.endpoint", Type: URL, field: func(s *Settings) any { return &s.Trace.Endpoint },
		Doc: "Where traces are sent: a collector of OpenTelemetry (OTLP over HTTP), such as http://127.0.0.1:4318. Without it nothing is traced."},
	{Name: "trace.one_in", Type: Int, Default: "1", Min: 1, Max: 1 << 30, field: func(s *Settings) any { return &s.Trace.OneIn },
		Doc: "Of the traces that begin here one in so many is recorded; those that come in (traceparent) are if their sender records them."},

	{Name: "limits.attachment_bytes", Type: Bytes, Default: "0", Max: 512 * mib, field: func(s *Settings) any { return &s.Limits.AttachmentBytes },
		Doc: "The size of a socket's attachment; 0 follows the compatibility date (2,048 bytes before 2026-01-01, then 16,384)."},
	{Name: "limits.sockets_per_object", Type: Int, Default: "32768", Min: 1, Max: 1 << 24, field: func(s *Settings) any { return &s.Limits.SocketsPerObject },
		Doc: "How many hibernatable sockets an object may have."},
	{Name: "limits.outbound_bytes", Type: Bytes, Default: "16MiB", Min: 64 * kib, Max: 4 * gib, field: func(s *Settings) any { return &s.Limits.OutboundBytes },
		Doc: "How much may wait for a client that does not read before its socket is closed with 1013, which it sees if it reads on within 2 s."},
	{Name: "limits.message_bytes", Type: Bytes, Default: "32MiB", Min: 1 * kib, Max: 40 * mib, field: func(s *Settings) any { return &s.Limits.MessageBytes },
		Doc: "The size of a message that a client may send; a larger one closes the socket with 1009."},
	{Name: "limits.close_handshake", Type: Duration, Default: "30s", Max: int64(24 * time.Hour), field: func(s *Settings) any { return &s.Limits.CloseHandshake },
		Doc: "How long a client may take to answer a Close; 0 waits for ever."},
	{Name: "limits.task_keepalive", Type: Duration, Default: "15m", Max: int64(24 * time.Hour), field: func(s *Settings) any { return &s.Limits.TaskKeepalive },
		Doc: "How long a pending waitUntil, timer, fetch or other task keeps its object in memory."},
	{Name: "limits.open_databases", Type: Int, Default: "256", Min: 1, Max: 1 << 20, field: func(s *Settings) any { return &s.Limits.OpenDatabases },
		Doc: "How many databases a guest keeps open, three descriptors each: those that no object uses are closed past it, the longest unused first; past half of guest_memory also those of objects in memory that are in the middle of nothing."},
	{Name: "limits.database_cache", Type: Bytes, Default: "1MiB", Min: 64 * kib, Max: 1 * gib, field: func(s *Settings) any { return &s.Limits.DatabaseCache },
		Doc: "The page cache of one open database, at most; a database that no object uses gives its cache back."},
	{Name: "limits.alarm_time", Type: Duration, Default: "15m", Min: int64(time.Millisecond), Max: int64(24 * time.Hour), field: func(s *Settings) any { return &s.Limits.AlarmTime },
		Doc: "How long an alarm handler may run before its object is reset; the alarm is then tried again."},
	{Name: "limits.guest_stall", Type: Duration, Default: "5s", Max: int64(time.Hour), field: func(s *Settings) any { return &s.Limits.GuestStall },
		Doc: "How long one piece of an object's code may run without a pause before it is ended; 0 never ends it."},
	{Name: "limits.request_bytes", Type: Bytes, Default: "100MiB", field: func(s *Settings) any { return &s.Limits.RequestBytes },
		Doc: "The size of a request's body; 0 sets no limit."},
	{Name: "limits.request_header_bytes", Type: Bytes, Default: "64KiB", Min: 1 * kib, Max: 16 * mib, field: func(s *Settings) any { return &s.Limits.RequestHeaderBytes },
		Doc: "The size of a request's line and headers together."},
	{Name: "limits.header_timeout", Type: Duration, Default: "10s", Min: int64(10 * time.Millisecond), Max: int64(time.Hour), field: func(s *Settings) any { return &s.Limits.HeaderTimeout },
		Doc: "How long a client may take for a request's headers, or a TLS handshake."},
	{Name: "limits.idle_timeout", Type: Duration, Default: "2m", Min: int64(10 * time.Millisecond), Max: int64(24 * time.Hour), field: func(s *Settings) any { return &s.Limits.IdleTimeout },
		Doc: "How long an HTTP connection may stay open between requests."},
	{Name: "limits.mailbox_events", Type: Int, Default: "4096", Min: 1, Max: 1 << 24, field: func(s *Settings) any { return &s.Limits.MailboxEvents },
		Doc: "How many events may wait for an object before its sockets are no longer read and requests get 503."},
	{Name: "limits.mailbox_bytes", Type: Bytes, Default: "64MiB", Min: 64 * kib, Max: 64 * gib, field: func(s *Settings) any { return &s.Limits.MailboxBytes },
		Doc: "How many bytes those events may have together."},
	{Name: "limits.queue_time", Type: Duration, Default: "10s", Max: int64(time.Hour), field: func(s *Settings) any { return &s.Limits.QueueTime },
		Doc: "How long a request may wait while the guest that has to begin it computes; then it gets 503. 0 sets no limit."},
	{Name: "limits.own_guests", Type: Int, Default: "2", Max: 64, field: func(s *Settings) any { return &s.Limits.OwnGuests },
		Doc: "How many objects of each guest may have one of their own because their code ended it, or did not end, again and again."},
	{Name: "limits.deploy_bytes", Type: Bytes, Default: "256MiB", Min: 64 * kib, Max: 64 * gib, field: func(s *Settings) any { return &s.Limits.DeployBytes },
		Doc: "The size of a version that `dormouse deploy` may send, its assets included."},
	{Name: "limits.ignore_timers_beyond", Type: Duration, Default: "0", field: func(s *Settings) any { return &s.Limits.IgnoreTimersBeyond },
		Doc: "Timers that are further away than this do not keep an object in memory; 0 ignores none."},
	{Name: "limits.memory", Type: Bytes, Default: "0", Max: 1024 * gib, field: func(s *Settings) any { return &s.Limits.Memory },
		Doc: "The memory of Dormouse itself, without its guests: near it new WebSockets get 503, and those that are connected stay; 0 sets no limit but GOMEMLIMIT."},
	{Name: "limits.client_handshakes", Type: Int, Default: "0", Max: 1 << 20, field: func(s *Settings) any { return &s.Limits.ClientHandshakes },
		Doc: "How many WebSockets one client address (of IPv6, one /64) may open each second before it gets 429; 0 sets no limit."},
	{Name: "limits.client_sockets", Type: Int, Default: "0", Max: 1 << 24, field: func(s *Settings) any { return &s.Limits.ClientSockets },
		Doc: "How many WebSockets one client address may have open before it gets 429 for another; 0 sets no limit."},
	{Name: "limits.client_messages", Type: Int, Default: "0", Max: 1 << 24, field: func(s *Settings) any { return &s.Limits.ClientMessages },
		Doc: "How many messages a second one client address may send, over all of its WebSockets: past it they are read more slowly, and nothing is lost; 0 sets no limit."},

	{Name: "sockets.on_reset", Type: Choice, Choices: []string{string(ResetDrop), string(ResetKeep)}, Default: string(ResetDrop),
		field: func(s *Settings) any { return &s.Sockets.OnReset }, class: func(c *Class) any { return &c.Sockets.OnReset },
		Doc: "Whether an object's sockets are dropped when it is reset (abort, a failed constructor or commit), as on Cloudflare, or kept."},
	{Name: "sockets.on_update", Type: Choice, Choices: []string{string(UpdateKeep), string(UpdateClose)}, Default: string(UpdateKeep),
		field: func(s *Settings) any { return &s.Sockets.OnUpdate }, class: func(c *Class) any { return &c.Sockets.OnUpdate },
		Doc: "Whether hibernatable sockets stay connected when new code takes over, or are closed, as on Cloudflare."},
	{Name: "placement", Type: Choice, Choices: []string{string(PlaceShared), string(PlaceOwn)}, Default: string(PlaceShared),
		field: func(s *Settings) any { return &s.Placement }, class: func(c *Class) any { return &c.Placement },
		Doc: "Whether the objects of a class share guests with those of others, or have guests of their own."},
}

// find returns the setting of that name, or nil.
func find(name string) *Setting {
	for _, s := range table {
		if s.Name == name {
			return s
		}
	}
	return nil
}
