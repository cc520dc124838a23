#!/usr/bin/env python3
"""Compiles each public header by itself, as C++17, with the include paths of what its library may know: what the target
all_verify_interface_header_sets does, but only for its messages, and with Armadillo read once.

    scripts/check_headers.py [BUILD_FOLDER]        (build/dev, which is configured)

Headers include before they declare, so that one which leads to Armadillo says the same with Armadillo in front of it.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/dev")
commands = [entry for entry in json.loads((build / "compile_commands.json").read_text())
            if "_verify_interface_header_sets" in entry["file"]]
if not commands:
    sys.exit(f"check_headers: {build}/compile_commands.json names no header; expected a configured build folder")
cpus = len(os.sched_getaffinity(0))


def options_of(command):
    """The compiler and its options, without what is compiled and where the object goes."""
    words = shlex.split(command)
    words = words[next(i for i, word in enumerate(words) if not word.endswith("ccache")):]
    out, i = [], 0
    while i < len(words):
        if words[i] in ("-o", "-c", "-x"):
            i += 1 if words[i] != "-c" else 0
        elif not words[i].endswith(".cxx"):
            out.append(words[i])
        i += 1
    return out


def leads_to_armadillo(header, folders, known):
    """Whether a header of ours, or one that it includes, includes Armadillo."""
    if header not in known:
        known[header] = False
        file = next((folder / header for folder in folders if (folder / header).exists()), None)
        included = re.findall(r'^#include [<"]([^>"]+)[>"]', file.read_text(), re.M) if file else []
        known[header] = any(name == "armadillo" or leads_to_armadillo(name, folders, known) for name in included)
    return known[header]


def check(entry, folder):
    options = options_of(entry["command"])
    header = re.search(r"#include <([^>]+)>", pathlib.Path(entry["file"]).read_text()).group(1)
    folders = [pathlib.Path(word[2:]) for word in options if word.startswith("-I")]
    if leads_to_armadillo(header, folders, {}):
        options += ["-Winvalid-pch", "-include", str(folder / "armadillo.hpp")]
    done = subprocess.run([*options, "-fsyntax-only", "-x", "c++", entry["file"]], cwd=entry["directory"], text=True,
                          capture_output=True)
    return header, done.stdout + done.stderr, done.returncode


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    first = options_of(commands[0]["command"])
    (folder / "armadillo.hpp").write_text("#include <armadillo>\n")
    subprocess.run([word for word in first if not word.startswith("-I")] +
                   ["-x", "c++-header", str(folder / "armadillo.hpp")], check=True, cwd=build)
    with concurrent.futures.ThreadPoolExecutor(cpus) as pool:
        results = list(pool.map(lambda entry: check(entry, folder), commands))
failed = [header for header, text, status in results if status != 0]
for header, text, status in results:
    sys.stderr.write(text)
if failed:
    sys.exit(f"check_headers: {len(failed)} of {len(results)} do not compile by themselves: {', '.join(sorted(failed))}")
print(f"{len(results)} public headers compile by themselves")
