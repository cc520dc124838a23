// What the program says of itself: --help, --version, chest estimators; and what it answers to words
// that it cannot use.
#include <gtest/gtest.h>

#include <sys/resource.h>

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
#include "tests/support/sanitized.hpp"

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
    EXPECT_LE(n_lines(text), 75u) << text;
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
  expect(sweep({"--threads", "99999999999"}), "--threads is 99999999999, expected at most 1024");
  expect({"fit"}, "the word after fit is missing: lmmse, gmm, dmse or vae; see chest fit --help");
  expect({"generate", "scmm"},
         "--kind is 'scmm', expected scm, rayleigh, kronecker, gmm, power-law, regions, paths, tdl "
         "or cdl");
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

TEST_F(Flags, NumbersThatDoNotFitAreNamed) {
  const auto refused = [](const Words& more, const std::string& sentence) {
    EXPECT_EQ(message(2, sweep(more)), "chest sweep: " + sentence + "\n");
  };
  refused({"--threads", "-1"}, "--threads: '-1' is not a whole number, 0 or more");
  refused({"--threads", "100000"}, "--threads is 100000, expected at most 1024");
  refused({"--block", "-1"}, "--block: '-1' is not a whole number, 0 or more");
  refused({"--seed", "18446744073709551616"},
          "--seed is 18446744073709551616, expected at most 18446744073709551615");
  refused({"--seed", "1.5"}, "--seed: '1.5' is not a whole number, 0 or more");
  refused({"--snr", "10dB"}, "--snr: '10dB' is not a number; write 10");
  refused({"--snr", "\u221210"}, "--snr: '\u221210' is not a number; write -10");
  refused({"--snr", "nan"}, "--snr: 'nan' is not a number");
  refused({"--snr", "0:inf:20"}, "--snr: 'inf' is not a number");
  refused({"--pilot-power", "0,5"}, "--pilot-power: '0,5' is not a number; write 0.5");
  refused({"--stop-rel", "2%"}, "--stop-rel: '2%' is not a number; write 0.02");
  refused({"--block", "18446744073709551615"},
          "--block is 18446744073709551615, expected at most 1000000000");
  EXPECT_EQ(message(2, {"generate", "rayleigh", "--n-rx", "4294967296", "--n-tx", "4294967296",
                        "--out", file("large.h5")}),
            "chest generate: --n-rx is 4294967296, expected at most 65536\n");
  refused({"--snr=-10:20:5"},
          "--snr: the range '-10:20:5' holds -10 alone, its step is 20; write first:step:last, for "
          "example -10:5:20");
  EXPECT_TRUE(
      holds(message(0, sweep({"--quiet", "--snr", "20:-10:-5"})),
            "warning: --snr: the range '20:-10:-5' (first:step:last) ends at 0, before -5"));
  EXPECT_EQ(message(0, sweep({"--quiet", "--snr", "-1:0.1:1"})), "");
  EXPECT_EQ(output(sweep({"--quiet", "--snr", "0, 10"})), output(sweep({"--snr", "0,10"})));
  // More threads than the machine gives, and than there is work.
  EXPECT_EQ(output(sweep({"--quiet", "--snr", "0", "--threads", "1024"})),
            output(sweep({"--snr", "0", "--threads", "1"})));
  EXPECT_TRUE(holds(message(1, {"generate", "rayleigh", "--n-samples", "1000000000000", "--out",
                                file("large.h5")}),
                    " channels take "));
}

TEST_F(Flags, ThreadsThatCannotBeStartedAreDoneWithout) {
  if (is_sanitized) GTEST_SKIP() << "no limit on address space under a sanitizer";
  Program few(sweep({"--snr=0:1:20", "--threads", "64", "--block", "1"}), [] {
    const rlimit space{rlim_t{1} << 30, rlim_t{1} << 30};
    ::setrlimit(RLIMIT_AS, &space);
  });
  // Where even the program does not fit, there is nothing to see.
  EXPECT_GE(few.status(), 0);
  if (few.status() != 0) GTEST_SKIP() << few.err();
  EXPECT_EQ(few.out(), output(sweep({"--snr=0:1:20", "--threads", "1", "--block", "1"})));
}

TEST_F(Flags, PathsAreTakenWhole) {
  EXPECT_EQ(message(1, {"sweep", "--channels", "C:\\Users\\me\\channels.mat"}),
            "chest sweep: C:\\Users\\me\\channels.mat: there is no such file\n");
  EXPECT_EQ(message(1, {"sweep", "--channels", "C:\\Users\\me\\channels.mat:/H"}),
            "chest sweep: C:\\Users\\me\\channels.mat: there is no such file\n");
  EXPECT_EQ(message(1, {"info", "server:/data/H.h5"}),
            "chest info: server:/data/H.h5: there is no such file\n");
  output({"fit", "lmmse", "--channels", file("channels.h5"), "--out", file("m.h5")});
  output({"pilots", "--channels", file("channels.h5"), "--n-pilots", "2", "--out", file("P.h5")});
  std::filesystem::create_directory(file("a:1, b"));
  for (const std::string odd : {"a,b", "a:b", "a:1, b/x", "a'b", "\u03b1\u03b2", "a@b", "#1"}) {
    for (const char* name : {"channels.h5", "m.h5", "P.h5"})
      std::filesystem::copy_file(file(name), file(odd + name));
    output(sweep({"--snr", "0", "--model", file(odd + "m.h5"), "--estimators", "lmmse"}));
    output({"info", file(odd + "channels.h5") + ":/channels"});
    output(sweep({"--snr", "0", "--pilots", "dft:1,file=" + file(odd + "P.h5") + ",dft:2"}));
    output(sweep({"--snr", "0", "--pilots", "file=" + file(odd + "P.h5") + ":/pilots"}));
    output(sweep({"--snr", "0", "--pilots", "file=\"" + file(odd + "P.h5") + "\":/pilots,dft:2"}));
    const bool has_quote = odd.find('\'') != std::string::npos;
    if (!has_quote) {
      output(sweep({"--snr", "0", "--estimators", "ls,lmmse@" + file(odd + "m.h5") + ",omp"}));
    }
    output(sweep({"--snr", "0", "--estimators", "lmmse@\"" + file(odd + "m.h5") + "\""}));
  }
  EXPECT_TRUE(holds(message(2, sweep({"--pilots", "file=none,1.h5"})), "A comma separates pilots"));
  EXPECT_TRUE(holds(message(2, sweep({"--estimators", "lmmse@none,1.h5"})),
                    "a comma separates estimators"));
}

TEST_F(Flags, TheFileOfFlagsIsReadInEveryForm) {
  const std::string expected = output(sweep({"--quiet", "--snr", "0,10"}));
  const auto reads = [&](const std::string& text) {
    write_text_file(file("form.ini"), text);
    EXPECT_EQ(output(sweep({"--config", file("form.ini")})), expected) << text;
  };
  reads("\xEF\xBB\xBFsnr=0,10\nquiet=true\n");
  reads("snr = 0,10\r\nquiet = true\r\n");
  reads("\tsnr\t=\t0,10\t# a remark\n\n ; another\n#\n");
  reads("snr = \"0,10\"  # a remark\nestimators='ls'");
  reads("--snr=0,10");
  std::filesystem::copy_file(file("channels.h5"), file("a #1=b.h5"));
  write_text_file(file("form.ini"), "channels = \"" + file("a #1=b.h5") + "\"\nsnr=0,10\n");
  EXPECT_EQ(output({"sweep", "--config", file("form.ini")}), expected);

  const auto refused = [&](const std::string& text, const std::string& sentence) {
    write_text_file(file("form.ini"), text);
    EXPECT_EQ(message(2, sweep({"--config", file("form.ini")})), "chest sweep: " + sentence + "\n");
  };
  const std::string name = "--config " + file("form.ini");
  const std::string invalid = name + ": invalid line ";
  refused("seed=1\nsnr: 0\n", invalid + "2, 'snr: 0'; expected name=value");
  refused("--snr 0\n", invalid + "1, '--snr 0'; expected name=value");
  refused("[sweep]\nsnr=0\n", invalid + "1, '[sweep]'; expected name=value, without sections");
  refused("{\"snr\": 0}\n", invalid + "1, '{\"snr\": 0}'; expected name=value");
  refused("snr=\n", invalid + "1, 'snr='; expected name=value");
  refused("snr=\"0\" 1\n", invalid + "1, 'snr=\"0\" 1'; expected name=value");
  refused("seed=1\nseed=2\n", "--seed is given more than once");
  refused("quiet=perhaps\n",
          "the argument ('perhaps') for option 'quiet' is invalid. Valid "
          "choices are 'on|off', 'yes|no', '1|0' and 'true|false'");
  refused(std::string("\xFF\xFEs\0n\0r\0", 8), name + " is UTF-16 or no text; save it as UTF-8");
  refused(std::string("\xFE\xFF\0s\0n\0r", 8), name + " is UTF-16 or no text; save it as UTF-8");
  refused(std::string("s\0n\0r\0=\0", 8), name + " is UTF-16 or no text; save it as UTF-8");
  EXPECT_EQ(message(1, sweep({"--config", file("")})),
            "chest sweep: --config " + file("") + " is a folder, expected a file\n");
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
