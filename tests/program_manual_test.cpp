// The manual and the completion that the program writes of itself.
#include <gtest/gtest.h>

#include <cstdio>
#include <regex>
#include <set>

#include <chest/file.hpp>
#include <chest/text.hpp>

#include "cli/commands.hpp"
#include "cli/help_text.hpp"
#include "tests/support/program.hpp"

namespace chest::cli {
namespace {

/// What a shell command prints on both streams.
std::string printed_by(const std::string& command) {
  std::string text;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
  ::pclose(pipe);
  return text;
}

bool has_program(const std::string& name) {
  return printed_by("command -v " + name).find('/') != std::string::npos;
}

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Manual, IsCompleteAndClean) {
  const TemporaryFolder folder;
  const std::string man = (folder / "man").string();
  ASSERT_EQ(Program({"--man", man}).status(), 0);
  std::vector<std::string> pages{"chest"};
  for (const Command& command : commands()) {
    pages.push_back("chest-" + command.name);
    const std::string text = text_of(man + "/chest-" + command.name + ".1");
    for (const Section& section : help_of(command, built_in()).sections) {
      for (const Flag& flag : section.flags) {
        const std::string name = std::regex_replace("--" + flag.name, std::regex("-"), "\\-");
        EXPECT_TRUE(holds(text, name)) << command.name << " " << name;
      }
    }
  }
  const std::string text =
      std::regex_replace(text_of(man + "/chest-estimators.1"), std::regex("\\\\:"), "");
  for (const CatalogEntry& estimator : built_in().entries())
    for (const OptionInfo& option : estimator.options)
      EXPECT_TRUE(holds(text, std::regex_replace(spelling(option), std::regex("-"), "\\-")))
          << estimator.name << " " << option.name;
  for (const std::string& page : pages) {
    const std::string file = man + "/" + page + ".1";
    ASSERT_TRUE(std::filesystem::exists(file));
    if (has_program("groff")) {
      EXPECT_EQ(printed_by("groff -man -Tutf8 -ww -z " + file), "");
    }
    if (has_program("mandoc")) {
      EXPECT_EQ(printed_by("mandoc -T lint -W warning " + file), "");
    }
  }
}

/// What the Tab key would offer at the end of a line.
class Completion : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_program("bash")) GTEST_SKIP() << "no bash";
    Program script({"--bash-completion"});
    ASSERT_EQ(script.status(), 0);
    write_text_file(folder_ / "chest", script.out());
    write_text_file(folder_ / "tab.sh",
                    "source ./chest; COMP_LINE=$1; COMP_POINT=${#COMP_LINE}\n"
                    "COMP_WORDBREAKS=$' \\t\\n\"\\'@><=;|&(:'\n"
                    "_chest; echo \"${COMPREPLY[*]}\"\n");
    EXPECT_EQ(printed_by("bash -n " + (folder_ / "chest").string()), "");
  }
  std::string offered(const std::string& line) const {
    const std::string words =
        printed_by("cd " + (folder_ / ".").string() + " && bash --norc tab.sh \"" + line + "\"");
    return words.substr(0, words.find('\n'));
  }
  const TemporaryFolder folder_;
};

TEST_F(Completion, OffersCommandsAndFlags) {
  EXPECT_EQ(offered("chest sw"), "sweep");
  EXPECT_EQ(offered("chest help li"), "link");
  EXPECT_EQ(offered("chest sweep --est"), "--estimators");
  EXPECT_EQ(offered("chest estimate --est"), "--estimator");
  EXPECT_EQ(offered("chest sweep --qu"), "--quiet");
  EXPECT_EQ(offered("chest fit "), "lmmse gmm dmse vae");
  EXPECT_EQ(offered("chest fit dmse --o"), "--out --objective");
  EXPECT_EQ(offered("chest fit dmse --objective p"), "prediction");
  EXPECT_EQ(offered("chest plot --x="), "snr n_pilots");
  EXPECT_EQ(offered("chest sweep --device "), "cpu cuda auto");
  EXPECT_EQ(offered("chest sweep --seed "), "");
  EXPECT_EQ(offered("chest nonsense "), "");
}

TEST_F(Completion, OffersFilesForFiles) {
  write_text_file(folder_ / "model_a.h5", "");
  write_text_file(folder_ / "model_b.h5", "");
  const std::vector<std::string> both = split(offered("chest sweep --model model_"), ' ');
  EXPECT_EQ(std::set<std::string>(both.begin(), both.end()),
            (std::set<std::string>{"model_a.h5", "model_b.h5"}));
  EXPECT_EQ(offered("chest info model_a"), "model_a.h5");
  EXPECT_EQ(offered("chest sweep --estimators dmse@model_a"), "model_a.h5");
}

TEST_F(Completion, OffersEstimatorsAndTheirOptions) {
  EXPECT_EQ(offered("chest sweep --estimators dm"), "dmse dmps");
  EXPECT_EQ(offered("chest sweep --estimators=lm"), "lmmse");
  EXPECT_EQ(offered("chest sweep --estimators ls,lm"), "ls,lmmse");
  EXPECT_EQ(offered("chest estimators sb"), "sbl");
  // Bash replaces what stands behind ':', '=' and '('.
  EXPECT_EQ(offered("chest sweep --estimators ls,omp:over"), "oversampling=");
  EXPECT_EQ(offered("chest sweep --estimators omp:oversampling=2,spar"), "2,sparsity=");
  EXPECT_EQ(offered("chest sweep --estimators 'omp(over"), "omp(oversampling=");
  EXPECT_EQ(offered("chest sweep --estimators 'omp(oversampling=4),sb"), "omp(oversampling=4),sbl");
  EXPECT_EQ(offered("chest sweep --estimators 'ep(fallback=sbl(pen"), "ep(fallback=sbl(penalty=");
  EXPECT_EQ(offered("chest sweep --estimators 'ep(fallback=sbl(penalty=1),dam"),
            "ep(fallback=sbl(penalty=1),damping=");
  EXPECT_EQ(offered("chest sweep --estimators sbl:snr=u"), "unknown");
  EXPECT_EQ(offered("chest sweep --estimators ep:fallback=sb"), "sbl");
}

}  // namespace
}  // namespace chest::cli
