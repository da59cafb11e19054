package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
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
		query := url.Values{"worker": {config.Name}} // which one is meant, where several are served
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
	to.registerWorker(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := to.resolve(c); err != nil {
			return err
		}
		var answer struct {
			Versions []admin.Version `json:"versions"`
		}
		ctx, cancel := context.WithTimeout(c.Context(), answerLimit)
		defer cancel()
		if err := to.ask(ctx, "GET", "/api/versions"+to.ofWorker(), nil, nil, &answer); err != nil {
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
	to.registerWorker(c)
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
		ctx, cancel := context.WithTimeout(c.Context(), answerLimit)
		defer cancel()
		var v admin.Version
		if err := to.ask(ctx, "POST", "/api/versions/"+which+"/deploy"+to.ofWorker(), nil, nil, &v); err != nil {
			return fmt.Errorf("not rolled back: %w", err)
		}
		report(c.OutOrStdout(), &v)
		return nil
	}
	return c
}

// send deploys an archive.
func (o *remote) send(ctx context.Context, archive []byte, query url.Values) (*admin.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	path := "/api/versions"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	v := new(admin.Version)
	header := http.Header{admin.DigestHeader: {admin.Digest(sha256.Sum256(archive))}, "Content-Type": {"application/x-tar"}}
	return v, o.ask(ctx, "POST", path, header, archive, v)
}
