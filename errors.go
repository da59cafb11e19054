package dormouse

// Error is what may cross from one object to another, to a guest or to a
// client: it says what an author of objects may know. What caused it stays
// behind, in the log of the side where it happened.
type Error struct {
	Name    string // "TypeError"; empty means "Error"
	Message string
	Stack   string // of the author's code; never sent to another object

	Remote      bool // thrown by the code of the object that was called
	Retryable   bool // the call may be tried again: a disconnect
	Overloaded  bool // the call must not be tried again soon
	ObjectReset bool // the instance that was called is gone

	Extra []byte // V8 serialisation of own properties and cause, or nil
}

func (e *Error) Error() string {
	if e.Name == "" || e.Name == "Error" {
		return e.Message
	}
	return e.Name + ": " + e.Message
}

// Limits that hold when nobody set others.
const (
	MaxMessage          = 32 << 20 // bytes of one WebSocket message, received
	MaxTags             = 10       // of one socket
	MaxTag              = 256      // bytes of one tag
	MaxAutoResponse     = 2048     // bytes of the request, and of the response
	MaxSocketsPerObject = 32768
	MaxName             = 1024 // bytes of a name that the object itself learns
)
