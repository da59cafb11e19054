package disk

import (
	"os"
	"path/filepath"
)

// draft is what a file is called, behind its own name, while Replace writes it.
const draft = ".new"

// Replace gives a file a new content, durably. After an error, a crash or a
// power cut it has the old or the new one, whole; what is left of the attempt,
// with .new behind the name, the next one writes over. One caller at a time for
// each name.
func Replace(fsys FS, name string, content []byte) error {
	f, err := fsys.Open(name+draft, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt(content, 0)
	}
	if err == nil {
		err = f.Sync() // before the name: it must not lead to less than the whole
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = fsys.Rename(name+draft, name)
	}
	if err != nil {
		fsys.Remove(name + draft)
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}
