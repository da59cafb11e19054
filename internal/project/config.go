// Package project reads what an author has written: the Worker's configuration
// in wrangler.jsonc, wrangler.json or wrangler.toml, its variables and secrets,
// and the Node that will run it. It says what it does not understand, with the
// place, instead of guessing. It never sees a running object.
package project

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/dormouse-dev/dormouse"
	"github.com/dormouse-dev/dormouse/internal/project/compat"
	"github.com/dormouse-dev/dormouse/internal/project/source"
)

// Options say what to load and how strictly.
type Options struct {
	// Dir is the project's folder, or its wrangler file.
	Dir string
	// Env is the environment of the wrangler file; empty for the top level.
	Env string
	// SecretFiles are read instead of .dev.vars, the last one winning. A file
	// that ends in .json holds an object of strings, any other KEY=value lines.
	SecretFiles []string
	// SecretsOf are files of secrets too, by the Worker's name. May be nil.
	SecretsOf map[string][]string
	// LookupEnv finds the secrets that the file requires by name and that no
	// file holds, as os.LookupEnv does. Nil finds none.
	LookupEnv func(string) (string, bool)
	// AllowMissing lets a Worker start whose bindings cannot all be offered;
	// they come back in Config.Missing.
	AllowMissing bool
	// Now is the time that a compatibility date is held against.
	Now time.Time
}

// Config is a Worker as its files describe it. All paths are absolute.
type Config struct {
	File string // the wrangler file
	Dir  string // the folder it stands in; everything it names is relative to it
	Env  string // the environment that was chosen, or empty

	Name   string // with the environment, as in "chat-staging"
	Main   string // the entry point; see CheckMain
	Compat compat.Set

	Objects    []ObjectBinding
	FarObjects []FarObject // of other Workers; see Meet
	Classes    []Class     // the classes whose objects live in this Worker
	Migrations []Migration
	Deleted    []string // classes that "exports" says are deleted
	Vars       []Var    // variables and secrets, no name twice

	Assets   *Assets
	KV       []KVNamespace
	R2       []R2Bucket
	Services []Service

	Bundle Bundling
	Build  Build
	Limits Limits

	// Missing are the bindings that cannot be offered. It is empty unless
	// Options.AllowMissing was set.
	Missing []MissingBinding
	// Warnings are for the person who starts the Worker.
	Warnings source.Problems
	// Files are the files that the configuration was read from, and those that
	// would have been read had they been there: what to watch.
	Files []string

	// Where things are said, for checks that come after Load.
	mainAt  source.Cursor
	boundAt map[string]source.Cursor // by class
	farAt   map[string]source.Cursor // by the name of a binding to another Worker
}

// Namespace is the namespace of a class of this Worker.
func (c *Config) Namespace(class string) dormouse.Namespace {
	for _, k := range c.Classes {
		if k.Name == class && k.Namespace != "" {
			return k.Namespace
		}
	}
	return dormouse.Namespace(c.Name + "-" + class)
}

// HasClass says whether a class lives in this Worker.
func (c *Config) HasClass(name string) bool {
	return slices.ContainsFunc(c.Classes, func(k Class) bool { return k.Name == name })
}

// ObjectBinding is a name in env that stands for a namespace of objects.
type ObjectBinding struct {
	Name  string
	Class string
}

// Class is a class of objects after all migrations.
type Class struct {
	Name string
	// SQLite is false for a class of the older storage, without ctx.storage.sql.
	SQLite bool
	// Former are the names the class had before, the last first. Its objects'
	// files may still be under one of them.
	Former []string
	// Namespace is where its objects are, once package classes has said it. Empty:
	// the Worker's name and the class's with a dash between.
	Namespace dormouse.Namespace
}

// Migration is one step of the classes' history.
type Migration struct {
	Tag         string
	New         []string // of the older storage
	NewSQLite   []string
	Renamed     []Renamed
	Deleted     []string
	Transferred []Transferred
}

// Renamed is a class that got another name.
type Renamed struct{ From, To string }

// Transferred is a class that came from another Worker.
type Transferred struct{ From, FromScript, To string }

// Var is a name in env with a value that is known beforehand.
type Var struct {
	Name   string
	Value  json.RawMessage // a JSON string for texts and secrets
	Secret bool            // never to be shown
}

// Assets are files that are served beside the Worker.
type Assets struct {
	Directory        string
	Binding          string   // empty: none
	BasePath         string   // empty: the root
	HTMLHandling     string   // auto-trailing-slash, force-…, drop-…, none
	NotFoundHandling string   // single-page-application, 404-page, none
	WorkerFirst      bool     // every request goes to the Worker first
	WorkerFirstPaths []string // these do; a leading ! excepts
}

// KVNamespace is a KV binding. ID names what is stored; it is never empty.
// Preview is what wrangler dev calls it: the same, unless the file has a
// preview_id.
type KVNamespace struct{ Binding, ID, Preview string }

// R2Bucket is an R2 binding. Bucket is never empty; Preview as in KVNamespace.
type R2Bucket struct{ Binding, Bucket, Preview string }

// Service is a binding to a Worker, which may be this one.
type Service struct {
	Binding, Service, Entrypoint string          // an empty Entrypoint is the default one
	Props                        json.RawMessage // nil: none
}

// Bundling says how the Worker's modules become one.
type Bundling struct {
	Rules                   []Rule
	Define                  map[string]string
	Alias                   map[string]string
	TSConfig                string // empty: the nearest one
	JSXFactory, JSXFragment string // empty: as tsconfig says
	Minify, KeepNames       bool
}

// Rule says what the imports that match a glob become.
type Rule struct {
	Type        RuleType
	Globs       []string
	Fallthrough *bool // nil: not said, which wrangler warns about
}

// RuleType is what a module becomes.
type RuleType string

const (
	RuleESModule     RuleType = "ESModule"
	RuleCommonJS     RuleType = "CommonJS"
	RuleCompiledWasm RuleType = "CompiledWasm"
	RuleText         RuleType = "Text"
	RuleData         RuleType = "Data"
	RulePython       RuleType = "PythonModule"
	RulePythonReq    RuleType = "PythonRequirement"
)

// Build is a command that makes the entry point.
type Build struct {
	Command string // empty: none
	Dir     string
	Watch   []string // folders whose files it reads
}

// Limits are the Worker's own; zero where it sets none.
type Limits struct {
	CPU         time.Duration
	Subrequests int64
}

// MissingBinding is a name in env that must throw when it is used.
type MissingBinding struct {
	Name string
	What string // such as "Workers AI", for the sentence
	Key  string // where it stands in the wrangler file, such as "ai.binding"
}
