#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/program.hpp"

// "The first five minutes" of docs/formats.md, done as it says.
namespace chest {
namespace {

/// What a section of the document says to run, and what chest is to say then.
struct Recipe {
  std::string code;                 ///< its first block
  std::string command;              ///< "info channels.npy --axes nrt0"
  std::vector<std::string> answer;  ///< lines
};

Recipe recipe_of(const std::string& tool) {
  std::istringstream document(text_of(CHEST_SOURCE_DIR "/docs/formats.md"));
  Recipe recipe;
  bool here = false, in_code = false, had_code = false;
  for (std::string line; std::getline(document, line);) {
    if (line.rfind("##", 0) == 0) here = line == "### " + tool;
    if (!here) continue;
    if (line.rfind("```", 0) == 0) {
      in_code = !in_code && !had_code;
      had_code = true;
    } else if (in_code) {
      recipe.code += line + "\n";
    } else if (line.rfind("    $ chest ", 0) == 0) {
      recipe.command = line.substr(12);
    } else if (line.rfind("    ", 0) == 0 && !recipe.command.empty()) {
      recipe.answer.push_back(line.substr(4));
    }
  }
  return recipe;
}

bool succeeds(const std::string& command) { return std::system(command.c_str()) == 0; }

void expect_recipe(const std::string& tool, const std::string& interpreter,
                   const std::string& before) {
  SCOPED_TRACE(tool);
  const Recipe recipe = recipe_of(tool);
  ASSERT_FALSE(recipe.code.empty() || recipe.command.empty() || recipe.answer.size() < 3);
  const TemporaryFolder folder;
  std::ofstream(folder / "script") << before << recipe.code;
  const std::string at = "cd " + (folder / "").string() + " && ";
  ASSERT_TRUE(succeeds(at + interpreter + " script > log 2>&1")) << text_of(folder / "log");
  ASSERT_TRUE(succeeds(at + CHEST_PROGRAM + " " + recipe.command + " > out 2> err"))
      << text_of(folder / "err");
  EXPECT_EQ(text_of(folder / "err"), "");
  const std::string out = text_of(folder / "out");
  for (const std::string& line : recipe.answer)
    EXPECT_NE(out.find(line + "\n"), std::string::npos) << line << "\n" << out;
}

TEST(FormatsDocument, FirstFiveMinutesInPython) {
  const std::string python = "/usr/bin/python3";
  if (!succeeds(python + " -c 'import h5py, numpy' 2> /dev/null"))
    GTEST_SKIP() << "h5py of " << python << " is not installed";
  const std::string before =
      "import h5py\nimport numpy as np\nrng = np.random.default_rng(1)\n"
      "def draw(*n): return (rng.normal(size=n) + 1j * rng.normal(size=n)) / np.sqrt(2)\n";
  expect_recipe("NumPy", python, before + "H = draw(1000, 8, 4)\n");
  expect_recipe("h5py", python, before + "H = draw(1000, 8, 4)\n");
  expect_recipe("Sionna", python,
                before +
                    "class h_freq:\n  numpy = lambda: draw(1000, 1, 8, 1, 4, 2, "
                    "13).astype('complex64')\n");
  expect_recipe("DeepMIMO", python,
                before +
                    "class dataset:\n  compute_channels = lambda: "
                    "np.concatenate([draw(1000, 8, 4, 5), np.zeros((3, 8, 4, "
                    "5))]).astype('complex64')\n");
  expect_recipe("CsiNet", python, before + "HT = rng.uniform(0.45, 0.55, size=(1000, 2048))\n");
}

TEST(FormatsDocument, FirstFiveMinutesInOctave) {
  if (!succeeds("command -v octave-cli > /dev/null")) GTEST_SKIP() << "octave-cli is not installed";
  expect_recipe("Octave", "octave-cli --quiet --no-init-file",
                "H = (randn(1000, 8, 4) + 1i * randn(1000, 8, 4)) / sqrt(2);\n");
}

}  // namespace
}  // namespace chest
