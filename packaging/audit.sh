#!/bin/sh
# Looks for known holes in what Dormouse is made of: fails if there is one, and
# says loudly what could not be asked. Each question has a minute; being offline
# is no failure, and not the same as being clean.
set -u
cd "$(dirname "$0")/.."
unknown() { echo "NOT CHECKED: $1"; }

scan=$(command -v govulncheck || ls "$(${GO:-go} env GOPATH)/bin/govulncheck" 2>/dev/null)
if [ -z "$scan" ]; then
	unknown "Go: govulncheck is not installed (${GO:-go} install golang.org/x/vuln/cmd/govulncheck@latest)"
else
	said=$(timeout 60 "$scan" ./... 2>&1)
	case $? in
	0) echo "Go: no known hole is reached" ;;
	3) echo "$said"; exit 1 ;; # how it ends when there is one
	*) unknown "Go: govulncheck: $(echo "$said" | tail -1)" ;;
	esac
fi
for dir in . tools interop; do
	said=$(cd "$dir" && timeout 60 ${NPM:-npm} audit --omit=dev --fetch-retries=0 2>&1)
	status=$?
	case $said in
	*"found 0 vulnerabilities"*) echo "npm in $dir: no known hole" ;;
	*"severity vulnerabilit"*) [ "$status" = 0 ] || { echo "npm in $dir: $said"; exit 1; } ;;
	*) unknown "npm in $dir: $(echo "$said" | grep -v 'warn Unknown' | head -1)" ;;
	esac
done
