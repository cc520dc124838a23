// docs/options.md is what the option tables say. After a change of a table:
//   CHEST_UPDATE_DOCS=1 build/dev/tests/chest_tests --gtest_filter='OptionsDocument.*'
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <chest/estimators/catalog/catalog.hpp>

namespace chest {
namespace {

std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

std::string document() {
  std::ostringstream out;
  out << "# Options of the estimators\n\n"
         "Made from the option tables in the headers (tests/options_document_test.cpp); `chest "
         "estimators NAME`\n"
         "prints the same. [estimators.md](estimators.md) says what each estimator is.\n";
  for (const CatalogEntry& entry : built_in().entries()) {
    out << "\n## " << entry.name << "\n\n" << entry.summary << '.';
    if (!entry.model.empty()) out << " Model: kind `" << entry.model << "`.";
    out << "\n";
    if (entry.options.empty()) continue;
    out << "\n| option | range | default | meaning |\n| --- | --- | --- | --- |\n";
    for (const OptionInfo& option : entry.options) {
      out << "| `" << option.name;
      if (!option.placeholder.empty()) out << '=' << cell(option.placeholder);
      out << "` | " << cell(option.range) << " | " << cell(option.default_text) << " | "
          << cell((option.on_grid ? "on a grid: " : "") + option.help) << " |\n";
    }
  }
  return out.str();
}

TEST(OptionsDocument, SaysWhatTheTablesSay) {
  const std::string file = std::string(CHEST_SOURCE_DIR) + "/docs/options.md";
  if (std::getenv("CHEST_UPDATE_DOCS")) std::ofstream(file) << document();
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  EXPECT_EQ(text.str(), document()) << "run this test with CHEST_UPDATE_DOCS=1";
}

}  // namespace
}  // namespace chest
