package sqlitestore

import (
	"errors"
	"time"

	"github.com/dormouse-dev/dormouse/internal/guest/goguest"
)

// Rows of the table _cf_METADATA, see docs/storage.md.
const (
	alarmRow = 1   // as workerd has it: nanoseconds since 1970, or NULL
	nameRow  = 100 // the name behind the id of an object that has had an alarm
)

const createMetadata = `CREATE TABLE IF NOT EXISTS _cf_METADATA (
        key INTEGER PRIMARY KEY,
        value BLOB
      )`

var (
	errNoHandler = errors.New("the object's class needs the method of AlarmHandler to set an alarm")
	errTooLate   = errors.New("alarms after the year 2189 are not supported")
)

// stored returns the alarm in the database, in milliseconds; 0: none.
func (s *Store) stored() (int64, error) {
	value, err := s.meta(alarmRow)
	n, _ := value.(int64)
	return n / 1e6, err
}

// meta reads a row of _cf_METADATA; nil: there is none.
func (s *Store) meta(row int) (any, error) {
	h, err := s.reading()
	if err != nil {
		return nil, err
	}
	if there, err := s.table(h, &s.hasMeta, "_cf_METADATA"); err != nil || !there {
		return nil, err
	}
	rows, err := h.ask("SELECT value FROM _cf_METADATA WHERE key = ?", row)
	if err != nil || len(rows) == 0 {
		return nil, s.check(err)
	}
	return rows[0][0], nil
}

func when(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// Alarm implements author.Storage.
func (s *Store) Alarm() (time.Time, error) {
	if err := s.enter(); err != nil {
		return time.Time{}, err
	}
	defer s.leave()
	if s.hidden {
		return time.Time{}, nil
	}
	ms, err := s.stored()
	return when(ms), err
}

// SetAlarm implements author.Storage.
func (s *Store) SetAlarm(at time.Time) error {
	switch {
	case at.IsZero():
	case !s.hooks.HasAlarm():
		return errNoHandler
	case !at.Before(latestAlarm):
		return errTooLate
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if at.IsZero() {
		return s.setAlarm(0)
	}
	return s.setAlarm(max(1, at.UnixMilli(), time.Now().UnixMilli()))
}

func (s *Store) setAlarm(ms int64) error {
	if ms == 0 {
		if there, err := s.exists(); err != nil || !there {
			return err
		}
	}
	if err := s.noteAlarm(); err != nil {
		return err
	}
	h, err := s.writing()
	if err != nil {
		return err
	}
	there, err := s.table(h, &s.hasMeta, "_cf_METADATA")
	if err != nil || !there && ms == 0 {
		return err
	}
	if !there {
		if _, err := h.ask(createMetadata); err != nil {
			return s.check(err)
		}
		s.hasMeta = present
	}
	var value any
	if ms != 0 {
		value = ms * 1e6
		s.hidden = false
	}
	if err := s.setMeta(h, alarmRow, value); err != nil || ms == 0 {
		return err
	}
	// What wakes an object for its alarm does not know its name.
	name, ok := s.hooks.Name()
	if kept, has, err := s.name(); err != nil || !ok || has && kept == name {
		return err
	}
	return s.setMeta(h, nameRow, name)
}

func (s *Store) setMeta(h *handle, row int, value any) error {
	_, err := h.ask("INSERT INTO _cf_METADATA VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", row, value)
	return s.check(err)
}

// Name implements goguest.Store.
func (s *Store) Name() (name string, ok bool, err error) {
	if err := s.enter(); err != nil {
		return "", false, err
	}
	defer s.leave()
	return s.name()
}

func (s *Store) name() (name string, ok bool, err error) {
	value, err := s.meta(nameRow)
	name, ok = value.(string)
	return name, ok, err
}

// noteAlarm remembers the alarm that is committed, before it is moved.
func (s *Store) noteAlarm() (err error) {
	if !s.moved {
		if s.alarmBefore, err = s.stored(); err == nil {
			s.moved = true
		}
	}
	return err
}

// alarmMoved says how the transaction moves the alarm.
func (s *Store) alarmMoved() (goguest.Commit, error) {
	c := goguest.Commit{Wrote: true}
	if !s.moved {
		return c, nil
	}
	now, err := s.stored()
	if err != nil {
		return c, err
	}
	c.Alarm = when(now)
	switch {
	case now == s.alarmBefore:
	case now != 0 && (s.alarmBefore == 0 || now < s.alarmBefore):
		c.Moved = goguest.Earlier
	default:
		c.Moved = goguest.Later
	}
	return c, nil
}

// StartAlarm implements goguest.Store.
func (s *Store) StartAlarm(now time.Time) (due bool, next time.Time, err error) {
	if err := s.enter(); err != nil {
		return false, time.Time{}, err
	}
	defer s.leave()
	ms, err := s.stored()
	if err != nil || ms == 0 || ms > now.UnixMilli() {
		return false, when(ms), err
	}
	s.hidden = true
	return true, when(ms), nil
}

// FinishAlarm implements goguest.Store.
func (s *Store) FinishAlarm(done bool) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if !s.hidden {
		return nil
	}
	if done {
		if err := s.setAlarm(0); err != nil {
			return err
		}
	}
	s.hidden = false
	return nil
}
