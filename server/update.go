package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/assets"
	"github.com/dormouse-dev/dormouse/internal/edge"
	"github.com/dormouse-dev/dormouse/internal/host"
	"github.com/dormouse-dev/dormouse/internal/object"
)

// Code is what the guests run, and what goes with it: a version of a Worker.
type Code struct {
	Classes    []Class
	Bindings   []int         // for each binding of a namespace, the class that it reaches
	TestHooks  bool          // as Config.TestHooks
	Assets     *Assets       // files beside the Worker; nil: none
	EvictAfter time.Duration // of a quiet object with tasks; 0 is never
	AutoReply  bool          // answer a client's Close for the application
	Compress   bool          // negotiate permessage-deflate
}

// Update says how newer code takes over.
type Update struct {
	Code
	// Deadline is when an object moves in which an event is in progress; 0: 30 s.
	Deadline time.Duration
	// Accepted is called when guests with the newer code are ready on every loop,
	// before they take over; nil: nothing is to be done. After an error of it
	// nothing has changed.
	Accepted func() error
}

// ErrUpdating is returned while another update has not taken over yet.
var ErrUpdating = errors.New("another version is being started; try again when it serves")

// Update starts guests with newer code beside those that run and has them take
// over on every loop, or on none: after an error everything is as it was. It
// returns when new events of every object go to the newer code; objects in
// memory move at their next quiet moment.
func (s *Server) Update(ctx context.Context, u Update) error {
	if !s.updating.TryLock() {
		return ErrUpdating
	}
	defer s.updating.Unlock()
	router, err := openAssets(u.Assets)
	if err != nil {
		return err
	}
	ready, err := s.prepare(ctx)
	if err == nil && u.Accepted != nil {
		if err = u.Accepted(); err != nil {
			abort(ready)
		}
	}
	if err != nil {
		if router != nil {
			router.Close()
		}
		return err
	}
	s.setCode(u.Code)
	for i, sh := range s.js {
		sh.loop.Call(func() { s.introduceCode(sh) })
		ready[i].Commit(u.Deadline)
	}
	s.setFiles(router)
	return nil
}

// prepare starts a guest with the newer code for each loop: one first, which
// tells whether it can run, and then the others.
func (s *Server) prepare(ctx context.Context) ([]Replacement, error) {
	ready := make([]Replacement, len(s.js))
	errs := make([]error, len(s.js))
	var others sync.WaitGroup
	for i, sh := range s.js {
		if i == 0 {
			if ready[0], errs[0] = sh.slot.Prepare(ctx); errs[0] != nil {
				return nil, errs[0]
			}
			continue
		}
		others.Go(func() { ready[i], errs[i] = sh.slot.Prepare(ctx) })
	}
	others.Wait()
	for i, r := range ready {
		if errs[i] == nil {
			errs[i] = r.Check()
		}
		if errs[i] != nil {
			abort(ready)
			return nil, errs[i]
		}
	}
	return ready, nil
}

func abort(list []Replacement) {
	for _, r := range list {
		if r != nil {
			r.Abort()
		}
	}
}

// Adopt sets what the guests run, before Start.
func (s *Server) Adopt(c Code) error {
	router, err := openAssets(c.Assets)
	if err != nil {
		return err
	}
	s.setCode(c)
	for _, sh := range s.js {
		s.introduceCode(sh) // the loop does not run yet
	}
	s.setFiles(router)
	return nil
}

// VersionsInMemory counts the objects in memory by the version of the code that
// they run.
func (s *Server) VersionsInMemory() map[int]int {
	counts := make(map[int]int)
	for _, sh := range s.js {
		sh.loop.Call(func() {
			for n, objects := range sh.host.Versions() {
				counts[n] += objects
			}
		})
	}
	return counts
}

// code is what the server runs now.
type code struct {
	updating sync.Mutex // held by Update

	mu      sync.RWMutex // guards the following
	current Code
	// roster is every class there is or has been, in the order in which hosts
	// number them.
	roster  []roster
	front   *edge.Front
	files   *assets.Router   // nil: no assets
	retired []*assets.Router // may still be asked

	http edge.Counts // of every front
}

type roster struct {
	name      string // the latest
	namespace dormouse.Namespace
	inGo      bool
}

// setCode takes newer code over.
func (s *Server) setCode(c Code) {
	s.code.mu.Lock()
	defer s.code.mu.Unlock()
	s.current = c
	for i := range c.Classes {
		k := &c.Classes[i]
		if k.Namespace == "" {
			k.Namespace = s.plainNamespace(k.Name)
		}
		if n := slices.IndexFunc(s.roster, func(r roster) bool { return r.namespace == k.Namespace }); n >= 0 {
			s.roster[n].name = k.Name // it may have another one now
		} else {
			s.roster = append(s.roster, roster{name: k.Name, namespace: k.Namespace})
		}
	}
}

// introduceCode tells a loop of the code of now.
func (s *Server) introduceCode(sh *shard) {
	sh.host.SetClasses(s.guestClasses())
	sh.registry.SetAutoReply(s.now().AutoReply)
}

func (s *Server) now() Code {
	s.code.mu.RLock()
	defer s.code.mu.RUnlock()
	return s.current
}

// guestClasses are the classes of the guests, as hosts know them.
func (s *Server) guestClasses() []host.Class {
	c := s.now()
	list := make([]host.Class, len(c.Classes))
	for i, k := range c.Classes {
		list[i] = host.Class{
			Name: k.Name, Namespace: k.Namespace, KeepOnReset: k.KeepOnReset, CloseOnUpdate: k.CloseOnUpdate,
			Rest: object.Rest{Hibernate: s.HibernateAfter, Evict: c.EvictAfter},
		}
		if k.OwnGuest {
			list[i].Place = host.ClassPlace(k.Name)
		}
	}
	return list
}

// classOf finds the number of a class, as hosts count them.
func (s *Server) classOf(name string) (int, bool) {
	s.code.mu.RLock()
	defer s.code.mu.RUnlock()
	i := slices.IndexFunc(s.roster, func(r roster) bool { return r.name == name })
	return i, i >= 0
}

// namespace is the one that keys the ids of a class.
func (s *Server) namespace(class string) dormouse.Namespace {
	s.code.mu.RLock()
	defer s.code.mu.RUnlock()
	for _, k := range s.current.Classes {
		if k.Name == class {
			return k.Namespace
		}
	}
	return s.plainNamespace(class)
}

// plainNamespace is that of a class of which nobody says another.
func (s *Server) plainNamespace(class string) dormouse.Namespace {
	if s.Name == "" {
		return dormouse.Namespace(class)
	}
	return dormouse.Namespace(s.Name + "-" + class)
}

// classIn finds the class of a namespace, by its number too.
func (s *Server) classIn(n dormouse.Namespace) (number int, name string, ok bool) {
	s.code.mu.RLock()
	defer s.code.mu.RUnlock()
	for i, r := range s.roster {
		if r.namespace == n {
			return i, r.name, true
		}
	}
	return 0, "", false
}

// maxRetiredFiles bounds the folders of earlier versions that are open because
// somebody may still read from them.
const maxRetiredFiles = 2

// setFiles has clients served with these files from now on.
func (s *Server) setFiles(files *assets.Router) {
	s.code.mu.Lock()
	defer s.code.mu.Unlock()
	if s.files != nil {
		s.retired = append(s.retired, s.files)
	}
	if n := len(s.retired) - maxRetiredFiles; n > 0 {
		for _, old := range s.retired[:n] {
			old.Close()
		}
		s.retired = s.retired[n:]
	}
	s.files = files
	s.front = s.newFront(files, s.current.Compress)
}

// closeFiles pairs with setFiles.
func (s *Server) closeFiles() {
	s.code.mu.Lock()
	defer s.code.mu.Unlock()
	for _, f := range append(s.retired, s.files) {
		if f != nil {
			f.Close()
		}
	}
}

func (s *Server) newFront(files *assets.Router, compress bool) *edge.Front {
	c := &s.Config
	f := &edge.Front{
		Counts: &s.http,
		Worker: s, Attach: s.attach, AttachSoon: s.attachSoon, Release: s.release, Log: c.Log,
		Compress: compress, Details: c.Details, MaxBody: c.Limits.RequestBody, TrustedProxies: c.TrustedProxies,
		Full: s.room.full, Clients: s.clients, Tracer: c.Tracer,
	}
	if files != nil {
		f.Assets = files
	}
	return f
}

// theFront serves clients now.
func (s *Server) theFront() *edge.Front {
	s.code.mu.RLock()
	defer s.code.mu.RUnlock()
	return s.front
}

// openAssets opens a folder of static files, if there is one.
func openAssets(c *Assets) (*assets.Router, error) {
	if c == nil {
		return nil, nil
	}
	files, err := assets.Open(assets.Config{Directory: c.Directory, HTML: c.HTML, NotFound: c.NotFound})
	if err != nil {
		return nil, fmt.Errorf("assets of the Worker: %w", err)
	}
	return &assets.Router{Assets: files, WorkerFirst: c.WorkerFirst, WorkerPaths: c.WorkerPaths, Navigation: c.Navigation}, nil
}

// serveAssets answers a guest that asks for a file.
func (s *Server) serveAssets(w http.ResponseWriter, r *http.Request) {
	s.code.mu.RLock()
	files := s.files
	s.code.mu.RUnlock()
	if files == nil {
		http.NotFound(w, r)
		return
	}
	files.Assets.ServeHTTP(w, r)
}
