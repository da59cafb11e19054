package guest

// Ledger is the account of the events that one activation was given: which of
// them an instance that ends, or a guest that dies, had not begun, and so may be
// given to the next one; and which had begun and were never finished. A guest that
// can be lost with what it holds keeps one for each activation.
//
// Events are numbered as Progress counts them, from 1; the numbers wrap.
type Ledger interface {
	// Next says that what the guest is told next is this event, and of a message
	// which one of its socket's it is (0: that is not known).
	Next(event, message uint32)
	// Begun says that the events up to this one have begun.
	Begun(event uint32)
	// Close ends the account, because the activation has ended. It returns the
	// events of sockets that had not begun, oldest first, owned; after Remains of
	// the guest there are none.
	Close() []Event
}

// Bookkeeper is a Guest that keeps a Ledger for each activation.
type Bookkeeper interface {
	// Ledger opens that of an activation, before Start.
	Ledger(Object) Ledger
}
