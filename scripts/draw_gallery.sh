#!/usr/bin/env bash
# Draws the figures of docs/site/gallery.md by the commands that stand there: scripts/draw_gallery.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "${1:-build/release/cli/chest}")
tree=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p docs/gallery
ln -s "$program" "$work/chest"
ln -s "$tree/models" "$work/models"
cd "$work"
export PATH=$work:$PATH
grep '^    chest ' "$tree/docs/site/gallery.md" | while read -r command; do
  echo "\$ $command" >&2
  eval "$command --quiet" > log < /dev/null || { cat log >&2; exit 1; }
done
for figure in $(grep -o '../gallery/[a-z_]*\.png' "$tree/docs/site/gallery.md" | sed 's#.*/##'); do
  cp "$figure" "$tree/docs/gallery/"
done
