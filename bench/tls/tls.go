// Package tls asks: what is left of an echo's speed behind a proxy that ends
// TLS?
package tls

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/url"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/load"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

const sockets = 20

// Group is 20 sockets with one message of 64 bytes on the way in each, from 20
// goroutines: TLS makes the load and the proxy heavier than both servers, so the
// CPU of the servers themselves tells more than the rate.
func Group() contest.Group {
	return contest.Group{Name: "tls", Questions: []contest.Question{{
		Name:    fmt.Sprintf("echo behind TLS, %d × 1 in flight", sockets),
		Asks:    "How many messages a second does one object echo behind a TLS proxy?",
		Metrics: []contest.Metric{contest.Rate, contest.CPU, contest.P50, contest.P99},
		Peers:   []string{peers.TLSDormouse, peers.TLSWorkerd},
		Rounds:  3,
		Ask: func(t *contest.Target) (contest.Sample, error) {
			return t.Loop(func(w load.Window) (*load.Result, error) { return run(t.Server.Addr, w) })
		},
	}}}
}

// run drives all sockets and merges what they saw.
func run(addr string, w load.Window) (*load.Result, error) {
	ends := time.Now().Add(w.Warm)
	results := make(chan load.Histogram, sockets)
	errs := make(chan error, sockets)
	begin := make(chan struct{})
	for range sockets {
		go func() {
			h, err := one(addr, ends, w.Measure, begin)
			results <- h
			errs <- err
		}()
	}
	time.Sleep(time.Until(ends))
	w.Begin()
	began := time.Now()
	close(begin)
	r := &load.Result{}
	for range sockets {
		h := <-results
		r.Latency.Merge(&h)
		if err := <-errs; err != nil {
			return nil, err
		}
	}
	r.Elapsed = time.Since(began)
	w.End()
	r.Messages = int(r.Latency.Count())
	return r, nil
}

// one is a socket that echoes until the end; what is before begin is not
// counted.
func one(addr string, warm time.Time, measure time.Duration, begin <-chan struct{}) (h load.Histogram, err error) {
	raw, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) // the proxy's certificate is a moment old
	if err != nil {
		return h, err
	}
	defer raw.Close()
	raw.SetDeadline(warm.Add(measure + 20*time.Second))
	if _, _, err := (ws.Dialer{}).Upgrade(raw, mustParse("ws://"+addr+"/ws/Echo/room")); err != nil {
		return h, err
	}
	payload := bytes.Repeat([]byte("m"), 64)
	echo := func() error {
		if err := wsutil.WriteClientText(raw, payload); err != nil {
			return err
		}
		got, err := wsutil.ReadServerText(raw)
		if err == nil && !bytes.Equal(got, payload) {
			err = fmt.Errorf("want the message back, got %q", got)
		}
		return err
	}
	for time.Now().Before(warm) {
		if err := echo(); err != nil {
			return h, err
		}
	}
	<-begin
	for end := time.Now().Add(measure); time.Now().Before(end); {
		sent := time.Now()
		if err := echo(); err != nil {
			return h, err
		}
		h.Add(time.Since(sent), 1)
	}
	return h, nil
}

func mustParse(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err) // it is made of an address that has been dialled
	}
	return u
}
