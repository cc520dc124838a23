#!/usr/bin/env python3
"""Writes sim/coding/base_graphs.hpp: the shifts of 3GPP TS 38.212, tables 5.3.2-2 and 5.3.2-3.

    pip install sionna-no-rt==2.2.0
    python3 make_base_graphs.py > ../../../sim/coding/base_graphs.hpp

The numbers are the standard's; they are read from the two tables that the package brings as files.
"""
import csv
import importlib.util
import pathlib

folder = pathlib.Path(importlib.util.find_spec("sionna").submodule_search_locations[0])
print("// The shifts of 3GPP TS 38.212, tables 5.3.2-2 and 5.3.2-3: row, column, V of the sets 0 .. 7.")
print("// Written by tests/golden/coding/make_base_graphs.py.")
print("""// clang-format off
#pragma once

#include <cstdint>

namespace chest {
inline namespace v0 {
namespace sim {
""")
for graph in (1, 2):
    path = folder / f"phy/fec/ldpc/codes/5G_bg{graph}.csv"
    rows = list(csv.reader(path.open(), delimiter=";"))[2:]
    entries, row = [], None
    for cells in rows:
        if not "".join(cells).strip():
            continue
        if cells[0].strip():
            row = int(cells[0])
        entries.append([row, *(int(c) for c in cells[1:10])])
    print(f"inline constexpr std::uint16_t base_graph_{graph}[][10] = {{")
    line = "   "
    for entry in entries:
        text = " {" + ",".join(map(str, entry)) + "},"
        if len(line) + len(text) > 118:
            print(line)
            line = "   "
        line += text
    print(line + "};")
print("""
}  // namespace sim
}  // namespace v0
}  // namespace chest""")
