package nodeguest

import "github.com/dormouse-dev/dormouse/internal/guest/guestwire"

// about takes a frame that is about the next one.
func (p *Process) about(t guestwire.Type, body []byte) error {
	switch t {
	case guestwire.Traced:
		context, err := guestwire.ReadTraced(body)
		if err == nil {
			p.host.InTrace(p, context)
		}
		return err
	case guestwire.Blame:
		o, event, err := guestwire.ReadEventOf(t, body)
		if err == nil {
			p.host.Blamed(p, o, event)
		}
		return err
	case guestwire.DirectCause:
		o, event, err := guestwire.ReadEventOf(t, body)
		if err == nil {
			p.host.CausedDirectly(p, o, event)
		}
		return err
	default:
		session, number, err := guestwire.ReadCause(body)
		if err == nil {
			p.host.Caused(p, session, number)
		}
		return err
	}
}
