#!/usr/bin/env bash
# Makes the source tarball, builds Debian's packages from it, and tries them in an empty Debian root, as root:
#   scripts/try_packages.sh [FOLDER]
# FOLDER (a new one by default) keeps the packages, the root and a log; packages that are in it are tried as they are.
# Needs the Build-Depends of debian/control, dpkg-dev, lintian and debootstrap. The root takes its packages from where this
# machine takes its own.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(realpath -m "${1:-$(mktemp -d)}")
root=$work/root
mkdir -p "$work"
say() { echo "== $*"; }
seconds() { date +%s.%N; }
since() { echo "$(seconds) $1" | awk '{printf "%.0f s", $1 - $2}'; }

build_packages() {
  say "source tarball"
  rm -rf "$work/configured" "$work/src"
  cmake -G Ninja -S . -B "$work/configured" -DCHEST_WITH_TORCH=OFF -DCHEST_BUILD_TESTS=OFF -DCHEST_BUILD_EXAMPLES=OFF > "$work/log"
  (cd "$work/configured" && cpack -G TGZ --config CPackSourceConfig.cmake -B "$work" >> "$work/log")
  tarball=$(ls "$work"/chest-*.tar.gz)
  version=$(basename "$tarball" .tar.gz | sed 's/^chest-//')
  ls -l "$tarball" | awk '{printf "%s  %.1f MB\n", "chest-'"$version"'.tar.gz", $5 / 1e6}'

  say "dpkg-buildpackage -us -uc -b"
  mkdir "$work/src"
  tar xf "$tarball" -C "$work/src" --strip-components 1
  start=$(seconds)
  (cd "$work/src" && DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS:-} noautodbgsym" dpkg-buildpackage -us -uc -b) >> "$work/log" 2>&1 ||
    { tail -n 30 "$work/log" >&2; exit 1; }
  echo "built in $(since "$start")"
}
ls "$work"/*.changes > /dev/null 2>&1 || build_packages
for package in "$work"/*.deb; do
  dpkg-deb -f "$package" Package Installed-Size | awk -v bytes="$(stat -c %s "$package")" \
    '{v[NR] = $2} END {printf "%-16s %8.1f kB, installed %8.1f kB\n", v[1], bytes / 1e3, v[2]}'
done
say "lintian"
lintian --allow-root --fail-on error,warning "$work"/*.changes && echo "no error, no warning"

say "an empty root"
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
  awk -v release="$release" '$2 == release {print $1; exit}')
rm -rf "$root"
debootstrap --variant=minbase "$release" "$root" "$mirror" >> "$work/log"
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d
cp -r /etc/apt/apt.conf.d /etc/apt/sources.list* "$root/etc/apt/"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
mount -t proc proc "$root/proc"
trap 'umount "$root/proc"' EXIT
mkdir -p "$root/packages" "$root/try"
cp "$work"/*.deb "$root/packages/"
cp tests/package/CMakeLists.txt tests/package/*.cpp "$root/try/"
within() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 sh -ec "cd /try; $1"; }
within "apt-get update -qq" >> "$work/log" 2>&1
du -smx "$root" | awk '{print $1 " MB"}'

say "from apt-get install to a first curve"
start=$(seconds)
within "apt-get install -y -qq --no-install-recommends /packages/*.deb gnuplot-nox" >> "$work/log" 2>&1 ||
  { tail -n 30 "$work/log" >&2; exit 1; }
echo "installed: $(since "$start")"
within "chest generate scm --n-rx 16 --n-tx 4 --n-samples 1000 --seed 3 --out scm.h5 --quiet
  chest sweep --channels scm.h5 --model /usr/share/chest/models/scm_16x4.h5 --estimators ls,genie,dmse --snr=-10:5:20 \
    --out results.h5 --plot curve.png --quiet"
echo "first curve: $(since "$start")"
du -smx "$root" | awk '{print $1 " MB"}'
within "chest --version; test -s /usr/share/man/man1/chest-sweep.1.gz; test -s curve.png"
ldd_of() { chroot "$root" ldd "$1" | grep -q "libtorch" && echo "with LibTorch" || echo "without LibTorch"; }
echo "chest $(ldd_of /usr/bin/chest); libchest.so.0 $(ldd_of "$(cd "$root" && ls usr/lib/*/libchest.so.0)")"

say "Python"
within "python3 -c '
import chest
h = chest.generate(\"scm\", 500, n_rx=16, n_tx=4, seed=5)
y = h + chest.noise(h.shape, 0.1, seed=2)
h_hat, err_var = chest.Model(\"/usr/share/chest/models/scm_16x4.h5\").estimate(y, 0.1)
print(f\"chest {chest.__version__}: LS {chest.nmse_db(y, h):.2f} dB, dmse {chest.nmse_db(h_hat, h):.2f} dB\")
'"
say "Octave"
within "octave-cli --quiet --eval '
randn(\"seed\", 1);
H = (randn(16, 1, 200) + 1i * randn(16, 1, 200)) .* ones(1, 4) / sqrt(2);
Y = H + sqrt(0.05) * (randn(size(H)) + 1i * randn(size(H)));
H_hat = chest_estimate(\"/usr/share/chest/models/scm_16x4.h5\", Y, 0.1);
assert(size(H_hat), [16 4 200]);
assert(max(abs(chest_estimate(\"ls:16x4\", Y, 0.1)(:) - Y(:))) < 1e-5);
assert(! isempty(strfind(help(\"chest_estimate\"), \"NOISE_VAR\")));
printf(\"chest_estimate: LS %.2f dB, dmse %.2f dB\\n\", 10 * log10(sumsq(abs((Y - H)(:))) / sumsq(abs(H(:)))), ...
  10 * log10(sumsq(abs((H_hat - H)(:))) / sumsq(abs(H(:)))));
'"

say "consumers of the C interface: a C compiler and pkg-config, and CMake"
within "apt-get install -y -qq --no-install-recommends gcc g++ libc6-dev pkg-config cmake make" >> "$work/log" 2>&1
within "cc -std=c99 -Wall -Wextra -Werror -O1 /usr/share/doc/libchest-dev/examples/c/estimate.c \
    \$(pkg-config --cflags --libs chest) -lm -o estimate && ./estimate /usr/share/chest/models/scm_64x16.h5"
within "cmake -S . -B c -DCOMPONENTS=c > /dev/null && cmake --build c > /dev/null && c/uses_c"

say "consumers of the C++ components, with what libchest-dev recommends"
within "apt-get install -y -qq \$(dpkg-deb -f /packages/libchest-dev_*.deb Recommends | tr -d ,) --no-install-recommends" >> "$work/log" 2>&1 ||
  { tail -n 30 "$work/log" >&2; exit 1; }
within "cmake -S . -B cpp -DCOMPONENTS=estimators,sim,cli,testing > /dev/null && cmake --build cpp > /dev/null &&
  cpp/calls_estimators && cpp/uses_sim && cpp/uses_cli --version && cpp/uses_testing | tail -n 1"
say "removed again"
within "apt-get purge -y -qq chest chest-models libchest0 libchest-dev octave-chest python3-chest" >> "$work/log" 2>&1
left=$(find "$root/usr" "$root/etc" "$root/var" ! -path "*/var/cache/*" \
  \( -name "chest*" -o -name "libchest*" -o -name "python3-chest*" -o -name "octave-chest*" \) | head)
[ -z "$left" ] || { echo "left behind: $left" >&2; exit 1; }
echo "all of it worked"
