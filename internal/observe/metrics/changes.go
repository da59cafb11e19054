package metrics

import "time"

// Changes are deploys and upgrades, of all the processes that have handed over to
// this one and of itself.
type Changes struct {
	Deploys, Upgrades       Deeds
	Moved, Told, Cut        uint64 // sockets, sockets, and upgrades
	Silence, LongestSilence time.Duration
}

// Deeds is what was tried: how often, and how long those took that were done.
type Deeds struct {
	Done, Failed  uint64
	Took, Longest time.Duration
}

var (
	deploys        = describe("deploys_total", "Deploys and rollbacks by outcome: done, failed (the version before ran on).", "outcome")
	deployTook     = describe("deploy_seconds_total", "Time that deploys and rollbacks took until the version served.")
	deployMax      = describe("deploy_max_seconds", "The longest of them.")
	upgrades       = describe("upgrades_total", "Upgrades of Dormouse by outcome: done, failed (the old process went on).", "outcome")
	upgradeTook    = describe("upgrade_seconds_total", "Time that upgrades took, from the start of the new process.")
	upgradeMax     = describe("upgrade_max_seconds", "The longest of them.")
	upgradeSilence = describe("upgrade_silence_seconds_total", "Time in which upgrades did not hear clients.")
	upgradeSilent  = describe("upgrade_silence_max_seconds", "The longest of these silences.")
	upgradeSockets = describe("upgrade_sockets_total", "Sockets by what upgrades did with them: moved, or told 1012 because they cannot be.", "outcome")
	upgradesCut    = describe("upgrades_cut_total", "Upgrades that cut code which did not end in time.")
)

func (w writer) changes(c *Changes) {
	w.count(deploys, c.Deploys.Done, "done")
	w.count(deploys, c.Deploys.Failed, "failed")
	w.sum(deployTook, c.Deploys.Took)
	w.gauge(deployMax, c.Deploys.Longest.Seconds())
	w.count(upgrades, c.Upgrades.Done, "done")
	w.count(upgrades, c.Upgrades.Failed, "failed")
	w.sum(upgradeTook, c.Upgrades.Took)
	w.gauge(upgradeMax, c.Upgrades.Longest.Seconds())
	w.sum(upgradeSilence, c.Silence)
	w.gauge(upgradeSilent, c.LongestSilence.Seconds())
	w.count(upgradeSockets, c.Moved, "moved")
	w.count(upgradeSockets, c.Told, "told")
	w.count(upgradesCut, c.Cut)
}
