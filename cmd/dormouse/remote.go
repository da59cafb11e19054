package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/project/settings"
)

// remote is the admin address of a running server, as commands reach it.
type remote struct {
	to        string
	tokenFile string
	worker    string // which one is meant, where several are served

	token string
}

func (o *remote) register(c *cobra.Command) {
	c.Flags().StringVar(&o.to, "to", "", "admin address of the running server (default: the setting admin)")
}

// registerSettings is for commands that have no project.
func (o *remote) registerSettings(c *cobra.Command) {
	c.Flags().StringVar(&o.tokenFile, "admin-token-file", "", "a file whose first line is the server's admin token")
}

// registerWorker is for what is asked of one Worker.
func (o *remote) registerWorker(c *cobra.Command) {
	c.Flags().StringVar(&o.worker, "worker", "", "which Worker is meant, if the server has several")
}

// ofWorker is the query that says so.
func (o *remote) ofWorker() string {
	if o.worker == "" {
		return ""
	}
	return "?" + url.Values{"worker": {o.worker}}.Encode()
}

// resolve finds what no flag says in the settings of this folder.
func (o *remote) resolve(c *cobra.Command) error {
	in := settings.Inputs{Dir: ".", Flags: make(map[string]string), Environ: os.Environ()}
	if f := c.Flags().Lookup("admin-token-file"); f != nil && f.Changed {
		in.Flags["admin_token_file"] = o.tokenFile
	}
	r, err := settings.Resolve(in)
	if err != nil {
		return err
	}
	return o.from(r.Settings)
}

func (o *remote) from(s *settings.Settings) error {
	if o.to == "" {
		o.to = s.Admin
	}
	if o.to == "" {
		return errors.New("the admin address is off here; name the server's with --to")
	}
	return o.at(o.to, s.AdminTokenFile)
}

// at takes an address, and the token from a file if there is one.
func (o *remote) at(address, tokenFile string) (err error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	o.to = strings.TrimSuffix(address, "/")
	if tokenFile != "" {
		o.token, err = readToken(tokenFile)
	}
	return err
}

// do asks, and returns whatever the server answers.
func (o *remote) do(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, o.to+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		r.Header[k] = v
	}
	if o.token != "" {
		r.Header.Set("Authorization", "Bearer "+o.token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w; is this the admin address of a server that runs?", err)
	}
	return resp, nil
}

// open is do for an answer that the caller reads and closes; one that is no
// success is an error.
func (o *remote) open(ctx context.Context, method, path string, header http.Header, body []byte) (io.ReadCloser, error) {
	resp, err := o.do(ctx, method, path, header, body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var told struct {
		Error string `json:"error"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&told) != nil || told.Error == "" {
		told.Error = fmt.Sprintf("%s answered %s; is this the admin address of a Dormouse?", o.to, resp.Status)
	}
	return nil, errors.New(told.Error)
}

// ask is open for an answer in JSON, which is read into answer.
func (o *remote) ask(ctx context.Context, method, path string, header http.Header, body []byte, answer any) error {
	in, err := o.open(ctx, method, path, header, body)
	if err != nil {
		return err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, 16<<20))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, answer)
}
