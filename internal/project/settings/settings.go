// Package settings knows Dormouse's own settings: what there is, what each is
// by default, and where a value came from (a flag, the environment, the file
// dormouse.jsonc, or the default, in this order). It never sees what a setting
// does.
package settings

import (
	"net/netip"
	"time"
)

// Settings is every setting with the value that is in force.
type Settings struct {
	Listen            string // host:port
	Admin             string // host:port; empty when it is off
	AdminTokenFile    string // absolute; empty: none
	Data              string // absolute
	HibernateAfter    time.Duration
	EvictAfter        time.Duration
	Guests            int // 0: as many as the machine suggests
	SpareGuest        Spare
	DeployDeadline    time.Duration
	Versions          int
	Placement         Placement
	Node              string // absolute; empty: look for one
	TLSCert, TLSKey   string // absolute; both or neither
	Durability        Durability
	HistoryTime       time.Duration
	HistoryBytes      int64 // 0: no history is kept
	GuestMemory       int64
	HeapSnapshots     string // absolute; empty: none
	HeapSnapshotsKept int
	GuestPermissions  bool
	TrustedProxies    []netip.Prefix
	Egress            Egress
	StopDeadline      time.Duration
	UpgradeDeadline   time.Duration
	Log               Log
	Trace             Trace
	Limits            Limits
	Sockets           Sockets
	// Classes are the settings of single classes of objects, whole: what a class
	// does not set is as above. See SocketsOf.
	Classes map[string]Class
}

// SocketsOf gives what holds for the sockets of a class.
func (s *Settings) SocketsOf(class string) Sockets {
	if c, ok := s.Classes[class]; ok {
		return c.Sockets
	}
	return s.Sockets
}

// Of gives what holds for a class.
func (s *Settings) Of(class string) Class {
	if c, ok := s.Classes[class]; ok {
		return c
	}
	return Class{s.Sockets, s.Placement}
}

// Durability is when a commit counts as done.
type Durability string

const (
	// Full waits until the commit is on the disk.
	Full Durability = "full"
	// Relaxed waits until the system has it: a power cut may lose the last of it.
	Relaxed Durability = "relaxed"
)

// Egress says where code may connect to. Allow counts before Deny.
type Egress struct{ Allow, Deny []netip.Prefix }

// Log says what is logged, and how.
type Log struct {
	Level  string        // debug, info, warn, error
	Format string        // text, json
	Slow   time.Duration // 0: never
}

// Trace says where traces go.
type Trace struct {
	Endpoint string // a URL; empty: nowhere
	OneIn    int
}

// Limits bound what clients and objects may do.
type Limits struct {
	AttachmentBytes    int64 // 0: as the compatibility date says
	SocketsPerObject   int
	OutboundBytes      int64
	MessageBytes       int64
	CloseHandshake     time.Duration // 0: wait for ever
	TaskKeepalive      time.Duration
	OpenDatabases      int
	DatabaseCache      int64
	AlarmTime          time.Duration
	GuestStall         time.Duration // 0: never
	RequestBytes       int64         // 0: no limit
	RequestHeaderBytes int64
	HeaderTimeout      time.Duration
	IdleTimeout        time.Duration
	MailboxEvents      int
	MailboxBytes       int64
	QueueTime          time.Duration // 0: no limit
	OwnGuests          int
	DeployBytes        int64
	IgnoreTimersBeyond time.Duration // 0: ignore none
	Memory             int64         // of the Go process; 0: no limit
	ClientHandshakes   int           // 0: no limit
	ClientSockets      int           // 0: no limit
	ClientMessages     int           // 0: no limit
}

// Sockets says what becomes of an object's sockets.
type Sockets struct {
	OnReset  OnReset
	OnUpdate OnUpdate
}

// OnReset is what a reset of an object does to its sockets.
type OnReset string

// OnUpdate is what new code does to them.
type OnUpdate string

const (
	ResetDrop   OnReset  = "drop"
	ResetKeep   OnReset  = "keep"
	UpdateKeep  OnUpdate = "keep"
	UpdateClose OnUpdate = "close"
)

// Class holds the settings that a class of objects may have for itself.
type Class struct {
	Sockets   Sockets
	Placement Placement
}

// Spare is whether a guest more is kept ready than run.
type Spare string

const (
	SpareAuto Spare = "auto"
	SpareOn   Spare = "on"
	SpareOff  Spare = "off"
)

// Placement is which objects share a guest.
type Placement string

const (
	// PlaceShared lets them share it with those of other classes.
	PlaceShared Placement = "shared"
	// PlaceOwn gives those of a class guests of their own.
	PlaceOwn Placement = "own"
)
