package server

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/hibernation"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/structuredclone"
)

// AdminHandler serves the admin API.
func (s *Server) AdminHandler(o admin.Options) http.Handler {
	o.Routes = append(o.Routes, s.observeRoutes()...)
	if s.Testing {
		o.Routes = append(o.Routes, s.testRoutes()...)
	}
	return admin.NewHandler(runtime{s}, o)
}

// GuestInfo is implemented by slots that can describe their guests.
type GuestInfo interface{ Describe() []admin.Guest }

// shownSockets is how many sockets of one object are listed.
const shownSockets = 1000

// askLimit is how long a guest may take to say why an object is awake.
const askLimit = 2 * time.Second

// runtime is a Server as the admin API sees it.
type runtime struct{ s *Server }

func (r runtime) Namespaces() []dormouse.Namespace {
	var list []dormouse.Namespace
	r.s.code.mu.RLock()
	defer r.s.code.mu.RUnlock()
	for _, k := range r.s.roster {
		list = append(list, k.namespace)
	}
	return list
}

func (r runtime) Objects() []admin.Object {
	list := []admin.Object{}
	for _, sh := range r.s.shards {
		sh.loop.Call(func() {
			for _, i := range sh.host.List() {
				list = append(list, row(i))
			}
		})
	}
	slices.SortFunc(list, func(a, b admin.Object) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ID, b.ID))
	})
	return list
}

func row(i host.Info) admin.Object {
	o := admin.Object{
		Namespace: i.Key.Namespace, ID: i.Key.ID.String(), Class: i.Class, State: i.State,
		Sockets: i.Sockets, Tasks: i.Tasks, Mailbox: i.Mail, Gate: i.Waiting, Guest: i.Guest, GuestDeaths: i.GuestDeaths,
		Place: string(i.Place), Version: i.Version,
	}
	if i.HasName {
		o.Name = &i.Name
	}
	if !i.Since.IsZero() {
		o.Since = &i.Since
	}
	if !i.IsolatedUntil.IsZero() {
		o.IsolatedUntil = &i.IsolatedUntil
	}
	return o
}

func (r runtime) Object(ctx context.Context, k dormouse.Key) (d admin.Detail, ok bool) {
	sh := r.s.of(k)
	why := make(chan []byte, 1)
	forget := func() {}
	sh.loop.Call(func() {
		var i host.Info
		alarm := sh.alarm(k)
		if i, ok = sh.host.Look(k); !ok {
			if ok = alarm != nil; !ok {
				return
			}
			_, class, _ := r.s.classIn(k.Namespace)
			i = host.Info{Key: k, Class: class, State: "inactive"}
		}
		d = admin.Detail{Object: row(i), SocketList: []admin.Socket{}, Alarm: alarm}
		if set, is := i.Set.(*hibernation.Set); is {
			d.SocketList = sockets(set)
			d.MoreSockets = i.Sockets - len(d.SocketList)
		}
		forget = sh.host.Why(k, func(report []byte) { why <- slices.Clone(report) })
	})
	if !ok {
		return d, false
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	select {
	case report := <-why:
		if json.Valid(report) {
			d.WhyAwake = report
		}
	case <-ctx.Done():
		sh.loop.Post(forget)
		d.WhyAwake = json.RawMessage(`[{"kind":"unknown","detail":"the guest did not answer in time"}]`)
	}
	return d, true
}

func sockets(t *hibernation.Set) []admin.Socket {
	list := []admin.Socket{}
	for _, i := range t.Info(shownSockets) {
		s := admin.Socket{
			ID: i.ID, Remote: i.Remote, Tags: i.Tags, AttachmentBytes: i.AttachmentBytes,
			Buffered: i.Buffered, Closing: i.Closing,
		}
		s.Attachment = printed(i.Attachment)
		if !i.AutoResponse.IsZero() {
			s.AutoResponse = &i.AutoResponse
		}
		list = append(list, s)
	}
	return list
}

// printed is a serialized value as JavaScript prints it.
func printed(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	v, err := structuredclone.Decode(b)
	if err != nil {
		return "unreadable: " + err.Error()
	}
	return structuredclone.Inspect(v, 2)
}

// Timeline implements admin.Timeline.
func (r runtime) Timeline(k dormouse.Key) []admin.Moment {
	list := []admin.Moment{}
	sh := r.s.of(k)
	sh.loop.Call(func() {
		for _, m := range sh.host.History(k) {
			list = append(list, admin.Moment{At: m.At, What: m.What, Why: m.Why, Event: m.Event, Version: m.Version, Events: m.Events, Lasted: m.Lasted.Seconds()})
		}
	})
	return list
}

// Hibernate asks, and waits until the guest has answered.
func (r runtime) Hibernate(ctx context.Context, k dormouse.Key, force bool) bool {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	sh := r.s.of(k)
	answer := make(chan bool, 1)
	sh.loop.Call(func() { sh.host.Hibernate(k, force, func(gone bool) { answer <- gone }) })
	select {
	case gone := <-answer:
		return gone
	case <-ctx.Done():
		return false
	}
}

func (r runtime) Guests() []admin.Guest {
	list := []admin.Guest{}
	for _, sh := range r.s.shards {
		if d, ok := sh.slot.(GuestInfo); ok {
			list = append(list, d.Describe()...)
		}
	}
	return list
}

// Unfinished gathers what the shards have reported, the latest last.
func (r runtime) Unfinished() []admin.Unfinished {
	list := []admin.Unfinished{}
	for _, sh := range r.s.shards {
		sh.loop.Call(func() {
			for _, u := range sh.host.Reported() {
				list = append(list, admin.Unfinished{
					At: u.At, Namespace: u.Key.Namespace, ID: u.Key.ID.String(), Class: u.Class,
					Socket: u.Socket, Tags: append([]string{}, u.Tags...), Number: u.Number, Event: u.Event, Bytes: u.Bytes, Guest: u.Guest,
				})
			}
		})
	}
	slices.SortStableFunc(list, func(a, b admin.Unfinished) int { return a.At.Compare(b.At) })
	return list
}

// Classes adds up what the shards have counted.
func (r runtime) Classes() []admin.Class {
	list := []admin.Class{}
	for _, sh := range r.s.shards {
		sh.loop.Call(func() {
			for i, c := range sh.host.ClassStats() {
				if i == len(list) {
					list = append(list, admin.Class{Name: c.Name})
				}
				a := &list[i]
				a.InMemory += c.InMemory
				a.Hibernated += c.Hibernated
				a.Wakes += c.Wakes
				a.Constructions += c.Constructions
				a.Constructor += c.Constructor.Seconds()
				a.Longest = max(a.Longest, c.ConstructorMax.Seconds())
				a.Memory += c.Memory.Seconds()
				a.Saved += c.Saved.Seconds()
			}
		})
	}
	return list
}
