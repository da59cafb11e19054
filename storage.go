package dormouse

import (
	"context"
	"iter"
	"time"

	"github.com/dormouse-dev/dormouse/internal/author"
)

// Storage is an object's own database: keys and values, SQL and the alarm, in
// one SQLite file that is made at the first write. An object written in
// JavaScript could read and write the same file.
//
// What a handler writes is one transaction, which is committed when it returns
// or yields, also if it fails; Transaction takes back what shall not be. A
// commit that fails resets the object. What is sent after a write waits until
// the commit is durable, so nobody is told of what could be lost.
//
// Methods may be called within the object's events and State.Do. After the
// object has left memory they return an error.
//
// Cloudflare: "SQLite-backed Durable Object Storage".
type Storage struct {
	s author.Storage
	i author.Instance
}

// ListOptions select keys. The zero value selects all. Keys are ordered by
// their bytes.
type ListOptions struct {
	Start      string // the first key, or the one after it that there is
	StartAfter string // the key before the first; not together with Start
	End        string // the key after the last; empty: no end
	Prefix     string // which every key has
	Reverse    bool   // the last key first
	Limit      int    // how many at most; 0: all
}

// Entry is a key with its value.
type Entry[T any] struct {
	Key   string
	Value T
}

// Get returns the bytes that Put has stored under a key; ok is false if there
// are none. JavaScript's ArrayBuffers and views of them are bytes; other values
// are an error, see the function Get.
func (s *Storage) Get(key string) (value []byte, ok bool, err error) {
	ok, err = s.s.Get(key, &value)
	return value, ok, err
}

// Put stores bytes under a key. Key and value have 2 MiB together. JavaScript
// reads them as a Uint8Array.
func (s *Storage) Put(key string, value []byte) error { return s.s.Put(key, value) }

// Delete deletes keys and returns how many of them were there.
func (s *Storage) Delete(keys ...string) (int, error) { return s.s.Delete(keys) }

// List returns keys and their bytes in order. It reads as it goes: what is
// written meanwhile may be seen. An error is the last thing it returns.
func (s *Storage) List(o ListOptions) iter.Seq2[Entry[[]byte], error] {
	return List[[]byte](s, o)
}

// DeleteAll deletes every key and every table, and the alarm.
func (s *Storage) DeleteAll() error { return s.s.DeleteAll() }

// Get reads the value of a key, which may be of any type that docs/go.md lists;
// ok is false if there is none. A value that does not fit into T is an error.
func Get[T any](s *Storage, key string) (value T, ok bool, err error) {
	ok, err = s.s.Get(key, &value)
	return value, ok, err
}

// Put stores a value under a key in the form of JavaScript's structured clone,
// so that objects written in JavaScript read it as well: docs/go.md says what
// becomes of each Go type. Key and value have 2 MiB together.
func Put[T any](s *Storage, key string, value T) error { return s.s.Put(key, value) }

// List is Storage.List for values of any type that Put can store.
func List[T any](s *Storage, o ListOptions) iter.Seq2[Entry[T], error] {
	return func(yield func(Entry[T], error) bool) {
		stopped := false
		var broken error
		err := s.s.List(author.Range(o), func(key string, into func(any) error) bool {
			e := Entry[T]{Key: key}
			if broken = into(&e.Value); broken != nil {
				return false
			}
			stopped = !yield(e, nil)
			return !stopped
		})
		if err == nil {
			err = broken
		}
		if err != nil && !stopped {
			yield(Entry[T]{}, err)
		}
	}
}

// Alarm returns when the object is to be woken, and the zero time if it is not:
// also while its Alarm runs, unless that has set a new one.
//
// Cloudflare: "Alarms", getAlarm.
func (s *Storage) Alarm() (time.Time, error) { return s.s.Alarm() }

// SetAlarm has the object woken at a time, to the millisecond, in place of any
// alarm it had; a time that has passed means now, and the zero time none. The
// object needs an AlarmHandler. Times after the year 2189 are an error.
//
// Cloudflare: "Alarms", setAlarm.
func (s *Storage) SetAlarm(at time.Time) error { return s.s.SetAlarm(at) }

// DeleteAlarm forgets the alarm. It does not stop one that runs.
//
// Cloudflare: "Alarms", deleteAlarm.
func (s *Storage) DeleteAlarm() error { return s.s.SetAlarm(time.Time{}) }

// Transaction runs f and returns its error. If that is not nil, or if f panics,
// what f has written is undone. Transactions nest. f is not to yield.
//
// Cloudflare: "SQLite-backed Durable Object Storage", transactionSync.
func (s *Storage) Transaction(f func() error) error { return s.s.Transaction(f) }

// Sync commits what the handler has written so far and waits until all that the
// object has committed is on disk, or ctx ends. Sending needs no Sync: it waits
// by itself.
func (s *Storage) Sync(ctx context.Context) error { return s.s.Sync(ctx) }

// SQL returns the tables of the database.
func (s *Storage) SQL() *SQL { return &SQL{s.s} }

// CurrentBookmark returns a text that names the state of this storage, with what
// the handler has written so far; it commits that and waits until it is on disk,
// as Sync does. Later bookmarks are greater texts. Not within Transaction.
//
// Cloudflare: "SQLite-backed Durable Object Storage", PITR API.
func (s *Storage) CurrentBookmark(ctx context.Context) (string, error) {
	return s.i.Past(ctx, author.PastQuestion{What: author.BookmarkOfNow})
}

// BookmarkForTime returns the bookmark of the state that this storage had at a
// time. It is an error if history does not go back so far.
func (s *Storage) BookmarkForTime(ctx context.Context, t time.Time) (string, error) {
	return s.i.Past(ctx, author.PastQuestion{What: author.BookmarkOfTime, Time: t})
}

// RestoreBookmark has this storage, with its alarm, put back to what it was at a
// bookmark when the object next begins; until then it goes on as it is. So
// State.Abort usually follows. The bookmark that it returns names the state just
// before, and undoes the restore. The order outlives the process.
func (s *Storage) RestoreBookmark(ctx context.Context, bookmark string) (undo string, err error) {
	return s.i.Past(ctx, author.PastQuestion{What: author.RestoreNext, Bookmark: bookmark})
}
