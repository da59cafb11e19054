package server

import (
	"sync"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/browse"
	"github.com/dormouse-dev/dormouse/internal/storage/snapshot"
)

// views keeps the copy that was looked at last for a while: who pages through
// an object asks again and again, and a large one takes long to be copied.
type views struct {
	mu   sync.Mutex // guards the following
	kept *keptView
	over bool // nothing is kept any more
}

type keptView struct {
	key   dormouse.Key
	stamp snapshot.Stamp // from before the copy
	view  *browse.View
	timer *time.Timer
}

// keepView is how long the copy stays when nobody looks at it.
const keepView = 30 * time.Second

// take returns the copy if it is of this object, and of what the object has now.
// It is the caller's then.
func (v *views) take(k dormouse.Key, now snapshot.Stamp) *browse.View {
	v.mu.Lock()
	defer v.mu.Unlock()
	kept := v.kept
	if kept == nil || kept.key != k || !kept.stamp.Same(now) {
		return nil
	}
	v.kept = nil
	kept.timer.Stop()
	return kept.view
}

// keep keeps a copy in place of the one before. It returns false if it does not.
func (v *views) keep(k dormouse.Key, stamp snapshot.Stamp, view *browse.View) bool {
	if stamp == (snapshot.Stamp{}) {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over {
		return false
	}
	v.dropLocked()
	kept := &keptView{key: k, stamp: stamp, view: view}
	kept.timer = time.AfterFunc(keepView, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.kept == kept {
			v.dropLocked()
		}
	})
	v.kept = kept
	return true
}

func (v *views) dropLocked() {
	if v.kept != nil {
		v.kept.timer.Stop()
		v.kept.view.Discard()
		v.kept = nil
	}
}

// close ends the keeping.
func (v *views) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over = true
	v.dropLocked()
}
