#!/bin/sh
# Builds the archives of a version into dist/: the same commit gives the same
# bytes, on any machine with the same Go and GNU tar. PLATFORMS chooses.
set -eu
cd "$(dirname "$0")/.."
version=$(cat version.txt)
commit=$(git rev-parse --short HEAD)
stamp=$(git log -1 --format=%ct)
mkdir -p dist
rm -f dist/SHA256SUMS
for platform in ${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}; do
	os=${platform%/*} arch=${platform#*/}
	name=dormouse-$version-$os-$arch
	rm -rf "dist/$name"
	mkdir -p "dist/$name"
	CGO_ENABLED=0 GOOS=$os GOARCH=$arch ${GO:-go} build -trimpath -buildvcs=false \
		-ldflags "-s -w -buildid= -X main.version=$version -X main.commit=$commit" -o "dist/$name/dormouse" ./cmd/dormouse
	cp LICENSE README.md CHANGELOG.md SECURITY.md "dist/$name/"
	cp -R docs packaging "dist/$name/"
	cp -R sdk/test "dist/$name/test"
	rm -rf "dist/$name/test/test"
	chmod -R u=rwX,go=rX "dist/$name"
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$stamp" --format=ustar -C dist -cf - "$name" |
		gzip -9n >"dist/$name.tar.gz"
	rm -rf "dist/$name"
	(cd dist && sha256sum "$name.tar.gz" >>SHA256SUMS)
	tail -1 dist/SHA256SUMS
done
