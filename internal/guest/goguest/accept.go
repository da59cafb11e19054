package goguest

import (
	"fmt"
	"net/http"

	"github.com/dormouse-dev/dormouse"
)

// Accept implements author.Instance.
func (i *instance) Accept(w http.ResponseWriter, r *http.Request, tags []string) (any, error) {
	e := i.own(r.Context())
	if e == nil {
		return nil, errNoRequest
	}
	f, ok := e.work.(*fetch)
	if !ok || f.writer == nil {
		return nil, errNoRequest
	}
	if f.writer.begun() {
		return nil, errAnswered
	}
	if !isUpgrade(r) {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, upgradeExpects, http.StatusUpgradeRequired)
		return nil, errNoUpgrade
	}
	tags, err := checkTags(tags)
	if err != nil {
		http.Error(w, "The object could not accept the WebSocket.", http.StatusInternalServerError)
		return nil, err
	}
	s, err := i.accept(tags)
	if err != nil {
		w.Header().Set("Retry-After", "60")
		http.Error(w, "The object has too many WebSockets.", http.StatusServiceUnavailable)
		return nil, err
	}
	s.protocol = w.Header().Get("Sec-WebSocket-Protocol")
	f.writer.upgrade(s.id.Peer(), w.Header())
	return s.face, nil
}

// accept makes a pair and keeps one end.
func (i *instance) accept(tags []string) (*socket, error) {
	g := i.g
	s := &socket{i: i, id: g.pair(), tags: tags}
	s.face = i.face(s).(*dormouse.WebSocket)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead != nil {
		return nil, i.dead
	}
	if most := g.limits.Sockets; len(i.sockets.all) >= most {
		return nil, fmt.Errorf(errTooMany, most)
	}
	i.sockets.add(s)
	i.outLocked().later(func() {
		g.sockets[s.id] = s
		g.host.Accept(g, i.num, s.id, tags)
	})
	i.saidLocked()
	return s, nil
}

// pair makes the ends of a new pair and returns the object's.
func (g *Guest) pair() dormouse.SocketID {
	return dormouse.SocketID(g.incarnation)<<32 | dormouse.SocketID(g.pairs.Add(2))
}
