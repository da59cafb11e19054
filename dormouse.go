// Package dormouse is the dictionary of the project: the names that every
// other package shares. It knows what an object, a namespace and a socket are
// called, and never sees a descriptor, a process or a disk.
package dormouse

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
)

// ID names one object of a namespace. Its first 16 bytes are the base (random,
// or derived from a name); its last 16 are a keyed hash of the base that ties
// it to the namespace. Its text is 64 lower-case hex digits.
type ID [32]byte

// String returns the id as 64 lower-case hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Errors of Namespace.ParseID, with the texts that Durable Objects authors know.
var (
	ErrInvalidID = errors.New("Invalid Durable Object ID: must be 64 hex digits")
	ErrForeignID = errors.New("Durable Object ID is not valid for this namespace.")
)

// Namespace is the name that keys the ids of one class of objects. It is the
// Worker's name and the class's name with a dash between, which is also the
// name of the folder that holds the class's databases.
type Namespace string

// IDFromName derives the id that name always has in this namespace.
func (n Namespace) IDFromName(name string) ID {
	return n.seal(n.mac([]byte(name)))
}

// NewUniqueID returns a random id that belongs to this namespace.
func (n Namespace) NewUniqueID() ID {
	var base [16]byte
	rand.Read(base[:])
	return n.seal(base)
}

// ParseID reads an id from its text, in upper or lower case. It returns
// ErrInvalidID when the text is not 64 hex digits and ErrForeignID when the id
// was made for another namespace.
func (n Namespace) ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return ID{}, ErrInvalidID
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, ErrInvalidID
	}
	want := n.seal([16]byte(id[:16]))
	if subtle.ConstantTimeCompare(want[:], id[:]) != 1 {
		return ID{}, ErrForeignID
	}
	return id, nil
}

// seal completes a base to a whole id.
func (n Namespace) seal(base [16]byte) ID {
	var id ID
	sum := n.mac(base[:])
	copy(id[:16], base[:])
	copy(id[16:], sum[:])
	return id
}

func (n Namespace) mac(data []byte) [16]byte {
	key := sha256.Sum256([]byte(n))
	h := hmac.New(sha256.New, key[:])
	h.Write(data)
	return [16]byte(h.Sum(nil)[:16])
}

// Key names one object in the whole system.
type Key struct {
	Namespace Namespace
	ID        ID
}

// String returns namespace and id with a slash between.
func (k Key) String() string { return string(k.Namespace) + "/" + k.ID.String() }

// SocketID names one end of a WebSocket pair for as long as this process
// lives, and is never used again. The ends of a pair differ in the lowest bit.
// The upper half is the incarnation of the guest that made the pair, the lower
// half counts. Always below 2^53, so that it is exact as a JavaScript number.
type SocketID uint64

// Peer is the other end of the pair.
func (s SocketID) Peer() SocketID { return s ^ 1 }

// Incarnation is the number of the guest process that made the pair.
func (s SocketID) Incarnation() uint32 { return uint32(s >> 32) }
