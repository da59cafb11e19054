package loop

import "time"

// NewPortable returns a loop that knows no descriptors. It works on every
// system and inside a testing/synctest bubble.
func NewPortable() *Loop {
	return newLoop(&channelPoller{woken: make(chan struct{}, 1)})
}

// channelPoller waits for nothing but a wake-up and the time.
type channelPoller struct {
	woken chan struct{} // holds a wake-up that has not been noticed
	timer *time.Timer   // reused; nil until first needed
}

func (p *channelPoller) ready() bool { return false }

func (p *channelPoller) stop() {}

func (p *channelPoller) poll(wait time.Duration) {
	if wait < 0 {
		<-p.woken
		return
	}
	if p.timer == nil {
		p.timer = time.NewTimer(wait)
	} else {
		p.timer.Reset(wait)
	}
	select {
	case <-p.woken:
	case <-p.timer.C:
	}
	p.timer.Stop()
}

func (p *channelPoller) wake() {
	select {
	case p.woken <- struct{}{}:
	default: // the wake-up that is there will do
	}
}

func (p *channelPoller) close() {}
