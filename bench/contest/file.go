package contest

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// Encode is the text of a result file: JSON with a line for each sample, so that
// two files can be compared.
func (r *Report) Encode() ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	lines := strings.NewReplacer(`,"results":`, ",\n\"results\":", `{"folder"`, "\n{\"folder\"", `{"peer"`, "\n {\"peer\"", `{"values"`, "\n  {\"values\"")
	return []byte(lines.Replace(string(text)) + "\n"), nil
}

// Read reads a result file.
func Read(file string) (*Report, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(Report)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return r, nil
}
