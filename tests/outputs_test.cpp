// What the program writes: never over what it reads, never twice to one place, never in place of
// something else that a user has.
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/sim/results.hpp>

#include "cli/commands.hpp"
#include "tests/support/program.hpp"

namespace chest {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

/// Inputs of all commands: channels 4x2 and what is made from them.
class Outputs : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    run({"generate", "scm", "--n-rx", "4", "--n-tx", "2", "--n-samples", "64", "--out",
         at("H.h5")});
    run({"fit", "lmmse", "--channels", at("H.h5"), "--out", at("m.h5")});
    run({"pilots", "--channels", at("H.h5"), "--n-pilots", "2", "--out", at("P.h5")});
    run({"sweep", "--channels", at("H.h5"), "--snr", "0", "--out", at("r.h5")});
    write_text_file(at("flags.ini"), "seed=1\n");
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::string at(const std::string& name) { return (*folder_ / name).string(); }
  static void run(const Words& words) {
    Program program(words);
    ASSERT_EQ(program.status(), 0) << program.err();
  }
  /// The command is refused, and every file is what it was.
  static void refused(const Words& words, const std::string& part) {
    const std::string before = content();
    Program program(words);
    EXPECT_EQ(program.status(), 2) << program.err();
    EXPECT_NE(program.err().find(part), std::string::npos) << program.err();
    EXPECT_EQ(content(), before) << program.err();
  }
  static std::string content() {
    std::string all;
    for (const char* name : {"H.h5", "m.h5", "P.h5", "r.h5", "flags.ini"})
      all += hash_file(at(name)) + "\n";
    return all;
  }

 private:
  static TemporaryFolder* folder_;
};
TemporaryFolder* Outputs::folder_ = nullptr;

TEST_F(Outputs, AreNoInputsOfTheSameCommand) {
  const std::string H = at("H.h5"), m = at("m.h5"), P = at("P.h5"), r = at("r.h5");
  const std::string ini = at("flags.ini");
  const auto run = [&](const std::string& command, const Words& more) {
    Words words{command, "--channels", H, "--snr", "0", "--force"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  for (const std::string command : {"sweep", "link"}) {
    refused(run(command, {"--out", H}), "--out " + H + " would replace --channels " + H);
    refused(run(command, {"--csv", H}), "--csv " + H + " would replace --channels " + H);
  }
  refused(run("sweep", {"--estimators", "lmmse", "--model", m, "--out", m}), "--model " + m);
  refused(run("sweep", {"--estimators", "ls,lmmse@" + m, "--csv", m}), "--estimators " + m);
  refused(run("link", {"--estimators", "coarse-to-fine(prior=lmmse@" + m + ")", "--out", m}),
          "--estimators " + m);
  refused(run("sweep", {"--pilots", "dft:1,file=" + P, "--csv", P}), "--pilots " + P);
  refused(run("link", {"--pilots", "file=" + P + ":/pilots", "--out", P}), "--pilots " + P);
  refused(run("sweep", {"--config", ini, "--out", ini}), "--config " + ini);
  fs::copy_file(H, at("H.svg"));
  refused({"sweep", "--channels", at("H.svg"), "--snr", "0", "--plot", at("H.svg"), "--force"},
          "would replace --channels");
  refused({"sweep", "--channels", H + ":/channels", "--snr", "0", "--out", H, "--force"},
          "would replace --channels");
  refused(
      {"estimate", "--observations", H, "--snr", "0", "--estimator", "ls", "--out", H, "--force"},
      "would replace --observations");
  refused({"estimate", "--observations", H, "--snr", "0", "--estimator", "lmmse", "--model", m,
           "--out", m, "--force"},
          "would replace --model");
  refused({"estimate", "--observations", H, "--snr", "0", "--estimator", "lmmse@" + m, "--out", m,
           "--force"},
          "would replace --estimator");
  refused({"estimate", "--observations", H, "--snr", "0", "--estimator", "ls", "--pilots",
           "file=" + P, "--out", P, "--force"},
          "would replace --pilots");
  refused({"fit", "lmmse", "--channels", H, "--out", H, "--force"}, "would replace --channels");
  refused({"fit", "dmse", "--channels", H, "--out", at("new.h5"), "--checkpoint", H},
          "--checkpoint " + H + " would replace --channels");
  refused({"merge", r, "--out", r, "--force"}, "would replace --files");
  refused({"merge", r, "--out", at("new.h5"), "--csv", r, "--force"}, "would replace --files");
  refused({"plot", r, "--out", r, "--force"}, "would replace --files");
  refused({"import", m, "--out", m, "--force"}, "would replace --weights");
  refused({"import", m, "--out", H, "--channels", H, "--force"}, "would replace --channels");
  refused({"pilots", "--channels", H, "--out", H, "--force"}, "would replace --channels");
  refused({"pilots", "--channels", H, "--model", m, "--out", m, "--force"},
          "would replace --model");
  refused({"calibrate", m, "--channels", H, "--out", m, "--force"}, "would replace --model");
  refused({"calibrate", m, "--channels", H, "--out", H, "--force"}, "would replace --channels");
  refused({"generate", "rayleigh", "--config", ini, "--out", ini, "--force"},
          "would replace --config");
}

TEST_F(Outputs, AreKnownByAnyName) {
  fs::create_directory(at("sub"));
  fs::create_symlink("../H.h5", at("sub/link.h5"));
  fs::create_symlink("sub", at("way"));
  fs::create_symlink("link.h5", at("sub/link_of_link.h5"));
  fs::create_hard_link(at("H.h5"), at("hard.h5"));
  const std::string relative = fs::relative(at("H.h5")).string();
  for (const std::string& name :
       {at("./H.h5"), at("sub/../H.h5"), at("sub/link.h5"), at("way/link.h5"),
        at("sub/link_of_link.h5"), at("hard.h5"), relative}) {
    refused({"sweep", "--channels", at("H.h5"), "--snr", "0", "--out", name, "--force"},
            "would replace --channels");
    refused({"sweep", "--channels", name, "--snr", "0", "--csv", at("H.h5"), "--force"},
            "would replace --channels");
  }
}

TEST_F(Outputs, AreDistinct) {
  const auto sweep = [](const Words& more) {
    Words words{"sweep", "--channels", at("H.h5"), "--snr", "0", "--force"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  refused(sweep({"--out", at("x.h5"), "--csv", at("x.h5")}), "are one file");
  refused(sweep({"--out", at("x.h5"), "--csv", at("X.H5")}), "are one file");
  refused(sweep({"--csv", at("x.svg"), "--plot", at("./x.svg")}), "are one file");
  refused(
      {"fit", "dmse", "--channels", at("H.h5"), "--out", at("x.h5"), "--checkpoint", at("x.h5")},
      "are one file");
  // The link leads to a file that is not there yet.
  fs::create_symlink("later.h5", at("to_later.h5"));
  refused(sweep({"--out", at("later.h5"), "--csv", at("to_later.h5")}), "are one file");
  EXPECT_FALSE(fs::exists(at("later.h5")));
  EXPECT_FALSE(fs::exists(at("x.h5")));

  const std::string stream = at("stream.csv");
  Program table(sweep({"--csv", stream}),
                [&] { ::dup2(::open(stream.c_str(), O_WRONLY | O_CREAT, 0600), STDOUT_FILENO); });
  EXPECT_EQ(table.status(), 2);
  EXPECT_NE(table.err().find("is where stdout goes"), std::string::npos) << table.err();
  refused(sweep({"--csv", "-"}), "is not written to stdout");
  Program piped(sweep({"--csv", "/dev/stdout"}), [] {
    int ends[2];
    if (::pipe(ends) == 0) ::dup2(ends[1], STDOUT_FILENO);
  });
  EXPECT_EQ(piped.status(), 2);
  EXPECT_NE(piped.err().find("is a device or a pipe"), std::string::npos) << piped.err();
}

/// Every flag of a file is declared as one that is read or written: the names tell which.
TEST(OutputFlags, AreDeclared) {
  for (const cli::Command& command : cli::commands()) {
    for (const cli::Section& section : cli::help_of(command, built_in()).sections) {
      for (const cli::Flag& flag : section.flags) {
        const bool writes = flag.help.find("to write") != std::string::npos ||
                            flag.help.find("written") != std::string::npos || flag.name == "out" ||
                            flag.name == "csv" || flag.name == "plot";
        if (flag.placeholder.find("FILE") == std::string::npos) continue;
        EXPECT_EQ(flag.is_output, writes) << command.name << " --" << flag.name;
      }
    }
  }
}

TEST_F(Outputs, ReplaceNothingUnasked) {
  const Words inputs{"--channels", at("H.h5")};
  write_text_file(at("mine.h5"), "mine");
  const auto words = [](Words start, const Words& more) {
    start.insert(start.end(), more.begin(), more.end());
    return start;
  };
  for (const Words& command :
       {Words{"generate", "rayleigh"}, words({"fit", "lmmse"}, inputs),
        Words{"estimate", "--observations", at("H.h5"), "--snr", "0", "--estimator", "ls"},
        Words{"merge", at("r.h5")}, words({"pilots"}, inputs), Words{"import", at("m.h5")},
        words({"calibrate", at("m.h5")}, inputs),
        Words{"adapt", at("m.h5"), "--observations", at("H.h5"), "--snr", "0"}}) {
    refused(words(command, {"--out", at("mine.h5")}),
            "mine.h5: exists; give --force to replace it, or another name");
    refused(words(command, {"--out", at("sub/..")}), "is a folder, expected a file name");
    refused(words(command, {"--out", "/dev/null", "--force"}), "is a device or a pipe");
    Program nowhere(words(command, {"--out", at("none/x.h5")}));
    EXPECT_EQ(nowhere.status(), 1);
    EXPECT_NE(nowhere.err().find("there is no folder"), std::string::npos) << nowhere.err();
  }
  EXPECT_EQ(text_of(at("mine.h5")), "mine");
}

TEST_F(Outputs, OfARunThatContinuesAreItsOwn) {
  const Words sweep{"sweep", "--channels", at("H.h5"), "--snr", "0,10", "--out", at("run.h5")};
  const auto with = [&](const Words& more) {
    Words words = sweep;
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  run(with({"--csv", at("run.csv")}));
  const std::string table = text_of(at("run.csv"));
  run(with({"--csv", at("run.csv")}));
  EXPECT_EQ(text_of(at("run.csv")), table);
  // A table of the points that were finished, as an interrupted run leaves it.
  write_text_file(at("run.csv"), table.substr(0, table.find('\n', table.find('\n') + 1) + 1));
  run(with({"--csv", at("run.csv")}));
  EXPECT_EQ(text_of(at("run.csv")), table);
  // That of another run begins as ours do.
  run({"sweep", "--channels", at("H.h5"), "--snr", "5", "--csv", at("other.csv")});
  const std::string other = text_of(at("other.csv"));
  refused(with({"--csv", at("other.csv")}), "other.csv: exists and holds other lines than");
  EXPECT_EQ(text_of(at("other.csv")), other);
  write_text_file(at("photo.gp"), "a photo");
  Program keeps(with({"--plot", at("photo.gp")}));
  EXPECT_EQ(keeps.status(), 0) << keeps.err();
  EXPECT_NE(keeps.err().find("photo.gp exists and stays as it is"), std::string::npos);
  EXPECT_EQ(text_of(at("photo.gp")), "a photo");
}

TEST_F(Outputs, ThroughALinkKeepTheLink) {
  fs::create_directory(at("store"));
  fs::create_symlink("store/real.csv", at("shown.csv"));
  const Words sweep{"sweep", "--channels", at("H.h5"), "--snr", "0", "--csv", at("shown.csv")};
  run(sweep);  // a link that leads nowhere yet
  EXPECT_TRUE(fs::is_symlink(at("shown.csv")));
  EXPECT_EQ(text_of(at("store/real.csv")).rfind("estimator,", 0), 0u);
  write_text_file(at("store/real.csv"), "old");
  ::chmod(at("store/real.csv").c_str(), 0640);
  Words again = sweep;
  refused(again, "exists; give --force");
  again.push_back("--force");
  run(again);
  EXPECT_TRUE(fs::is_symlink(at("shown.csv")));
  EXPECT_EQ(text_of(at("store/real.csv")).rfind("estimator,", 0), 0u);
  struct stat there {};
  ASSERT_EQ(::stat(at("store/real.csv").c_str(), &there), 0);
  EXPECT_EQ(there.st_mode & 07777, 0640u);
}

TEST_F(Outputs, InputsThatCannotBeReadAreNamed) {
  const std::string pipe = at("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const auto says = [](const Words& words, const std::string& part) {
    Program program(words);
    EXPECT_EQ(program.status(), 1) << program.err();
    EXPECT_NE(program.err().find(part), std::string::npos) << program.err();
  };
  says({"sweep", "--channels", pipe, "--snr", "0"}, "--channels " + pipe + ": is a pipe");
  says({"sweep", "--channels", at("H.h5"), "--pilots", "file=" + pipe}, "is a pipe");
  says({"sweep", "--channels", at("H.h5"), "--estimators", "lmmse@" + pipe}, "is a pipe");
  says({"estimate", "--observations", pipe, "--snr", "0", "--out", at("e.h5")}, "is a pipe");
  says({"info", pipe}, "is a pipe");
  says({"info", "/dev/null"}, "is a device");
  says({"plot", at(""), "--out", at("f.gp")}, "is a folder");
  says({"sweep", "--channels", at("H.h5"), "--model", at("")}, "is a folder");
}

}  // namespace
}  // namespace chest
