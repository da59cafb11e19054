package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/dormouse-dev/dormouse/internal/admin"
	"github.com/dormouse-dev/dormouse/internal/deploy"
	"github.com/dormouse-dev/dormouse/internal/project"
	"github.com/dormouse-dev/dormouse/internal/project/bundle"
	"github.com/dormouse-dev/dormouse/internal/project/settings"
)

// answerLimit is how long a server may take to answer: it starts guests, which
// have half a minute each.
const answerLimit = 3 * time.Minute

func deployCommand() *cobra.Command {
	var o options
	var to remote
	c := &cobra.Command{
		Use:   "deploy [DIR]",
		Short: "Have a running server take over the Worker in DIR; sockets stay connected",
		Args:  cobra.MaximumNArgs(1),
	}
	to.register(c)
	o.register(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		o.dir = dirOf(args)
		config, found, err := o.load()
		if err != nil {
			return err
		}
		for _, w := range append(found.Warnings, config.Warnings...) {
			fmt.Fprintln(c.ErrOrStderr(), "warning: "+w.Error())
		}
		if err := to.from(found.Settings); err != nil {
			return err
		}
		archive, p, err := pack(c.Context(), config, found.Settings, c.ErrOrStderr())
		if err != nil {
			return err
		}
		defer p.Close()
		query := url.Values{}
		if f := c.Flags().Lookup("deploy-deadline"); f.Changed {
			query.Set("deadline", found.Settings.DeployDeadline.String())
		}
		v, err := to.send(c.Context(), archive, query)
		if err != nil {
			return fmt.Errorf("not deployed: %w", err)
		}
		report(c.OutOrStdout(), v)
		return nil
	}
	return c
}

// pack bundles a project and makes the archive that is sent.
func pack(ctx context.Context, c *project.Config, s *settings.Settings, errs io.Writer) ([]byte, *deploy.Package, error) {
	if err := c.RunBuild(ctx, errs); err != nil {
		return nil, nil, err
	}
	if err := c.CheckMain(); err != nil {
		return nil, nil, err
	}
	b, err := bundle.Build(c, bundle.Options{})
	if err != nil {
		return nil, nil, err
	}
	for _, w := range b.Warnings {
		fmt.Fprintln(errs, w)
	}
	if err := c.CheckExports(b.Exports); err != nil {
		return nil, nil, err
	}
	p, err := deploy.Pack(c, b, classSettings(c, s))
	if err != nil {
		return nil, nil, err
	}
	archive, err := p.Bytes()
	if err != nil {
		p.Close()
		return nil, nil, err
	}
	return archive, p, nil
}

func report(out io.Writer, v *admin.Version) {
	if v.Unchanged {
		fmt.Fprintf(out, "version %d (%s) is what serves already\n", v.Number, v.Hash)
		return
	}
	fmt.Fprintf(out, "version %d (%s) serves; sockets stayed connected\n", v.Number, v.Hash)
}

func versionsCommand() *cobra.Command {
	var to remote
	c := &cobra.Command{
		Use:   "versions",
		Short: "List the versions that a running server keeps",
		Args:  cobra.NoArgs,
	}
	to.register(c)
	to.registerSettings(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := to.resolve(c); err != nil {
			return err
		}
		var answer struct {
			Versions []admin.Version `json:"versions"`
		}
		if err := to.ask(c.Context(), "GET", "/api/versions", nil, nil, &answer); err != nil {
			return err
		}
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, "VERSION\tSTATE\tMADE\tHASH\tOBJECTS\tSOURCE")
		for _, v := range answer.Versions {
			objects := strconv.Itoa(v.Objects)
			if v.Moving {
				objects += " still moving"
			}
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", v.Number, v.State, v.Made.Local().Format(time.DateTime), v.Hash, objects, v.Source)
		}
		return w.Flush()
	}
	return c
}

func rollbackCommand() *cobra.Command {
	var to remote
	c := &cobra.Command{
		Use:   "rollback [VERSION]",
		Short: "Have a running server go back to a version that it keeps, the previous one if none is named",
		Args:  cobra.MaximumNArgs(1),
	}
	to.register(c)
	to.registerSettings(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := to.resolve(c); err != nil {
			return err
		}
		which := "previous"
		if len(args) > 0 {
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 1 {
				return fmt.Errorf("%q is not the number of a version; `dormouse versions` lists them", args[0])
			}
			which = strconv.Itoa(n)
		}
		var v admin.Version
		if err := to.ask(c.Context(), "POST", "/api/versions/"+which+"/deploy", nil, nil, &v); err != nil {
			return fmt.Errorf("not rolled back: %w", err)
		}
		report(c.OutOrStdout(), &v)
		return nil
	}
	return c
}

// remote speaks to the admin address of a running server.
type remote struct {
	to        string
	tokenFile string

	token string
}

func (o *remote) register(c *cobra.Command) {
	c.Flags().StringVar(&o.to, "to", "", "admin address of the running server (default: the setting admin)")
}

// registerSettings is for commands that have no project.
func (o *remote) registerSettings(c *cobra.Command) {
	c.Flags().StringVar(&o.tokenFile, "admin-token-file", "", "a file whose first line is the server's admin token")
}

// resolve finds what no flag says in the settings of this folder.
func (o *remote) resolve(c *cobra.Command) error {
	in := settings.Inputs{Dir: ".", Flags: make(map[string]string), Environ: os.Environ()}
	if f := c.Flags().Lookup("admin-token-file"); f.Changed {
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
	if !strings.Contains(o.to, "://") {
		o.to = "http://" + o.to
	}
	o.to = strings.TrimSuffix(o.to, "/")
	if s.AdminTokenFile == "" {
		return nil
	}
	var err error
	o.token, err = readToken(s.AdminTokenFile)
	return err
}

// send deploys an archive.
func (o *remote) send(ctx context.Context, archive []byte, query url.Values) (*admin.Version, error) {
	path := "/api/versions"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	v := new(admin.Version)
	header := http.Header{admin.DigestHeader: {admin.Digest(sha256.Sum256(archive))}, "Content-Type": {"application/x-tar"}}
	return v, o.ask(ctx, "POST", path, header, archive, v)
}

func (o *remote) ask(ctx context.Context, method, path string, header http.Header, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, o.to+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for k, v := range header {
		r.Header[k] = v
	}
	if o.token != "" {
		r.Header.Set("Authorization", "Bearer "+o.token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("%w; is this the admin address of a server that runs?", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var told struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(text, &told) != nil || told.Error == "" {
			told.Error = fmt.Sprintf("%s answered %s; is this the admin address of a Dormouse?", o.to, resp.Status)
		}
		return errors.New(told.Error)
	}
	return json.Unmarshal(text, answer)
}
