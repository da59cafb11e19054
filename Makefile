# Dormouse. `make help` lists what can be made.

GO       ?= go
NPM      ?= npm
NODE_BIN  = node_modules/.dormouse-node
TOOLS     = tools/node_modules/.installed
INTEROP   = interop/node_modules/.installed
AUDITED   = bin/.audited
VERSION   = $(shell cat version.txt)
COMMIT    = $(shell git rev-parse --short HEAD 2>/dev/null)
# A test that hangs fails, and holds up nothing: five minutes are more than the longest file takes.
NODE_TEST = bin/dormouse node -- --test --test-reporter=spec --test-timeout=300000 --test-force-exit
LDFLAGS   = -X main.version=$(VERSION) -X main.commit=$(COMMIT)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

.PHONY: run
run: build node ## build, and serve examples/chat on http://127.0.0.1:8787
	bin/dormouse dev examples/chat

.PHONY: build
build: ## build bin/dormouse
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/dormouse ./cmd/dormouse

.PHONY: node
node: $(NODE_BIN) ## fetch the pinned Node that guests run on

$(NODE_BIN): package.json package-lock.json
	$(NPM) ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: tools
tools: $(TOOLS) $(INTEROP) ## fetch what the tests need from npm: workerd, ws, playwright, TypeScript, and the libraries of interop/

$(TOOLS) $(INTEROP): %/node_modules/.installed: %/package.json %/package-lock.json
	cd $* && $(NPM) ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: test
test: types ## everything that can run without root; minutes
	DORMOUSE_BIN=$(CURDIR)/bin/dormouse $(GO) test -timeout 15m ./...
	$(NODE_TEST) --test-concurrency=2 'sdk/node/test/**/*.test.ts'
	DORMOUSE_BIN=$(CURDIR)/bin/dormouse $(NODE_TEST) --test-concurrency=4 'sdk/test/test/*.test.js' 'examples/*/test/*.test.js' $(LIBRARIES)

.PHONY: interop
# They wait more than they compute: timers of the libraries, and silence.
LIBRARIES = 'interop/*/*.test.js'
interop: build node tools ## run other people's libraries
	DORMOUSE_BIN=$(CURDIR)/bin/dormouse $(NODE_TEST) --test-concurrency=4 $(LIBRARIES)

.PHONY: check
check: $(AUDITED) ## format, vet, layers, and known holes where that can be asked: seconds
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'run gofmt'; exit 1; }
	$(GO) vet ./...
	$(GO) test ./internal/layers

.PHONY: lint
lint: ## what staticcheck says, if it is installed
	@if command -v staticcheck >/dev/null; then staticcheck ./...; else echo 'NOT CHECKED: staticcheck is not installed (honnef.co/go/tools/cmd/staticcheck)'; fi

.PHONY: cross
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64
cross: ## build the Go library's programs for every platform, and the command where it runs; minutes
	@for p in $(PLATFORMS); do \
		export CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/}; echo "$$p"; \
		$(GO) vet . ./server ./dormousetest ./examples/go-chat ./examples/go-counter && \
		for e in go-chat go-counter; do $(GO) build -trimpath -o "bin/$$e-$$GOOS-$$GOARCH" ./examples/$$e || exit 1; done && \
		if [ $$GOOS != windows ]; then $(GO) build -o /dev/null ./cmd/dormouse; fi || exit 1; \
	done

.PHONY: audit
audit: ## look for known holes in what Dormouse is made of, where the data can be had
	@GO=$(GO) NPM=$(NPM) packaging/audit.sh

# Once for each set of dependencies, so that make check stays quick.
$(AUDITED): go.sum package-lock.json tools/package-lock.json interop/package-lock.json packaging/audit.sh
	@GO=$(GO) NPM=$(NPM) packaging/audit.sh
	@mkdir -p $(@D) && touch $@

.PHONY: types
TSC = bin/dormouse node -- tools/node_modules/typescript/bin/tsc --noEmit
types: build node tools ## check the TypeScript
	$(TSC) -p sdk/node
	$(TSC) -p conformance/worker
	$(TSC) -p conformance/worker-stores
	bin/dormouse types conformance/neighbours/caller conformance/neighbours/callee
	$(TSC) -p conformance/neighbours/caller
	$(TSC) -p bench/worker
	$(TSC) -p bench/party

.PHONY: bench
bench: build node tools ## measure beside workerd and others; minutes
	DORMOUSE_BIN=$(CURDIR)/bin/dormouse $(GO) run ./bench

MINIFLARE = conformance/miniflare/node_modules/.installed
$(MINIFLARE): conformance/miniflare/package.json conformance/miniflare/package-lock.json
	cd conformance/miniflare && $(NPM) ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: conformance
conformance: build node tools $(MINIFLARE) ## run every scenario under workerd and Dormouse, and compare
	DORMOUSE_BIN=$(CURDIR)/bin/dormouse $(GO) run ./conformance

.PHONY: fuzz
FUZZTIME ?= 60s
fuzz: ## fuzz every fuzz target for FUZZTIME each
	@for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p 2>/dev/null | grep '^Fuzz'); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done

.PHONY: soak
soak: build node tools ## the long kill loops
	DORMOUSE_SOAK=1 DORMOUSE_BIN=$(CURDIR)/bin/dormouse $(GO) test -timeout 60m -run 'Soak|Kill|Crash|Outlive|Upgrade|ClosesOnUpdate|Overload|TooMuch|AtOnce|ReadNothing|SlowClient' ./...

.PHONY: demo-outlive
demo-outlive: build node ## 1,050 sockets through deploys, kills and upgrades: half a minute
	DORMOUSE_BIN=$(CURDIR)/bin/dormouse $(GO) run ./internal/e2e/outlive/demo

.PHONY: dist
dist: ## archives of this version in dist/, with checksums; the same commit gives the same bytes
	GO=$(GO) packaging/dist.sh

.PHONY: install-test
install-test: node ## run docs/install.md in a fresh Debian; takes root and debootstrap
	packaging/test-install.sh

.PHONY: image-test
image-test: node ## build packaging/Dockerfile without Docker, run it and look; takes root, debootstrap and buildah
	packaging/test-image.sh

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist artefacts
