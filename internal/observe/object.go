package observe

import "log/slog"

// Object is who a line of the log is about. In the log it is a word: the name
// of the object if it is known, or else its id.
type Object struct{ ID, Name string }

// LogValue implements slog.LogValuer.
func (o Object) LogValue() slog.Value { return slog.StringValue(o.String()) }

func (o Object) String() string {
	if o.Name != "" {
		return o.Name
	}
	return o.ID
}
