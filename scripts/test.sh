#!/usr/bin/env bash
# Sets up what is missing, builds with warnings as errors and runs all tests: scripts/test.sh [PRESET [OPTION ...]]
# (dev by default; asan, tsan, no-torch; options of CMake). Tests against reference numbers need CHEST_REFERENCE_DIR.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh
preset=${1:-dev}
configure "$preset" "${@:2}"
cmake --build --preset "$preset"
if [ "$preset" = dev ]; then
  scripts/check_headers.py build/dev
fi
if [ -z "${CHEST_REFERENCE_DIR:-}" ]; then
  echo "test: CHEST_REFERENCE_DIR is not set, tests against reference numbers skip themselves" >&2
fi
ctest --preset "$preset" -j "$(nproc)"
