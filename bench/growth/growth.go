// Package growth asks: what does a socket cost, and a message, among a thousand
// and among a million?
package growth

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

// Name is that of the question with so many sockets.
func Name(sockets int) string { return fmt.Sprintf("growth, %d sockets in memory", sockets) }

// Alone is the question in which each object has one socket.
const Alone = "growth, 100000 objects in memory, a socket each"

// Groups fill a shard over the transport in memory, with the real registry and a
// guest that echoes at once: with a hundred sockets for each object, and with one.
// All objects sleep when bytes are counted, and all are awake when messages are,
// each on a socket chosen by chance. A message's CPU is that of the whole process but
// for the thread in which the clients write and read, whose part is told beside it.
func Groups() []contest.Group {
	many, alone := contest.Group{Name: "growth"}, contest.Group{Name: "growth"}
	for _, n := range []int{1000, 10_000, 100_000, 1_000_000} {
		many.Questions = append(many.Questions, question(Name(n), n, 100, "bytes per hibernated socket"))
	}
	alone.Questions = append(alone.Questions, question(Alone, 100_000, 1, "bytes per hibernated object and its socket"))
	return []contest.Group{many, alone}
}

func question(name string, sockets, each int, bytes string) contest.Question {
	return contest.Question{
		Name:    name,
		Asks:    "What do a socket and a message cost among so many?",
		Metrics: []contest.Metric{{Name: "bytes", Unit: bytes}, contest.CPU, {Name: "client", Unit: "µs CPU of the client each"}, {Name: "open", Unit: "µs CPU per new socket"}},
		Peers:   []string{peers.InMemory},
		Rounds:  1,
		Ask:     func(t *contest.Target) (contest.Sample, error) { return grow(t, sockets, each) },
	}
}

func grow(t *contest.Target, n, each int) (contest.Sample, error) {
	res, err := http.Get(fmt.Sprintf("http://%s/grow?sockets=%d&each=%d", t.Server.Addr, n, each))
	if err != nil {
		return contest.Sample{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return contest.Sample{}, err
	}
	if res.StatusCode != http.StatusOK {
		return contest.Sample{}, fmt.Errorf("%d sockets: %s", n, text)
	}
	var m struct{ Bytes, Message, Client, Open float64 }
	if err := json.Unmarshal(text, &m); err != nil {
		return contest.Sample{}, err
	}
	return contest.Sample{Values: map[string]float64{"bytes": m.Bytes, contest.CPU.Name: m.Message, "client": m.Client, "open": m.Open}}, nil
}
