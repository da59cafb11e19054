package goworker

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/dormouse-dev/dormouse"
)

var bookmark = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$`)

// pastWrite stores a number as a value and as a row, with an alarm in as many
// hours. See worker/src/probes/past.ts.
func pastWrite(t *asked) error {
	var n int
	if _, err := fmt.Sscan(t.arg(0), &n); err != nil {
		return err
	}
	s := t.state.Storage()
	if err := dormouse.Put(s, "last", n); err != nil {
		return err
	}
	if _, err := s.SQL().Exec("CREATE TABLE IF NOT EXISTS numbers (n INTEGER PRIMARY KEY)"); err != nil {
		return err
	}
	if _, err := s.SQL().Exec("INSERT INTO numbers VALUES (?)", n); err != nil {
		return err
	}
	return s.SetAlarm(time.Now().Add(time.Duration(n) * time.Hour))
}

func pastRead(t *asked) error {
	s := t.state.Storage()
	n, ok, err := dormouse.Get[int](s, "last")
	if err != nil {
		return err
	}
	last := "undefined"
	if ok {
		last = fmt.Sprint(n)
	}
	t.say("last " + last)
	rows, err := pastRows(s.SQL())
	if err != nil {
		return err
	}
	t.say("rows [" + strings.Join(rows, ", ") + "]")
	at, err := s.Alarm()
	if err != nil {
		return err
	}
	alarm := "null"
	if !at.IsZero() {
		alarm = fmt.Sprintf("in %.0f h", math.Round(time.Until(at).Hours()))
	}
	t.say("alarm " + alarm)
	return nil
}

// pastRows are what pastWrite has written; none, too, where it never was.
func pastRows(q *dormouse.SQL) (list []string, err error) {
	var tables int
	if err := q.QueryRow("SELECT count(*) FROM sqlite_master WHERE name = 'numbers'").Scan(&tables); err != nil || tables == 0 {
		return nil, err
	}
	rows, err := q.Query("SELECT n FROM numbers ORDER BY n")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		list = append(list, fmt.Sprint(n))
	}
	return list, rows.Err()
}

// pastKeep keeps the bookmark of now under a name.
func pastKeep(t *asked) error {
	mark, err := t.state.Storage().CurrentBookmark(t.ctx)
	if err == nil {
		t.book.keep(t.arg(0), mark)
	}
	return err
}

// pastBack has the object go back when it next begins; what undoes that is kept
// as "undo".
func pastBack(t *asked) error {
	undo, err := t.state.Storage().RestoreBookmark(t.ctx, t.book.kept(t.arg(0)))
	if err != nil {
		return err
	}
	t.book.keep("undo", undo)
	said := show(undo)
	if bookmark.MatchString(undo) {
		said = "a bookmark"
	}
	t.say("onNextSessionRestoreBookmark: " + said)
	return nil
}
