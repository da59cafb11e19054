//go:build !linux

package direct

import "os"

func fdatasync(f *os.File) error { return f.Sync() }
