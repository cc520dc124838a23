#!/usr/bin/env python3
"""Writes the parity-check matrix of a standard's LDPC code as alist, for chest code --alist.

    standard_alist.py wifi-648-540 > wifi.alist      IEEE 802.11n, n = 648, rate 5/6
    standard_alist.py wimax-576-288 > wimax.alist    IEEE 802.16e, n = 576, rate 1/2
"""
import sys

# z, z of the table, the table of shifts: -1 is a zero block.
CODES = {
    "wifi-648-540": (27, 27, """
17 13  8 21  9  3 18 12 10  0  4 15 19  2  5 10 26 19 13 13  1  0 -1 -1
 3 12 11 14 11 25  5 18  0  9  2 26 26 10 24  7 14 20  4  2 -1  0  0 -1
22 16  4  3 10 21 12  5 21 14 19  5 -1  8  5 18 11  5  5 15  0 -1  0  0
 7  7 14 14  4 16 16 24 24 10  1  7 15  6 10 26  8 18 21 14  1 -1 -1  0"""),
    "wimax-576-288": (24, 96, """
-1 94 73 -1 -1 -1 -1 -1 55 83 -1 -1  7  0 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1
-1 27 -1 -1 -1 22 79  9 -1 -1 -1 12 -1  0  0 -1 -1 -1 -1 -1 -1 -1 -1 -1
-1 -1 -1 24 22 81 -1 33 -1 -1 -1  0 -1 -1  0  0 -1 -1 -1 -1 -1 -1 -1 -1
61 -1 47 -1 -1 -1 -1 -1 65 25 -1 -1 -1 -1 -1  0  0 -1 -1 -1 -1 -1 -1 -1
-1 -1 39 -1 -1 -1 84 -1 -1 41 72 -1 -1 -1 -1 -1  0  0 -1 -1 -1 -1 -1 -1
-1 -1 -1 -1 46 40 -1 82 -1 -1 -1 79  0 -1 -1 -1 -1  0  0 -1 -1 -1 -1 -1
-1 -1 95 53 -1 -1 -1 -1 -1 14 18 -1 -1 -1 -1 -1 -1 -1  0  0 -1 -1 -1 -1
-1 11 73 -1 -1 -1  2 -1 -1 47 -1 -1 -1 -1 -1 -1 -1 -1 -1  0  0 -1 -1 -1
12 -1 -1 -1 83 24 -1 43 -1 -1 -1 51 -1 -1 -1 -1 -1 -1 -1 -1  0  0 -1 -1
-1 -1 -1 -1 -1 94 -1 59 -1 -1 70 72 -1 -1 -1 -1 -1 -1 -1 -1 -1  0  0 -1
-1 -1  7 65 -1 -1 -1 -1 39 49 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1  0  0
43 -1 -1 -1 -1 66 -1 41 -1 -1 -1 26  7 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1  0"""),
}

if len(sys.argv) != 2 or sys.argv[1] not in CODES:
    sys.exit(__doc__)
z, z_table, text = CODES[sys.argv[1]]
table = [[int(word) for word in line.split()] for line in text.strip().splitlines()]
checks = [[column * z + (i + shift * z // z_table) % z + 1 for column, shift in enumerate(row) if shift >= 0]
          for row in table for i in range(z)]
n = len(table[0]) * z
bits = [[] for _ in range(n)]
for check, members in enumerate(checks, 1):
    for bit in members:
        bits[bit - 1].append(check)
print(n, len(checks))
print(max(map(len, bits)), max(map(len, checks)))
for lists in (bits, checks):
    print(*map(len, lists))
for lists in (bits, checks):
    longest = max(map(len, lists))
    for entries in lists:
        print(*entries, *[0] * (longest - len(entries)))
