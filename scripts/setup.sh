#!/usr/bin/env bash
# Installs what chest is built from and is missing, from Debian's or Ubuntu's packages.
# Sourced by demo.sh, test.sh and .ci/run; installs nothing where all is there or the system has no apt.
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config
  libarmadillo-dev libopenblas-dev libhdf5-dev libtorch-dev libgloo-dev
  zlib1g-dev libzip-dev libboost-program-options-dev nlohmann-json3-dev librandom123-dev libxxhash-dev
  libhwy-dev
  abigail-tools libgtest-dev libgmock-dev libbenchmark-dev
  pybind11-dev python3-dev python3-pytest python3-matplotlib python3-pandas
  gnuplot-nox python3-h5py python3-numpy octave octave-dev hdf5-tools
)

# install_missing PACKAGE...: those that are not there.
install_missing() {
  if ! command -v apt-get >/dev/null; then
    echo "setup: this system has no apt-get; chest needs (Debian's names): $*" >&2
    return
  fi
  local package missing=() as_root=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  echo "setup: installing ${missing[*]}" >&2
  "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
install_missing "${packages[@]}"

# configure PRESET [OPTION ...]: a new build folder compiles several sources at a time, which halves the work
# of a build from nothing; a folder that is there keeps its way.
configure() {
  local unity=()
  [ -e "build/$1/CMakeCache.txt" ] || unity=(-DCMAKE_UNITY_BUILD=ON)
  cmake --preset "$1" ${unity[@]+"${unity[@]}"} "${@:2}"
}
