#!/usr/bin/env bash
# Builds the site from docs/, the public headers and the Python package, without warnings:
#   scripts/build_docs.sh [FOLDER]        (build/docs; open FOLDER/html/index.html)
# Needs Debian's python3-sphinx, python3-sphinx-rtd-theme, python3-myst-parser, python3-breathe, python3-numpy and doxygen.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-build/docs}")
python=/usr/bin/python3
[ -x $python ] || python=python3
rm -rf "$out"
mkdir -p "$out"

# Every public header has its place on a page.
for header in $(git ls-files '*/include/chest/*.hpp'); do
  grep -qF "{doxygenfile} ${header#*/include/}" docs/site/api_*.md ||
    { echo "build_docs: no page of docs/site shows ${header#*/include/}" >&2; exit 1; }
done
# Doxygen reads the headers; Breathe puts them among the pages. Names are shown without the inline namespace.
headers=$(git ls-files '*/include/chest/*.hpp' bindings/c/chest.h bindings/c/chest.hpp)
doxygen - > "$out/doxygen.log" <<DOXYGEN
PROJECT_NAME = chest
INPUT = $(echo $headers)
OUTPUT_DIRECTORY = $out
XML_OUTPUT = xml
GENERATE_XML = YES
GENERATE_HTML = NO
GENERATE_LATEX = NO
XML_PROGRAMLISTING = NO
EXTRACT_ALL = YES
QUIET = YES
WARN_AS_ERROR = FAIL_ON_WARNINGS
WARN_IF_UNDOCUMENTED = NO
WARN_IF_INCOMPLETE_DOC = NO
MACRO_EXPANSION = YES
EXPAND_ONLY_PREDEF = YES
PREDEFINED = CHEST_API=
INPUT_FILTER = "perl docs/site/as_doxygen_reads.pl"
TYPEDEF_HIDES_STRUCT = YES
DOXYGEN
$python -m sphinx -W --keep-going -q -c docs/site -b html -d "$out/doctrees" -D breathe_projects.cpp="$out/xml" . "$out/html"
echo "$out/html/index.html"
