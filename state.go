package dormouse

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/dormouse-dev/dormouse/internal/author"
)

// State is what an object knows of itself and asks of its server. Its
// constructor gets it, and it is good until the object leaves memory. Methods
// may be called on any goroutine.
//
// Cloudflare: "Durable Object State".
type State struct {
	i       author.Instance
	storage *Storage
}

// ID returns the id of the object.
func (s *State) ID() ID { return s.i.ID() }

// Name returns the name that the id was made from. ok is false if it was made
// from none, if the name has more than 1,024 bytes, or if nobody who knows it
// has called the object since the server began and it had no alarm since.
func (s *State) Name() (name string, ok bool) { return s.i.Name() }

// Storage returns the object's own database.
func (s *State) Storage() *Storage { return s.storage }

// AcceptWebSocket answers an upgrade request, which must be the one that
// ServeHTTP was called with, and returns the object's end of the WebSocket. The
// handshake is completed when ServeHTTP returns; headers set in w before, such
// as Sec-WebSocket-Protocol, are part of it, and compression is negotiated as
// the server is configured. The socket belongs to the object until it ends: it
// stays connected while the object is not in memory.
//
// The tags, at most 10 with at most 256 bytes each, find it again in
// WebSockets; one that is given twice counts once. An object has at most 32,768
// sockets, unless the server says otherwise.
//
// If there is an error, the request has been answered with it.
//
// Cloudflare: "Durable Object State", acceptWebSocket.
func (s *State) AcceptWebSocket(w http.ResponseWriter, r *http.Request, tags ...string) (*WebSocket, error) {
	face, err := s.i.Accept(w, r, tags)
	if err != nil {
		return nil, err
	}
	return face.(*WebSocket), nil
}

// WebSockets returns the object's sockets that have all of the tags: without
// tags every one, the newest first; with tags the oldest first. A socket that
// this object has closed is listed until the client has answered; one that the
// client has closed, until WebSocketClose has returned.
//
// Cloudflare: "Durable Object State", getWebSockets.
func (s *State) WebSockets(tags ...string) iter.Seq[*WebSocket] {
	return func(yield func(*WebSocket) bool) {
		s.i.Sockets(tags, func(face any) bool { return yield(face.(*WebSocket)) })
	}
}

// Tags returns the tags of a socket in the order in which they were given.
//
// Cloudflare: "Durable Object State", getTags.
func (s *State) Tags(ws *WebSocket) []string { return ws.s.Tags() }

// SetAutoResponse has the server answer a text message that equals request, on
// any of the object's sockets, without waking the object. Each may have 2,048
// bytes. It stays while the object is away, and is lost when it is reset or its
// last socket has ended; so it is set in the constructor.
//
// Cloudflare: "Durable Object State", setWebSocketAutoResponse.
func (s *State) SetAutoResponse(request, response string) error {
	return s.i.SetPair(request, response)
}

// RemoveAutoResponse ends what SetAutoResponse began.
func (s *State) RemoveAutoResponse() { s.i.RemovePair() }

// AutoResponse returns what SetAutoResponse has set; ok is false if nothing is.
func (s *State) AutoResponse() (request, response string, ok bool) { return s.i.Pair() }

// AutoResponseTimestamp returns when the socket last sent the request of the
// auto-response, to the millisecond, and the zero time if it never did.
//
// Cloudflare: "Durable Object State", getWebSocketAutoResponseTimestamp.
func (s *State) AutoResponseTimestamp(ws *WebSocket) time.Time { return ws.s.Stamp() }

// SetEventTimeout bounds how long a handler of a socket may take, waiting
// included: its context ends then, and the object is reset. Zero sets no bound,
// which is the default; the most is 7 days, and less than a millisecond counts as
// one. It stays as the auto-response does.
//
// Cloudflare: "Durable Object State", setHibernatableWebSocketEventTimeout.
func (s *State) SetEventTimeout(d time.Duration) error { return s.i.SetEventTimeout(d) }

// EventTimeout returns what SetEventTimeout has set.
func (s *State) EventTimeout() time.Duration { return s.i.EventTimeout() }

// Yield lets other events of the object in while wait runs, and returns its
// error when it has ended and the object is the handler's again. It is for what
// takes long and does not touch the object: a request to another system, a
// computation. What was written so far is committed first, and what was sent
// leaves. After it the object may have changed.
//
// ctx must be the handler's or come from it; wait gets one under which the
// object is free. If the object was reset meanwhile, Yield returns that error.
func (s *State) Yield(ctx context.Context, wait func(context.Context) error) error {
	return s.i.Yield(ctx, wait)
}

// Do runs f as an event of the object, so that no handler runs at the same time,
// and returns its error. It is how a goroutine that is no handler, such as one
// of WaitUntil, touches the object and its storage. Within a handler, told by
// ctx, it just runs f.
//
// It waits for its turn until ctx ends.
func (s *State) Do(ctx context.Context, f func(context.Context) error) error {
	return s.i.Do(ctx, f)
}

// BlockConcurrencyWhile is Do for what must succeed: no event comes in before f
// has returned, not even while f waits in Yield, and if f fails or takes longer
// than 30 seconds the object is reset with the error, as by Abort. It does not
// return then.
//
// Cloudflare: "Durable Object State", blockConcurrencyWhile.
func (s *State) BlockConcurrencyWhile(ctx context.Context, f func(context.Context) error) {
	s.i.Block(ctx, f)
}

// WaitUntil runs f beside the object, on a goroutine of its own, and keeps the
// object in memory until it returns, 15 minutes at most. The context of f ends
// then, or when the object is reset. An error is logged. f touches the object in
// Do.
//
// Cloudflare: "Durable Object State", waitUntil.
func (s *State) WaitUntil(f func(context.Context) error) { s.i.WaitUntil(f) }

// Abort resets the object: what it has not committed is undone, what it has not
// sent is dropped, callers get an error with the reason, its sockets end without
// a Close frame (unless Class.KeepSockets), and the next event constructs it
// anew. Abort does not return: the goroutine that calls it ends, after its
// deferred functions. Other goroutines of the object find their contexts ended.
//
// Cloudflare: "Durable Object State", abort.
func (s *State) Abort(reason string) { s.i.Abort(reason) }
