#!/bin/sh
# Build InfluxDB 2 (influxd) where there is no Docker, once, for the tests: about 8 minutes, one file of 93 MB.
# Needs go >= 1.23, a current Rust (cargo) and clang; root on Debian gets clang by itself.
# Progress goes to standard error; the last line of standard output is the path of the program.
#
#     tools/influxd.sh            build it unless it is there
#     tools/influxd.sh --path     print where it is, or would be; build nothing
#
# It lies in ${XDG_CACHE_HOME:-~/.cache}/evenkeel/influxd-VERSION/, and what the build downloads and compiles
# (2.8 GB) beside it, to be removed at the end. Set GOPATH, GOCACHE or CARGO_HOME to use, and keep, your own.
set -eu
version=2.7.12
# The module names this version of the wrapper, which builds the Rust part (libflux) when Go asks for it.
wrapper_version=v0.2.14
cache=${XDG_CACHE_HOME:-$HOME/.cache}/evenkeel
place=$cache/influxd-$version
influxd=$place/influxd

say() { echo "influxd: $*" >&2; }

if [ "${1:-}" = --path ] || [ -x "$influxd" ]; then
    echo "$influxd"
    exit 0
fi

mkdir -p "$place"
exec 9>"$place/lock"
if ! flock -n 9; then
    say "another build is running; waiting for it"
    flock 9
fi
if [ -x "$influxd" ]; then
    echo "$influxd"
    exit 0
fi

if ! command -v clang >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing clang"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends clang libclang-dev; } \
        >"$place/clang.log" 2>&1 || { tail -5 "$place/clang.log" >&2; say "apt-get could not install clang"; exit 1; }
fi
for tool in go cargo clang; do
    command -v $tool >/dev/null 2>&1 || { say "$tool is missing; install it, or run the image influxdb:2.7"; exit 1; }
done

work=$place/build
made=""
for kind in GOPATH GOCACHE CARGO_HOME; do
    eval "given=\${$kind:-}"
    if [ -z "$given" ]; then
        export "$kind=$work/$kind"
        made="$made $kind"
    fi
done
# Rust's tools live in the cargo home of the user; only what they download goes elsewhere.
clean_up() {
    [ -d "$work/GOPATH" ] && chmod -R u+w "$work/GOPATH" # Go makes its modules read-only
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
mkdir -p "$work/module" "$work/bin"
log=$place/build.log
: >"$log"

step() {
    say "$1"
    shift
    "$@" >>"$log" 2>&1 || { tail -20 "$log" >&2; say "failed; all of it is in $log"; exit 1; }
}

step "1/4 the wrapper that builds libflux" \
    env GOBIN="$work/bin" go install "github.com/influxdata/pkg-config@$wrapper_version"
# `go install module@version` refuses a module with replace directives, so a module of one line requires it.
cd "$work/module"
printf 'module influxd\n' >go.mod
printf '//go:build tools\n\npackage tools\n\nimport _ "github.com/influxdata/influxdb/v2/cmd/influxd"\n' >tools.go
step "2/4 download (half a minute)" go get "github.com/influxdata/influxdb/v2@v$version"
step "3/4 resolve" go mod tidy
# libflux pins an old Rust, and makes errors of warnings that newer ones emit, in its build scripts too.
printf '#!/bin/sh\nexec "$@" --cap-lints warn\n' >"$work/bin/rustc-cap"
chmod +x "$work/bin/rustc-cap"
export RUSTUP_TOOLCHAIN="${RUSTUP_TOOLCHAIN:-stable}" RUSTC_WRAPPER="$work/bin/rustc-cap"
export PKG_CONFIG="$work/bin/pkg-config"
step "4/4 compile (seven minutes)" \
    go build -trimpath -tags 'sqlite_foreign_keys,sqlite_json' -ldflags "-s -w -X main.version=$version" \
    -o "$work/influxd" github.com/influxdata/influxdb/v2/cmd/influxd
"$work/influxd" version >&2
mv "$work/influxd" "$influxd"
[ -z "$made" ] || say "removing what was downloaded and compiled:$made"
echo "$influxd"
