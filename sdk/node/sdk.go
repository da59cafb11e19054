// Package node holds the JavaScript side of Dormouse as text: the guest that
// runs Durable Object classes in a Node process. The host bundles src/main.ts
// and src/side-thread.ts, each into one file (main.js and side.js),
// before it starts a guest.
package node

import "embed"

// Sources are the files below src, without tests.
//
//go:embed src
var Sources embed.FS
