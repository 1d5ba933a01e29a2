#!/bin/sh
# Compiles a plugin for wasm32-unknown-unknown: `build.sh [arguments of cargo build]`, from the folder
# of the plugin. Uses the installed standard library for that target, otherwise the source that Debian
# packages beside its newer compiler; `make setup` in casbah's folder installs one of the two.
set -eu

target=wasm32-unknown-unknown
# A small stack makes a fresh instance markedly cheaper: less memory to set up and to wipe. Vector
# instructions help wherever bytes are searched.
RUSTFLAGS="-C link-arg=-zstack-size=65536 -C target-feature=+simd128"
CARGO_PROFILE_RELEASE_PANIC=abort
CARGO_PROFILE_RELEASE_LTO=fat
CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
CARGO_PROFILE_RELEASE_DEBUG=none
export RUSTFLAGS CARGO_PROFILE_RELEASE_PANIC CARGO_PROFILE_RELEASE_LTO \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS CARGO_PROFILE_RELEASE_DEBUG

if ls "$(rustc --print target-libdir --target "$target")"/libstd-* >/dev/null 2>&1; then
    exec cargo build --release --target "$target" "$@"
fi
if [ ! -x /usr/bin/rustc ] ||
    [ ! -f "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.toml" ]; then
    echo "the compiler has no standard library for $target; run \`make setup\` in casbah's folder" >&2
    exit 1
fi
host=$(rustc -vV | sed -n 's/^host: //p')
for linker in "$(rustc --print sysroot)/lib/rustlib/$host/bin/rust-lld" \
    /usr/bin/wasm-ld-19 /usr/bin/wasm-ld; do
    if [ -x "$linker" ]; then
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$linker
        RUSTC=/usr/bin/rustc
        RUSTC_BOOTSTRAP=1
        export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER RUSTC RUSTC_BOOTSTRAP
        exec cargo build --release --target "$target" -Zbuild-std=std,panic_abort "$@"
    fi
done
echo "no linker for WebAssembly was found; run \`make setup\` in casbah's folder" >&2
exit 1
