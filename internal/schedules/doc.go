// Package schedules has no code but tests: random schedules of everything that
// can happen to objects and their sockets, run through the real host, registry
// and WebSocket protocol in virtual time, and checked against a model of what
// clients, handlers and lists must see.
//
// A schedule is a seed. DORMOUSE_SEED=n runs that one and prints its steps;
// DORMOUSE_SCHEDULES=n runs so many instead of 10,000. A schedule that fails is
// made shorter, as long as it fails, before it is shown.
package schedules
