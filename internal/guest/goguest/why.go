package goguest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/dormouse-dev/dormouse/internal/guest"
)

// reason is something that keeps an object in memory, as the guest protocol
// reports it.
type reason struct {
	Kind   string `json:"kind"`
	Since  int64  `json:"since,omitempty"` // Unix milliseconds
	Detail string `json:"detail,omitempty"`
}

// shownReasons is how many are listed.
const shownReasons = 100

// Why reports what keeps an object in memory.
func (g *Guest) Why(query uint32, o guest.Object) {
	list := []reason{}
	if i := g.instances[o]; i != nil {
		list = i.reasons()
	}
	report, err := json.Marshal(list)
	if err != nil {
		panic(fmt.Sprintf("report %v: %v", list, err))
	}
	g.crew.tell(func() { g.host.Report(g, query, report) })
}

func (i *instance) reasons() []reason {
	i.mu.Lock()
	defer i.mu.Unlock()
	list := []reason{}
	if i.holder != nil {
		list = append(list, reason{Kind: "event", Detail: i.holder.what()})
	}
	for e := range i.away {
		if len(list) == shownReasons {
			break
		}
		list = append(list, reason{Kind: "event", Detail: e.what() + ", in Yield"})
	}
	for t := range i.tasks {
		if len(list) == shownReasons {
			break
		}
		list = append(list, reason{Kind: "waitUntil", Since: t.since.UnixMilli()})
	}
	if i.mail.first != nil {
		list = append(list, reason{Kind: "mailbox", Detail: "events wait"})
	}
	return list
}

// what names an event for people.
func (e *event) what() string {
	switch w := e.work.(type) {
	case birth:
		return "constructor"
	case onMessage:
		return "WebSocketMessage"
	case onClose:
		return "WebSocketClose"
	case onError:
		return "WebSocketError"
	case *onAlarm:
		return "Alarm of " + w.scheduled.UTC().Format(time.RFC3339)
	case *fetch:
		return w.head.Method + " " + w.head.URL
	case *localCall, *methodCall:
		return "call"
	}
	return "Do"
}
