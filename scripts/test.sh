#!/usr/bin/env bash
# Sets up what is missing, builds with warnings as errors and runs all tests: scripts/test.sh [PRESET]
# (dev by default; asan, no-torch). Tests against reference numbers need CHEST_REFERENCE_DIR.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh
preset=${1:-dev}
cmake --preset "$preset"
cmake --build --preset "$preset"
ctest --preset "$preset" -j "$(nproc)"
