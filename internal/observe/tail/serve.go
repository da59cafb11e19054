package tail

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"
)

// beat is how often something is written to a listener who has nothing to read,
// so that one that is gone is noticed.
const beat = 10 * time.Second

// ServeHTTP streams lines as JSON, one a line, until the reader leaves: those of
// the parameters class, object and level, beginning with up to "past" old ones.
// {"lost": n} stands where a slow reader has missed n; an empty line means that
// nothing has happened for a while.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, past, err := parse(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	x, err := h.Listen(f, past)
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	defer x.Close()
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := http.NewResponseController(w)
	say := func(v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			b, _ = json.Marshal(Line{Time: time.Now(), Level: "warn", Text: "a line cannot be written as JSON"})
		}
		_, err = w.Write(append(b, '\n'))
		return err
	}
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		out.Flush() // a client that has gone is met by the next write
		var err error
		select {
		case l := <-x.Lines():
			err = say(l)
			for more := len(x.Lines()); err == nil && more > 0; more-- { // one write for many
				err = say(<-x.Lines())
			}
		case <-tick.C:
			_, err = w.Write([]byte("\n"))
		case <-r.Context().Done():
			return
		}
		if n := x.Lost(); err == nil && n > 0 {
			err = say(map[string]int{"lost": n})
		}
		if err != nil {
			return
		}
	}
}

func parse(r *http.Request) (f Filter, past int, err error) {
	q := r.URL.Query()
	f = Filter{Class: q.Get("class"), Object: q.Get("object")}
	if s := q.Get("level"); s != "" {
		if err := f.Level.UnmarshalText([]byte(s)); err != nil {
			return f, 0, fmt.Errorf("level must be debug, info, warn or error, not %q", s)
		}
	}
	if s := q.Get("past"); s != "" {
		if past, err = strconv.Atoi(s); err != nil || past < 0 || past > recent {
			return f, 0, fmt.Errorf("past must be a number from 0 to %d", recent)
		}
	}
	return f, past, nil
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

var _ slog.Handler = (*Hub)(nil)
