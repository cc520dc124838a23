# A header as Doxygen should read it: perl docs/site/as_doxygen_reads.pl FILE
undef $/;
$_ = <>;
# Without namespaces, which Breathe would declare once for each header.
s/^(inline )?namespace (chest|v0|cli|contract|detail|sim) \{\n//mg;
s/^\} +\/\/ namespace (chest|v0|cli|contract|detail|sim)\n//mg;
# Tables of options without their rows: docs/options.md has them.
s/(constexpr auto \w+)\s*=\s*options_of<.*?\);\n/$1;\n/sg;
# Conditions of options without what they ask.
s/^((?:inline )?constexpr auto \w+)\s*=\s*\[.*?\};\n/$1;\n/msg;
# Friends are no part of an interface.
s/^ +friend .*;\n//mg;
# Functions of a base class that stay visible beside new ones are described there.
s/^ +using \w+::\w+;\n//mg;
# Signs that Doxygen takes for commands are text, indented formulas stand as they are.
s/^( *\/\/\/.*)$/(my $line = $1) =~ s{([\\#])}{\\$1}g; $line/mge;
s/^( *\/\/\/)   (?=\S)/$1       /mg;
# "Error(io) if ...; Error(format) if ..." is a sentence.
s/\@throws +/\@par Throws\n\/\/\/ /g;
# chest.h has plain comments, for C compilers of any age: those behind code belong to it, others to what follows.
if ($ARGV =~ /\.h$/) {
  s/^(.*[;,{A-Z] *)\/\* /$1\/**< /mg;
  s/^( *)\/\* /$1\/** /mg;
  # Indented lists of arguments stand as they are.
  s/^( \* \S.*\n)(?= \*   \S)/$1 *\n/mg;
  s/^ \*   (?=\S)/ *       /mg;
}
print;
