#!/bin/sh
# Installs what compiling the guests needs, if it is not there yet: the standard library for
# wasm32-unknown-unknown. Called by `make setup`; safe to call any number of times.
set -eu

target=wasm32-unknown-unknown
library=$(rustc --print target-libdir --target "$target")
if ls "$library"/libstd-* >/dev/null 2>&1; then
    echo "setup: the standard library for $target is installed" >&2
    exit 0
fi
if [ -x /usr/bin/rustc ] && [ -f "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.toml" ]; then
    echo "setup: guests are built with Debian's compiler and the standard library's source" >&2
    exit 0
fi
# A container or a CI machine: packages need no consent there, and rustup may reach nothing.
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "setup: installing Debian's compiler and the standard library's source" >&2
    apt-get update -qq >&2
    if DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        rustc-web rust-web-src lld-19 >&2; then
        exit 0
    fi
    echo "setup: Debian has no such packages here; trying rustup" >&2
fi
if command -v rustup >/dev/null 2>&1; then
    echo "setup: rustup target add $target" >&2
    exec rustup target add "$target"
fi
echo "setup: the standard library for $target is missing; install it with your toolchain" >&2
exit 1
