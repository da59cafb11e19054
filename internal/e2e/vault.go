package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Vault asks the objects of testdata/vault, under whatever runs them.
type Vault struct {
	t   testing.TB
	URL string
}

// VaultDir is the folder of the Worker.
func VaultDir(t testing.TB) string { return filepath.Join(root(t), "internal/e2e/testdata/vault") }

// Ask has an object do something, and reads what it answers.
func Ask[T any](v Vault, name, operation string, argument any) T {
	v.t.Helper()
	answer, err := TryAsk[T](v.t.Context(), v, name, operation, argument)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer
}

// TryAsk is Ask for what may fail.
func TryAsk[T any](ctx context.Context, v Vault, name, operation string, argument any) (answer T, err error) {
	body, err := json.Marshal(argument)
	if err != nil {
		return answer, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", v.URL+"/"+url.PathEscape(name)+"/"+operation, bytes.NewReader(body))
	if err != nil {
		return answer, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer, err
	}
	if res.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("%s/%s: status %d: %s", name, operation, res.StatusCode, text)
	}
	return answer, json.Unmarshal(text, &answer)
}

// Command runs the command and returns what it printed.
func Command(t testing.TB, args ...string) string {
	t.Helper()
	out, err := TryCommand(t, args...)
	if err != nil {
		t.Fatalf("dormouse %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// TryCommand is Command for what may fail; the error has what it complained.
func TryCommand(t testing.TB, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Binary(t), args...)
	cmd.Env = plainEnv()
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, complaint.String())
	}
	return out.String(), nil
}
