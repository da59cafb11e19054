package storage

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/dormouse-dev/dormouse"
)

// JournalFolder is the folder of the data folder that belongs to the engine.
const JournalFolder = "journal"

// reserved are names in the data folder that no namespace may have.
var reserved = [...]string{JournalFolder, "deleted", "lock"}

// MaxNamespace bounds the name of a namespace's folder, in bytes.
const MaxNamespace = 200

// Folder returns the name of the folder that holds a namespace: the namespace
// itself where it consists of letters, digits, '-', '_' and inner dots, and
// otherwise with %xx for the bytes that could mean something to a file system.
// Two namespaces never have the same folder on a file system that respects
// case.
func Folder(n dormouse.Namespace) string {
	var b strings.Builder
	for i := range len(n) {
		c := n[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	s := b.String()
	for _, r := range reserved {
		if s == r {
			return fmt.Sprintf("%%%02x%s", s[0], s[1:])
		}
	}
	return s
}

// CheckNamespace says whether a namespace can have a folder.
func CheckNamespace(n dormouse.Namespace) error {
	if size := len(Folder(n)); size == 0 || size > MaxNamespace {
		return fmt.Errorf("namespace %.40q: its folder's name would have %d bytes; 1 to %d are possible: choose another name for the class", n, size, MaxNamespace)
	}
	return nil
}

// ParseFolder returns the namespace of a folder.
func ParseFolder(name string) (dormouse.Namespace, bool) {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '%' {
			b.WriteByte(name[i])
			continue
		}
		if i+3 > len(name) {
			return "", false
		}
		c, err := hex.DecodeString(name[i+1 : i+3])
		if err != nil {
			return "", false
		}
		b.WriteByte(c[0])
		i += 2
	}
	n := dormouse.Namespace(b.String())
	return n, n != "" && Folder(n) == name
}

// Path returns where an object's database lies in the data folder. Beside it
// may lie files of the same name that end in "-wal" and "-shm".
func Path(data string, key dormouse.Key) string {
	id := key.ID.String()
	return filepath.Join(data, Folder(key.Namespace), id[:2], id+".sqlite")
}
