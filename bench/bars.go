package main

import (
	"github.com/dormouse-dev/dormouse/bench/contest"
	"github.com/dormouse-dev/dormouse/bench/growth"
	"github.com/dormouse-dev/dormouse/bench/peers"
)

const (
	echoOne  = "echo, 100 × 1 in flight"
	echoMany = "echo, 100 × 32 in flight"
	openName = "echo, open loop, 100 sockets, 5000 messages/s"
	chatName = "durable chat, 50 rooms × 20 sockets"
	wakeName = "wake, first reply of a hibernated object"
)

// bars are what speed and density are measured by.
var bars = []contest.Bar{
	against(peers.Workerd, "echo 100 × 1", echoOne, "rate", 3, 0),
	against(peers.WS, "echo 100 × 1, `ws` on the same Node", echoOne, "rate", 1, 0),
	against(peers.Workerd, "echo 100 × 32", echoMany, "rate", 25, 0),
	against(peers.Workerd, "CPU per message, 100 × 1", echoOne, "cpu", 0, 0.3),
	against(peers.Workerd, "round trip of one socket, p50", "round trip, 1 socket", "p50", 0, 0.8),
	against(peers.Workerd, "broadcast to 200", "broadcast, 1 → 200", "rate", 5, 0),
	against(peers.Workerd, "broadcast to 1,000", "broadcast, 1 → 1000", "rate", 5, 0),
	against(peers.Workerd, "durable chat", chatName, "rate", 5, 0),
	against(peers.WS, "durable chat, `ws` + SQLite FULL", chatName, "rate", 5, 0),
	against(peers.Workerd, "auto-response", "auto-response, 100 sockets × 32 in flight", "rate", 10, 0),
	against(peers.Workerd, "connects", "connects", "rate", 3, 0),
	against(peers.Workerd, "calls of 1 kB, one in flight", "calls, 1 × 1 kB in flight", "rate", 1, 0),
	against(peers.Workerd, "calls of 1 kB, 64 in flight", "calls, 64 × 1 kB in flight", "rate", 1, 0),
	against(peers.Workerd, "calls of 1 MB", "calls, 1 × 1 MB in flight", "rate", 1, 0),
	against(peers.Workerd, "HTTP through Worker and object", "HTTP, 50 connections × 1 request", "rate", 1, 0),
	against(peers.Workerd, "HTTP through a Worker", "HTTP, 50 connections × 1 request, the Worker alone", "rate", 1, 0),
	{Says: "memory of an idle hibernated socket", Question: "memory of an idle socket, hibernated", Metric: "bytes", Of: peers.Dormouse, Most: 1500, Unit: "bytes"},
	against(peers.Workerd, "wake, p50", wakeName, "p50", 0, 1),
	{Says: "memory of a hibernated object and its socket, of 100,000 in memory", Question: growth.Alone, Metric: "bytes", Of: peers.InMemory, Most: 3000, Unit: "bytes"},
	{Says: "cost per message at 1,000,000 sockets, of that at 10,000", Question: growth.Name(1_000_000), Metric: "cpu", Of: peers.InMemory, Against: peers.InMemory, AgainstQuestion: growth.Name(10_000), Most: 1.2},
	against(peers.BareEpoll, "echo 100 × 32 through Node, of the bare loop", echoMany, "rate", 0.5, 0),
	against(peers.BareEpoll, "echo 100 × 1 through Node, of the bare loop", echoOne, "rate", 0.5, 0),
	{Says: "echo 100 × 32 of objects in Go, of the bare loop", Question: echoMany, Metric: "rate", Of: peers.GoObjects, Against: peers.BareEpoll, Least: 0.7},
	{Says: "echo 100 × 1 of objects in Go, of the bare loop", Question: echoOne, Metric: "rate", Of: peers.GoObjects, Against: peers.BareEpoll, Least: 0.7},
}

func against(peer, says, question, metric string, least, most float64) contest.Bar {
	if peer == peers.Workerd {
		says += ", `workerd`"
	}
	return contest.Bar{Says: says, Question: question, Metric: metric, Of: peers.Dormouse, Against: peer, Least: least, Most: most}
}
