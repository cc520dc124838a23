// What the program says of itself: --help, --version, chest estimators; and what it answers to words
// that it cannot use.
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include <chest/archive.hpp>
#include <chest/file.hpp>
#include <chest/text.hpp>

#include "cli/commands.hpp"
#include "cli/help_text.hpp"
#include "tests/support/program.hpp"

namespace chest::cli {
namespace {

using Words = std::vector<std::string>;

/// stdout of a run that must succeed.
std::string output(const Words& words) {
  Program program(words);
  EXPECT_EQ(program.status(), 0) << program.err();
  return program.out();
}

/// stderr of a run that must end with this status.
std::string message(int status, const Words& words) {
  Program program(words);
  EXPECT_EQ(program.status(), status) << program.err();
  return program.err();
}

std::size_t n_lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void expect_readable(const std::string& text) {
  for (const std::string& line : split(text, '\n')) EXPECT_LE(line.size(), 100u) << line;
  EXPECT_FALSE(std::regex_search(text, std::regex("\\barg\\b"))) << text;
  const std::regex number("[0-9.]+");
  for (std::sregex_iterator i(text.begin(), text.end(), number), end; i != end; ++i)
    EXPECT_LE(i->length(), 12) << i->str();
}

TEST(Help, FitsAScreenForEveryCommand) {
  for (const Command& command : commands()) {
    const std::string text = output({command.name, "--help"});
    EXPECT_LE(n_lines(text), 70u) << text;
    EXPECT_TRUE(holds(text, "usage: chest " + command.name)) << text;
    expect_readable(text);
    EXPECT_EQ(output({"help", command.name}), text);
  }
}

TEST(Help, SaysSomethingOfEveryFlag) {
  for (const Command& command : commands()) {
    const CommandHelp help = help_of(command, built_in());
    EXPECT_FALSE(help.summary.empty()) << command.name;
    std::set<std::string> names;
    for (const Section& section : help.sections) {
      EXPECT_FALSE(section.title.empty()) << command.name;
      EXPECT_FALSE(section.flags.empty()) << command.name << " " << section.title;
      for (const Flag& flag : section.flags) {
        EXPECT_GE(flag.help.size(), 5u) << command.name << " --" << flag.name;
        EXPECT_TRUE(names.insert(flag.name).second) << command.name << " --" << flag.name;
      }
    }
    for (const char* general : {"quiet", "config", "help"}) EXPECT_EQ(names.count(general), 1u);
  }
}

TEST(Help, ShowsOnlyFlagsThatAreAccepted) {
  for (const Command& command : commands()) {
    Words words{command.name};
    for (const std::string& line : split(output({command.name, "--help"}), '\n')) {
      // "  --snr RANGE  ...": a flag with a value, where one blank follows the flag.
      std::smatch flag;
      if (!std::regex_search(line, flag, std::regex("^  (--[a-z0-9-]+)( [^ ]+)?( |$)"))) continue;
      words.push_back(flag[1]);
      if (flag[2].matched) words.push_back("3");
    }
    ASSERT_GE(words.size(), 2u);
    words.push_back("--help");  // names and values of all flags are looked at before it is answered
    EXPECT_TRUE(holds(output(words), "usage: ")) << command.name;
  }
}

TEST(Help, ListsTheCommands) {
  const std::string text = output({"--help"});
  EXPECT_EQ(output({"help"}), text);
  EXPECT_EQ(output({"-h"}), text);
  for (const Command& command : commands()) EXPECT_TRUE(holds(text, "\n  " + command.name + " "));
  EXPECT_TRUE(holds(text, "lmmse, gmm, dmse, vae"));
  expect_readable(text);
  EXPECT_TRUE(holds(message(2, {}), "usage: chest COMMAND"));
  EXPECT_EQ(message(2, {"swep"}), "chest: there is no command 'swep'; did you mean sweep?\n");
  EXPECT_EQ(message(2, {"help", "swep"}),
            "chest: there is no command 'swep'; did you mean sweep?\n");
  EXPECT_EQ(message(2, {"--verson"}), "chest: unknown option --verson; did you mean --version?\n");
  EXPECT_TRUE(holds(message(2, {"frobnicate"}), "; there are generate, info, "));
}

TEST(Help, VersionNamesWhatItWasBuiltWith) {
  const std::string text = output({"--version"});
  EXPECT_TRUE(std::regex_search(
      text, std::regex("^chest [0-9]+\\.[0-9]+\\.[0-9]+ \\([^)]+\\)\n  LibTorch +(none|[0-9.]+).*\n"
                       "  Armadillo +[0-9.]+\n  HDF5 +[0-9.]+.*\n  compiler +[A-Za-z]+ [0-9.]+\n")))
      << text;
}

TEST(EstimatorsCommand, ListsOneOfEach) {
  const std::string text = output({"estimators"});
  for (const CatalogEntry& estimator : built_in().entries()) {
    EXPECT_TRUE(std::regex_search(
        text, std::regex("\n  " + estimator.name + " +" +
                         (estimator.model.empty() ? "-" : estimator.model) + " +\\S")))
        << estimator.name << '\n'
        << text;
  }
  expect_readable(text);
}

TEST(EstimatorsCommand, ShowsTheOptionsOfOne) {
  for (const CatalogEntry& estimator : built_in().entries()) {
    const std::string text = output({"estimators", estimator.name});
    EXPECT_TRUE(holds(text, estimator.name + ": ")) << text;
    expect_readable(text);
    for (const OptionInfo& option : estimator.options) {
      EXPECT_TRUE(holds(text, "\n  " + spelling(option))) << option.name << '\n' << text;
      EXPECT_FALSE(option.help.empty()) << estimator.name << " " << option.name;
    }
    EXPECT_EQ(parse_named_options(example_of(estimator)).name, estimator.name);
    EXPECT_TRUE(holds(text, "chest sweep ")) << text;
  }
  EXPECT_TRUE(holds(output({"estimators", "ep"}), "default 0.5"));
  EXPECT_EQ(message(2, {"estimators", "dmze"}),
            "chest estimators: there is no estimator 'dmze'; did you mean dmse?\n");
}

TEST(EstimatorsCommand, ExamplesRun) {
  const TemporaryFolder folder;
  const std::string channels = (folder / "channels.h5").string();
  output({"generate", "scm", "--n-rx", "4", "--n-tx", "2", "--n-samples", "8", "--out", channels});
  for (const CatalogEntry& estimator : built_in().entries()) {
    if (!estimator.model.empty()) continue;
    output({"sweep", "--channels", channels, "--snr", "0", "--estimators", example_of(estimator)});
  }
}

/// Channels 4x2, made once.
class Flags : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    output({"generate", "scm", "--n-rx", "4", "--n-tx", "2", "--n-samples", "64", "--out",
            file("channels.h5")});
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::string file(const std::string& name) { return (*folder_ / name).string(); }
  static Words sweep(const Words& more) {
    Words words{"sweep", "--channels", file("channels.h5")};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

 private:
  static TemporaryFolder* folder_;
};
TemporaryFolder* Flags::folder_ = nullptr;

TEST_F(Flags, QuietShowsNoProgressAndKeepsWarnings) {
  Program loud(sweep({"--snr", "0,10"})), quiet(sweep({"--snr", "0,10", "--quiet"}));
  EXPECT_EQ(loud.status(), 0);
  EXPECT_TRUE(holds(loud.err(), "100%"));
  EXPECT_EQ(quiet.status(), 0);
  EXPECT_EQ(quiet.err(), "");
  EXPECT_TRUE(holds(quiet.out(), "ls"));
  EXPECT_EQ(
      message(0, {"generate", "rayleigh", "--n-samples", "9", "--quiet", "--out", file("q.h5")}),
      "");
  EXPECT_TRUE(holds(message(1, sweep({"--quiet", "--out", file("no/folder.h5")})), "no folder"));
  const std::string warned =
      message(0, {"estimate", "--observations", file("channels.h5"), "--snr", "10", "--estimator",
                  "ls", "--per-angle", "--quiet", "--out", file("estimates.h5")});
  EXPECT_EQ(warned,
            "chest: warning: ls does not know the error of single angles; "
            "/err_var_angular is left out\n");
}

TEST_F(Flags, ANegativeNumberIsAValue) {
  EXPECT_EQ(output(sweep({"--snr", "-10:10:0", "--quiet"})), output(sweep({"--snr=-10:10:0"})));
  EXPECT_EQ(message(2, sweep({"--seed", "-1"})),
            "chest sweep: --seed: '-1' is not a whole number, 0 or more\n");
  // A switch takes none.
  EXPECT_TRUE(holds(message(2, sweep({"--force", "-1"})), "unknown option -1"));
}

TEST_F(Flags, WrongWordsAreExplained) {
  const auto expect = [](const Words& words, const std::string& sentence) {
    EXPECT_EQ(message(2, words), "chest " + words[0] + ": " + sentence + "\n");
  };
  expect(sweep({"--snrr", "0"}), "unknown option --snrr; did you mean --snr?");
  expect(sweep({"--zzzzzzzz=3"}), "unknown option --zzzzzzzz; see chest sweep --help");
  expect(sweep({"-n"}), "unknown option -n; see chest sweep --help");
  expect(sweep({"--snr"}), "--snr needs a value: --snr RANGE");
  expect(sweep({"--snr="}), "--snr needs a value: --snr RANGE");
  expect(sweep({"--force=yes"}), "--force takes no value");
  expect(sweep({"--seed", "1", "--seed", "2"}), "--seed is given more than once");
  expect(sweep({"--seed", "abc"}), "--seed: 'abc' is not a whole number, 0 or more");
  expect(sweep({"--pilot-power", "much"}), "--pilot-power: 'much' is not a number");
  expect(sweep({"--threads", "99999999999"}),
         "--threads is 99999999999, expected at most 4294967295");
  expect({"fit"}, "the word after fit is missing: lmmse, gmm, dmse or vae; see chest fit --help");
  expect({"generate", "scmm"}, "--kind is 'scmm', expected scm, rayleigh, kronecker or gmm");
  expect(sweep({"--device", "gpu"}), "--device is 'gpu', expected cpu, cuda, cuda:N or auto");
  expect(sweep({"--device", "cuda:one"}),
         "--device is 'cuda:one', expected cpu, cuda, cuda:N or auto");
  output(sweep({"--device", "cuda:1", "--snr", "0"}));  // which ls has no use for
  expect({"fit", "lmmse", "--covariance", "banded"},
         "--covariance is 'banded', expected full, kronecker, toeplitz, dft or factors");
  Program words({"fit", "lmmse", "gmm"});
  EXPECT_EQ(words.status(), 2);
  EXPECT_TRUE(holds(words.err(), "too many words without a flag; usage: chest fit "))
      << words.err();
}

TEST_F(Flags, TheFileOfFlagsIsCheckedLikeTheFlags) {
  write_text_file(file("good.ini"), "snr=-5\nquiet=true\n# a remark\nmodulation=16qam\n");
  Words words = sweep({"--config", file("good.ini")});
  words[0] = "link";
  EXPECT_EQ(message(0, words), "");
  EXPECT_EQ(message(2, sweep({"--config", file("good.ini")})),
            "chest sweep: unknown option --modulation; see chest sweep --help\n");
  write_text_file(file("bad.ini"), "seed=many\n");
  EXPECT_EQ(message(2, sweep({"--config", file("bad.ini")})),
            "chest sweep: --seed: 'many' is not a whole number, 0 or more\n");
  EXPECT_EQ(message(1, sweep({"--config", file("none.ini")})),
            "chest sweep: --config " + file("none.ini") + " cannot be read\n");
}

TEST_F(Flags, FilesRecordAllOfThem) {
  output({"generate", "kronecker", "--n-samples", "8", "--rho-tx", "0.25", "--quiet", "--out",
          file("recorded.h5")});
  const ArchiveReader archive(file("recorded.h5"));
  const auto options = nlohmann::json::parse(archive.text_attribute("/", "options").value());
  EXPECT_EQ(options["rho-tx"], 0.25);
  EXPECT_EQ(options["rho-rx"], 0.9);
  EXPECT_EQ(options["kind"], "kronecker");
  EXPECT_EQ(options["n-samples"], 8);
  EXPECT_EQ(options["compress"], false);
  EXPECT_FALSE(options.contains("quiet"));
}

}  // namespace
}  // namespace chest::cli
