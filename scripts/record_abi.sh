#!/usr/bin/env bash
# Writes bindings/c/abi/libchest.so.0.xml, the interface that the tests compare with. Additions alone may be
# recorded; a change or a removal needs another soname.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc -g -shared -fPIC -Ibindings/c -Wl,-soname,libchest.so.0 tests/c/abi.c -o "$work/libchest.so.0"
abidw --no-show-locs --no-corpus-path --no-comp-dir-path --no-elf-needed "$work/libchest.so.0" \
  --out-file bindings/c/abi/libchest.so.0.xml
