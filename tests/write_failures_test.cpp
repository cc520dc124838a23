// Writes that fail at some byte, here by a limit on the size of files: as a full disk, one sentence
// and status 1, what was there before stays, and no file under construction is left.
#include <gtest/gtest.h>

#include <sys/resource.h>

#include <set>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/sim/results.hpp>

#include "tests/support/program.hpp"
#include "tests/support/sanitized.hpp"

namespace chest {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

/// Holds for this process and those it starts; the signal that comes with it is the program's to
/// ignore.
void limit_file_size(std::uintmax_t bytes) {
  const rlimit limit{bytes, bytes};
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

/// A run in which no file grows beyond `bytes`.
struct Limited {
  Limited(const Words& words, std::uintmax_t bytes) {
    int ends[2];  // a pipe has no size that is limited
    EXPECT_EQ(::pipe(ends), 0);
    Program program(words, [&] {
      ::dup2(ends[1], STDERR_FILENO);
      ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
      ::close(ends[0]);
      ::close(ends[1]);
      limit_file_size(bytes);
    });
    ::close(ends[1]);
    char text[4096];
    for (ssize_t n = 0; (n = ::read(ends[0], text, sizeof text)) > 0;)
      err.append(text, static_cast<std::size_t>(n));
    ::close(ends[0]);
    status = program.status();
  }
  int status = 0;
  std::string err;
};

class WriteFailures : public testing::Test {
 protected:
  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  void SetUp() override {
    if (is_thread_sanitized) GTEST_SKIP() << "no limit on the size of files under this sanitizer";
    run({"generate", "scm", "--n-rx", "4", "--n-tx", "2", "--n-samples", "200", "--out",
         at("H.h5")});
  }
  static void run(const Words& words) {
    Program program(words);
    ASSERT_EQ(program.status(), 0) << program.err();
  }
  std::set<std::string> names() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(at(""))) names.insert(entry.path().filename());
    return names;
  }
  /// The command writes `out`. With its size limited it fails, at each of some bytes.
  void fails_cleanly(Words words, const std::string& out, const std::string& flag = "--out") {
    words.insert(words.end(), {flag, at(out), "--quiet"});
    const std::set<std::string> before = names();
    Program whole(words);
    ASSERT_EQ(whole.status(), 0) << whole.err();
    const std::uintmax_t size = fs::file_size(at(out));
    fs::remove(at(out));
    // The digits of run times differ from run to run in a table.
    const std::uintmax_t margin = flag == "--csv" ? 100 : 1;
    for (const bool replaces : {false, true}) {
      if (replaces) {
        write_text_file(at(out), "what was there");
        words.emplace_back("--force");
      }
      // The whole range is scripts/fail_writes.sh.
      const std::vector<std::uintmax_t> limits =
          replaces ? std::vector<std::uintmax_t>{size / 2}
                   : std::vector<std::uintmax_t>{0, size / 3, size - margin};
      for (const std::uintmax_t bytes : limits) {
        const Limited limited(words, bytes);
        EXPECT_EQ(limited.status, 1) << words[0] << " at " << bytes << ": " << limited.err;
        EXPECT_NE(limited.err.find(at(out) + ": writing"), std::string::npos) << limited.err;
        EXPECT_NE(limited.err.find("File too large"), std::string::npos) << limited.err;
        EXPECT_EQ(limited.err.find(".part-"), std::string::npos) << limited.err;
        std::set<std::string> now = names();
        if (replaces) {
          EXPECT_EQ(text_of(at(out)), "what was there");
          now.erase(out);
        }
        EXPECT_EQ(now, before) << words[0] << " at " << bytes;
      }
    }
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(WriteFailures, OfGenerateAreClean) {
  for (const char* more : {"", "--compress"}) {
    Words words{"generate", "rayleigh", "--n-rx", "8", "--n-tx", "4", "--n-samples", "500"};
    if (*more) words.emplace_back(more);
    fails_cleanly(words, std::string("g") + more + ".h5");
  }
}

TEST_F(WriteFailures, OfModelsAndEstimatesAreClean) {
  const Words channels{"--channels", at("H.h5")};
  fails_cleanly({"fit", "lmmse", "--channels", at("H.h5")}, "lmmse.h5");
  fails_cleanly({"fit", "gmm", "--channels", at("H.h5"), "--components", "2"}, "gmm.h5");
  fails_cleanly({"pilots", "--channels", at("H.h5"), "--n-pilots", "2"}, "P.h5");
  fails_cleanly({"estimate", "--observations", at("H.h5"), "--snr", "0", "--estimator", "ls"},
                "e.h5");
}

TEST_F(WriteFailures, OfSamplesAndAnalysesAreClean) {
  run({"fit", "lmmse", "--channels", at("H.h5"), "--out", at("prior.h5")});
  fails_cleanly({"sample", at("prior.h5"), "--n-samples", "300", "--calls", "4"}, "drawn.h5");
  fails_cleanly({"compare", at("H.h5"), at("H.h5"), "--n", "20", "--permutations", "9"}, "c.csv",
                "--csv");
  fails_cleanly({"analyze", "dimension", at("prior.h5"), "--channels", at("H.h5"), "--n", "9"},
                "d.csv", "--csv");
}

TEST_F(WriteFailures, OfResultsAreClean) {
  const Words what{"--channels", at("H.h5"), "--snr", "0,10", "--estimators", "ls,omp"};
  const auto of = [&](const std::string& command) {
    Words words{command};
    words.insert(words.end(), what.begin(), what.end());
    return words;
  };
  fails_cleanly(of("sweep"), "sweep.h5");
  fails_cleanly(of("link"), "link.h5");
  fails_cleanly(of("sweep"), "sweep.csv", "--csv");
  fails_cleanly(of("sweep"), "sweep.gp", "--plot");
  fails_cleanly(
      {"conformance", "--cells", "5MHz-15kHz-A3-1x2", "--estimators", "perfect", "--slots", "8"},
      "cells.csv", "--csv");
  Words shard = of("sweep");
  shard.insert(shard.end(), {"--out", at("s.h5")});
  run(shard);
  fails_cleanly({"merge", at("s.h5")}, "merged.h5");
  fails_cleanly({"plot", at("s.h5")}, "plot.gp");
}

TEST_F(WriteFailures, OfFiguresAreClean) {
  if (std::system("gnuplot --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "no gnuplot";
  run({"sweep", "--channels", at("H.h5"), "--snr", "0,10", "--out", at("s.h5")});
  for (const std::string ending : {".svg", ".png", ".pdf"}) {
    const std::string out = at("figure" + ending);
    const Words plot{"plot", at("s.h5"), "--out", out, "--force"};
    run(plot);
    const std::uintmax_t size = fs::file_size(out);
    const std::string whole = hash_file(out);
    const std::set<std::string> before = names();
    // Further below, the commands for gnuplot do not fit either; at the very end stand line breaks.
    for (const std::uintmax_t bytes : {size / 2, size - 3}) {
      const Limited limited(plot, bytes);
      EXPECT_EQ(limited.status, 1) << ending << " at " << bytes << ": " << limited.err;
      EXPECT_NE(limited.err.find(out + ": "), std::string::npos) << limited.err;
      EXPECT_EQ(hash_file(out), whole);
      EXPECT_EQ(names(), before);
    }
  }
}

TEST_F(WriteFailures, LeaveAnUnfinishedRunToContinue) {
  const auto sweep = [&](const std::string& out) {
    return Words{"sweep",   "--channels", at("H.h5"), "--snr=-20:1:40", "--estimators", "ls,sbl",
                 "--block", "8",          "--quiet",  "--out",          at(out)};
  };
  Program program(sweep("run.h5"));
  while (!fs::exists(at("run.h5"))) ::usleep(1000);
  program.signal(SIGINT);
  ASSERT_EQ(program.status(), 1);
  const std::string before = hash_file(at("run.h5"));
  for (const std::uintmax_t bytes : {std::uintmax_t{1000}, fs::file_size(at("run.h5")) - 1}) {
    const Limited limited(sweep("run.h5"), bytes);
    EXPECT_EQ(limited.status, 1) << limited.err;
    EXPECT_NE(limited.err.find("writing"), std::string::npos) << limited.err;
    EXPECT_EQ(hash_file(at("run.h5")), before);
  }
  run(sweep("run.h5"));
  run(sweep("whole.h5"));
  EXPECT_EQ(sim::load_results(at("run.h5")).sums, sim::load_results(at("whole.h5")).sums);
  EXPECT_EQ(names(), (std::set<std::string>{"H.h5", "run.h5", "whole.h5"}));
}

TEST_F(WriteFailures, OfAFolderThatVanishesIsASentence) {
  fs::create_directory(at("gone"));
  Program program({"sweep", "--channels", at("H.h5"), "--snr=-20:1:40", "--estimators", "ls,sbl",
                   "--block", "8", "--quiet", "--out", at("gone/run.h5")});
  while (!fs::exists(at("gone/run.h5"))) ::usleep(1000);
  fs::remove_all(at("gone"));
  EXPECT_EQ(program.status(), 1);
  EXPECT_NE(program.err().find("gone/run.h5: "), std::string::npos) << program.err();
}

TEST_F(WriteFailures, OfStdoutAreASentence) {
  const Words info{"info", at("H.h5")};
  Program full(info, [] { ::dup2(::open("/dev/full", O_WRONLY), STDOUT_FILENO); });
  EXPECT_EQ(full.status(), 1);
  EXPECT_EQ(full.err(), "chest info: writing to stdout failed\n");
  Program unread(info, [] {
    int ends[2];
    if (::pipe(ends) != 0) ::_exit(3);
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
  });
  EXPECT_EQ(unread.status(), 1);
  EXPECT_EQ(unread.err(), "chest info: writing to stdout failed\n");
}

/// A host that goes on after a failure: HDF5 has let go of the file, and ends without a crash.
TEST(ArchiveWriteFailures, LeaveNothingOpenInHdf5) {
  const TemporaryFolder folder;
  const auto n_open = [] {
    std::size_t n = 0;
    for ([[maybe_unused]] const auto& each : fs::directory_iterator("/proc/self/fd")) ++n;
    return n;
  };
  EXPECT_EXIT(
      {
        std::signal(SIGXFSZ, SIG_IGN);
        limit_file_size(4096);
        const std::size_t before = n_open();
        bool all_refused = true;
        for (const bool compress : {false, true}) {
          try {
            ArchiveWriter writer(folder / "a.h5");
            const std::vector<double> values(10000, 1.25);
            writer.create<double>("/x/y", {100, 100}, compress);
            writer.write_block("/x/y", {{0, 0}, {100, 100}}, values.data());
            for (int i = 0; i < 200; ++i) writer.write_text("/t" + std::to_string(i), "text");
            writer.commit();
            all_refused = false;
          } catch (const Error& error) {
            all_refused = all_refused && error.kind() == ErrorKind::io;
          }
        }
        all_refused = all_refused && n_open() == before && !fs::exists(folder / "a.h5") &&
                      fs::is_empty(folder / "");
        std::exit(all_refused ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace chest
