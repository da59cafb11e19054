//go:build unix && !linux

package nodeguest

import "os"

// marksFile makes a file that nobody else can find.
func marksFile() (*os.File, error) {
	f, err := os.CreateTemp("", "dormouse-marks-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}
