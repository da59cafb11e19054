package tail_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/slogtest"

	"github.com/dormouse-dev/dormouse/internal/observe"
	"github.com/dormouse-dev/dormouse/internal/observe/tail"
)

func TestHubPassesTheContractOfHandlers(t *testing.T) {
	var out bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.Reset()
		return tail.New(slog.NewJSONHandler(&out, nil))
	}, func(t *testing.T) map[string]any {
		var m map[string]any
		if err := json.Unmarshal(out.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		return m
	})
}

func attrs(class, id, name string) []any {
	return []any{"class", class, slog.Any("object", observe.Object{ID: id, Name: name})}
}

func drain(x *tail.Listener) (list []tail.Line) {
	for len(x.Lines()) > 0 {
		list = append(list, <-x.Lines())
	}
	return list
}

func TestListenersGetWhatTheyWant(t *testing.T) {
	for _, x := range []struct {
		filter tail.Filter
		want   string
	}{
		{tail.Filter{}, "early wake other"},
		{tail.Filter{Object: "lobby"}, "early wake"},
		{tail.Filter{Object: "01"}, "early wake"},
		{tail.Filter{Class: "Cell"}, "other"},
		{tail.Filter{Object: "lobby", Level: slog.LevelDebug}, "early trace wake"},
		{tail.Filter{Level: slog.LevelError}, ""},
	} {
		var out bytes.Buffer
		h := tail.New(slog.NewTextHandler(&out, nil))
		log := slog.New(h)
		log.Info("early", attrs("Room", "01", "lobby")...)
		log.Debug("not kept", attrs("Room", "01", "lobby")...)
		l, err := h.Listen(x.filter, 10)
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("trace", attrs("Room", "01", "lobby")...)
		log.Info("wake", append(attrs("Room", "01", "lobby"), "guest", 3)...)
		log.Info("other", attrs("Cell", "02", "")...)
		var texts []string
		for _, line := range drain(l) {
			texts = append(texts, line.Text)
			if line.Text == "wake" && (line.Object != "lobby" || line.ID != "01" || line.More["guest"] != int64(3)) {
				t.Errorf("got %+v", line)
			}
		}
		l.Close()
		if got := strings.Join(texts, " "); got != x.want {
			t.Errorf("%+v got %q, want %q", x.filter, got, x.want)
		}
		if strings.Contains(out.String(), "trace") {
			t.Error("a listener has changed what is logged")
		}
		if h.Enabled(t.Context(), slog.LevelDebug) {
			t.Error("debug is still wanted though nobody listens")
		}
	}
}

func TestSlowListenerLosesAndIsTold(t *testing.T) {
	h := tail.New(slog.DiscardHandler)
	l, err := h.Listen(tail.Filter{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	log := slog.New(h)
	const n = 3000
	for i := range n {
		log.Info(fmt.Sprint(i))
	}
	got := drain(l)
	if lost := l.Lost(); len(got)+lost != n || lost == 0 || got[0].Text != "0" {
		t.Errorf("got %d lines and %d lost of %d", len(got), lost, n)
	}
	if l.Lost() != 0 {
		t.Error("told twice")
	}
}

func TestListenersHaveABound(t *testing.T) {
	h := tail.New(slog.DiscardHandler)
	for range tail.MaxListeners {
		if _, err := h.Listen(tail.Filter{}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Listen(tail.Filter{}, 0); err == nil {
		t.Error("one too many may listen")
	}
}

func TestServeStreamsLines(t *testing.T) {
	h := tail.New(slog.DiscardHandler)
	log := slog.New(h)
	log.Warn("before", "reason", "x")
	s := httptest.NewServer(h)
	defer s.Close()
	resp, err := http.Get(s.URL + "?past=1&level=warn")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	read := func() (l tail.Line) {
		t.Helper()
		if !in.Scan() {
			t.Fatal(in.Err())
		}
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			t.Fatalf("%q: %v", in.Text(), err)
		}
		return l
	}
	if l := read(); l.Text != "before" || l.More["reason"] != "x" || l.Level != "warn" {
		t.Errorf("got %+v", l)
	}
	log.Info("not this")
	log.Error("live")
	if l := read(); l.Text != "live" {
		t.Errorf("got %+v", l)
	}
	bad, err := http.Get(s.URL + "?level=loud")
	if err != nil {
		t.Fatal(err)
	}
	bad.Body.Close()
	if bad.StatusCode != http.StatusBadRequest {
		t.Errorf("got %d for a bad level", bad.StatusCode)
	}
}
