package journal

// maxLeft is how long a journal may be that is left to the next process as it is:
// that one reads all of it.
const maxLeft = 160 << 20

// Tidy puts the files of all released objects in order soon, without their delay:
// it is for a process that is going to Leave, while somebody is still served. It
// does not wait.
func (e *Engine) Tidy() {
	e.mu.Lock()
	e.upkeep.soon = true
	e.mu.Unlock()
	e.upkeep.wake()
}

// Leave is Close for somebody who has to be quick: everything that was committed
// is in the journal, and the files of objects that were open lately are not put in
// order. The next Open does that, as after the death of a process, with one wait
// for the disk in place of several.
func (e *Engine) Leave() error {
	if bytes, _ := e.log.extent(); bytes <= maxLeft {
		e.mu.Lock()
		e.upkeep.leaving = true
		e.mu.Unlock()
	}
	return e.Close()
}

// leave is the last keepHouse of Leave: what has been asked for is done, and what
// no Commit has told of, because its guest was ended, is in the journal too.
func (e *Engine) leave() {
	u := &e.upkeep
	e.mu.Lock()
	jobs, resting := u.jobs, e.dueLocked(true)
	u.jobs = nil
	e.mu.Unlock()
	for _, job := range jobs {
		job()
	}
	e.settle(resting) // an object whose WAL cannot be read is made from the journal
}
