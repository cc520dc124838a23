#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include <chest/provenance.hpp>

#include "bindings/c/chest.h"

namespace {

namespace fs = std::filesystem;

const fs::path root = CHEST_SOURCE_DIR;

std::vector<std::string> lines_of(const fs::path& file) {
  std::ifstream in(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// Without the blanks that indent all of it.
std::vector<std::string> flush_left(std::vector<std::string> lines) {
  std::size_t indent = std::string::npos;
  for (const std::string& line : lines) indent = std::min(indent, line.find_first_not_of(' '));
  for (std::string& line : lines) line.erase(0, line.empty() ? 0 : indent);
  return lines;
}

bool quotes(const fs::path& file, const std::vector<std::string>& block) {
  const std::vector<std::string> lines = lines_of(file);
  for (std::size_t i = 0; i + block.size() <= lines.size(); ++i) {
    if (flush_left({lines.begin() + i, lines.begin() + i + block.size()}) == block) return true;
  }
  return false;
}

// What a reader copies from the documents compiles: each block of C++ is, line by line, a part of a
// program in examples/, and those are built.
TEST(Documents, BlocksOfCppAreQuotedFromExamples) {
  std::vector<fs::path> documents{root / "README.md"}, examples;
  for (const auto& entry : fs::directory_iterator(root / "docs")) {
    if (entry.path().extension() == ".md") documents.push_back(entry.path());
  }
  for (const auto& entry : fs::directory_iterator(root / "examples")) {
    if (entry.path().extension() == ".cpp") examples.push_back(entry.path());
  }
  std::size_t n_blocks = 0;
  for (const fs::path& document : documents) {
    const std::vector<std::string> lines = lines_of(document);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      // C++ is marked as such, so that it is found here.
      EXPECT_FALSE(
          std::regex_search(lines[i], std::regex("^    (#include|auto |const auto|std::|chest::)")))
          << document << ":" << i + 1 << ": C++ outside of ```cpp";
      if (lines[i] != "```cpp") continue;
      std::vector<std::string> block;
      for (++i; i < lines.size() && lines[i] != "```"; ++i) block.push_back(lines[i]);
      ++n_blocks;
      EXPECT_TRUE(
          std::any_of(examples.begin(), examples.end(),
                      [&](const fs::path& file) { return quotes(file, flush_left(block)); }))
          << document << ":" << i + 1 - block.size() << " is not a part of any file in examples/:\n"
          << block.front();
    }
  }
  EXPECT_GE(n_blocks, 2u);
}

// Links between pages work in the repository; the site (scripts/build_docs.sh) is made of the same pages.
TEST(Documents, LinksLeadToFiles) {
  const std::regex link("\\]\\(([^)#:]+)(#[^)]*)?\\)");
  std::size_t n_links = 0;
  for (const char* folder : {".", "docs", "docs/site", "models"}) {
    for (const auto& entry : fs::directory_iterator(root / folder)) {
      if (entry.path().extension() != ".md") continue;
      for (const std::string& line : lines_of(entry.path())) {
        if (line.rfind("    ", 0) == 0) continue;  // code
        for (std::sregex_iterator it(line.begin(), line.end(), link), end; it != end; ++it) {
          ++n_links;
          EXPECT_TRUE(fs::exists(entry.path().parent_path() / it->str(1)))
              << entry.path() << ": " << it->str(1);
        }
      }
    }
  }
  EXPECT_GT(n_links, 100u);
}

// The version stands in CMakeLists.txt; what cannot read it there says the same.
TEST(Repository, HasOneVersion) {
  const auto find = [](const char* file, const char* pattern) {
    for (const std::string& line : lines_of(root / file)) {
      std::smatch found;
      if (std::regex_search(line, found, std::regex(pattern))) return found.str(1);
    }
    return std::string("none in ") + file;
  };
  const std::string version = find("CMakeLists.txt", R"(^project\(chest VERSION ([0-9.]+))");
  EXPECT_TRUE(std::regex_match(version, std::regex("[0-9]+[.][0-9]+[.][0-9]+"))) << version;
  EXPECT_EQ(chest::version(), version);
  EXPECT_EQ(chest_version(), version);
  EXPECT_EQ(find("CHANGELOG.md", "^## ([0-9.]+)"), version);
  // Debian's may have a revision behind it.
  EXPECT_EQ(find("debian/changelog", R"(^chest \(([0-9.]+)[^)]*\))"), version);
  EXPECT_EQ(find("bindings/c/chest.h", "chest_version[(]void[)]; /[*] \"([0-9.]+)\" [*]/"),
            version);
  // pyproject.toml reads CMakeLists.txt itself.
  EXPECT_EQ(find("pyproject.toml", "^(version) *="), "none in pyproject.toml");
  EXPECT_EQ(find("pyproject.toml", "^input = \"(.*)\""), "CMakeLists.txt");
}

// A public header names the standard headers of what it uses, whatever Armadillo brings along.
TEST(PublicHeaders, IncludeTheStandardNamesTheyUse) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> homes{
      {"array", {"array"}},
      {"atomic", {"atomic"}},
      {"complex", {"complex"}},
      {"exception", {"exception"}},
      {"filesystem", {"filesystem::\\w+"}},
      {"functional", {"function", "hash"}},
      {"initializer_list", {"initializer_list"}},
      {"iosfwd|ostream|iostream|istream", {"ostream", "istream"}},
      {"list", {"list"}},
      {"map", {"map"}},
      {"memory", {"unique_ptr", "shared_ptr", "make_unique", "make_shared"}},
      {"mutex", {"mutex", "lock_guard", "unique_lock"}},
      {"optional", {"optional", "nullopt"}},
      {"set", {"set"}},
      {"sstream", {"ostringstream", "istringstream"}},
      {"stdexcept", {"runtime_error", "logic_error"}},
      {"string", {"string", "to_string"}},
      {"string_view", {"string_view"}},
      {"thread", {"thread"}},
      {"tuple", {"tuple"}},
      {"utility", {"pair", "move", "forward", "swap", "exchange"}},
      {"variant", {"variant"}},
      {"vector", {"vector"}},
      {"cmath",
       {"sqrt", "abs", "isfinite", "isinf", "isnan", "log", "exp", "pow", "log10", "round"}},
      {"algorithm", {"min", "max", "sort", "clamp", "find", "any_of", "all_of"}},
      {"limits", {"numeric_limits"}},
      {"cstdint", {"u?int(8|16|32|64)_t"}},
      {"cstddef|cstdint|string|vector|memory|array", {"size_t"}},
  };
  std::vector<fs::path> headers;
  for (const char* folder : {"src", "channels", "estimators", "sim", "cli", "testing"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string path = entry.path().generic_string();
      const bool is_public = path.find("/include/chest/") != std::string::npos;
      if (is_public && entry.path().extension() == ".hpp") headers.push_back(entry.path());
    }
  }
  EXPECT_GT(headers.size(), 40u);
  for (const fs::path& path : headers) {
    std::string code, includes;
    for (std::string line : lines_of(path)) {
      if (line.rfind("#include <", 0) == 0) includes += line + "\n";
      line.erase(std::min(line.find("//"), line.size()));
      code += line + "\n";
    }
    for (const auto& [header, names] : homes) {
      if (std::regex_search(includes, std::regex("<(" + header + ")>"))) continue;
      for (const std::string& name : names) {
        std::smatch found;
        EXPECT_FALSE(std::regex_search(code, found, std::regex("std::" + name + "\\b")))
            << path << " uses " << found.str() << " without <" << header << ">";
      }
    }
  }
}

// All public headers fit into one source: no two of them give one name to two types.
TEST(PublicHeaders, NameEachTypeOnce) {
  const std::regex opens_namespace("namespace (sim|cli|contract|detail) \\{");
  const std::regex defines(
      "^(struct|class|enum class) (\\w+)\\b(?!<)[^;]*\\{");  // no specialisation
  std::map<std::string, fs::path> homes;
  for (const char* folder : {"src", "channels", "estimators", "sim", "cli", "testing"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      if (entry.path().generic_string().find("/include/chest/") == std::string::npos) continue;
      if (entry.path().extension() != ".hpp") continue;
      std::string inner;
      for (const std::string& line : lines_of(entry.path())) {
        std::smatch found;
        if (std::regex_match(line, found, opens_namespace)) inner = found.str(1) + "::";
        if (!std::regex_search(line, found, defines)) continue;
        const auto [home, is_new] = homes.emplace(inner + found.str(2), entry.path());
        EXPECT_TRUE(is_new) << found.str(2) << " is defined in " << home->second << " and in "
                            << entry.path();
      }
    }
  }
  EXPECT_GT(homes.size(), 100u);
}

}  // namespace
