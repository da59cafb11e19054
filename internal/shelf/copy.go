package shelf

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Copy calls visit with each file of a copy of the shelf: its name within the
// shelf, and where it can be read until visit returns. The copy is as of one
// commit; writes go on meanwhile. temp is a folder for a copy of the index.
func (s *Shelf) Copy(ctx context.Context, temp string, visit func(name, path string) error) error {
	release := s.Pin()
	defer release()
	index := filepath.Join(temp, random()+".sqlite")
	if err := s.copyIndex(ctx, index); err != nil {
		return err
	}
	defer os.Remove(index)
	if err := visit(IndexName, index); err != nil {
		return err
	}
	conn, err := sqlite.OpenConn(index, sqlite.OpenReadOnly)
	if err != nil {
		return err
	}
	err = sqlitex.ExecuteTransient(conn, s.cfg.Names, &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
		name := st.ColumnText(0)
		if err := ctx.Err(); err != nil {
			return err
		}
		return visit(path.Join(FilesFolder, name[:2], name), filepath.Join(s.cfg.Folder, place(name)))
	}})
	return errors.Join(err, conn.Close())
}

func (s *Shelf) copyIndex(ctx context.Context, to string) error {
	conn, err := s.connect(false)
	if err != nil {
		return err
	}
	conn.SetInterrupt(ctx.Done())
	err = sqlitex.ExecuteTransient(conn, "VACUUM INTO ?", &sqlitex.ExecOptions{Args: []any{to}})
	return errors.Join(err, conn.Close())
}

// IsFile says whether a name can be that of a file within a shelf, as Copy tells
// them: nothing else may be put into one.
func IsFile(name string) bool {
	if name == IndexName {
		return true
	}
	rest, ok := strings.CutPrefix(name, FilesFolder+"/")
	folder, file, two := strings.Cut(rest, "/")
	return ok && two && IsName(file) && folder == file[:2]
}
