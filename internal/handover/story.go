package handover

import "time"

// Story is what has happened to the code and to the processes of a server since
// the first of them started. Each process hands it to the next one, so that what
// is counted is not forgotten by what is counted.
type Story struct {
	Deploys  Deeds  `json:"deploys"`
	Upgrades Deeds  `json:"upgrades"`
	Moved    uint64 `json:"moved"` // sockets that upgrades have taken along
	Told     uint64 `json:"told"`  // and those that could not be, and were told 1012
	Cut      uint64 `json:"cut"`   // upgrades that have cut something
	// Silence is for how long clients were not heard in all upgrades together, and
	// LongestSilence in one.
	Silence        time.Duration `json:"silence"`
	LongestSilence time.Duration `json:"longest_silence"`
}

// Deeds counts what was tried.
type Deeds struct {
	Done   uint64 `json:"done"`
	Failed uint64 `json:"failed"`
	// Took is how long all took that were done, and Longest one of them.
	Took    time.Duration `json:"took"`
	Longest time.Duration `json:"longest"`
}

// Add counts one more.
func (d *Deeds) Add(took time.Duration, err error) {
	if err != nil {
		d.Failed++
		return
	}
	d.Done++
	d.Took += took
	d.Longest = max(d.Longest, took)
}

// Silent counts a silence of clients.
func (s *Story) Silent(d time.Duration) {
	s.Silence += d
	s.LongestSilence = max(s.LongestSilence, d)
}

// Farewell is what a predecessor says with "yours".
type Farewell struct {
	Story Story `json:"story"`
	// Since is when the clients were heard last.
	Since time.Time `json:"since"`
}

// Arrival is what a successor says with "serving".
type Arrival struct {
	Opened   time.Duration `json:"opened"`   // how long it took to open the journal,
	Restored time.Duration `json:"restored"` // and to have all objects and sockets
	Silence  time.Duration `json:"silence"`  // of clients, altogether
}
