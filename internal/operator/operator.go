// Package operator does what an operator asks of a data folder: through the
// admin API of the server that runs on it, or on the files when none does. It
// knows both ways and which one to take, and never sees a command line.
package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/browse"
)

// Store is the objects of a data folder.
type Store interface {
	// Namespaces lists the namespaces whose objects there may be.
	Namespaces(context.Context) ([]dormouse.Namespace, error)
	// Stored lists the objects that have databases.
	Stored(context.Context, browse.Query) (*browse.Page, error)

	// What follows is about one object. A missing database is
	// browse.ErrNoData.
	Query(ctx context.Context, o Object, sql string, limit int) (*browse.Rows, error)
	Exec(ctx context.Context, o Object, sql string, limit int) (*browse.Rows, error)
	List(ctx context.Context, o Object, r browse.Range) (*browse.Values, error)
	Get(ctx context.Context, o Object, key string) (*browse.Value, error) // nil: there is none
	Put(ctx context.Context, o Object, key string, json []byte) error
	Delete(ctx context.Context, o Object, key string) (was bool, err error)

	// History lists the last moments of an object's history.
	History(ctx context.Context, o Object, limit int) (*browse.History, error)
	// PutBack puts an object back to an earlier state.
	PutBack(ctx context.Context, o Object, to browse.PastPoint) (*browse.PutBack, error)

	// Backup writes a backup of the objects that w names, as a tar stream.
	Backup(ctx context.Context, to io.Writer, which browse.Selection) error

	Close() error
}

// Object names an object.
type Object struct {
	dormouse.Key
	Name *string // if it was named by it
}

// Find returns the object that somebody means by a namespace, or the name of a
// class, and by an id or "name:" and a name.
func Find(ctx context.Context, s Store, namespace, id string) (Object, error) {
	n, err := FindNamespace(ctx, s, namespace)
	if err != nil {
		return Object{}, err
	}
	if name, ok := strings.CutPrefix(id, "name:"); ok {
		return Object{dormouse.Key{Namespace: n, ID: n.IDFromName(name)}, &name}, nil
	}
	parsed, err := n.ParseID(id)
	if errors.Is(err, dormouse.ErrInvalidID) {
		err = fmt.Errorf("%q is no id: give 64 hex digits, or name: and the object's name", id)
	}
	return Object{Key: dormouse.Key{Namespace: n, ID: parsed}}, err
}

// FindNamespace returns the namespace that somebody means by its name, or by
// the name of a class.
func FindNamespace(ctx context.Context, s Store, text string) (dormouse.Namespace, error) {
	all, err := s.Namespaces(ctx)
	if err != nil {
		return "", err
	}
	if n := dormouse.Namespace(text); slices.Contains(all, n) {
		return n, nil
	}
	var ends []dormouse.Namespace
	for _, n := range all {
		if strings.HasSuffix(string(n), "-"+text) {
			ends = append(ends, n)
		}
	}
	switch {
	case len(ends) == 1:
		return ends[0], nil
	case len(ends) > 1:
		return "", fmt.Errorf("%q could be each of %s: give the whole name", text, names(ends))
	case len(all) == 0:
		return "", fmt.Errorf("there is no namespace %q: no object has stored anything", text)
	}
	return "", fmt.Errorf("there is no namespace %q; there are %s", text, names(all))
}

func names(list []dormouse.Namespace) string {
	texts := make([]string, len(list))
	for i, n := range list {
		texts[i] = string(n)
	}
	return strings.Join(texts, ", ")
}
