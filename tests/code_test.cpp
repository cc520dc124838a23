// chest code: block errors on AWGN.
#include <gtest/gtest.h>

#include <cmath>

#include <chest/sim/code.hpp>
#include <chest/text.hpp>

#include "tests/support/program.hpp"
#include "tests/support/run.hpp"
#include "tests/support/statistics.hpp"

namespace chest::sim {
namespace {

CodeOptions short_code() {
  CodeOptions options;
  options.k = 64;
  options.n = 128;
  options.ebn0_db = {1.0, 2.0};
  options.n_errors = 100;
  return options;
}

TEST(Code, BlockErrorsAreThoseOfAnIndependentDecoder) {
  // Sionna 1.2.1, belief propagation with 20 iterations, 5G LDPC (64, 128), QPSK: BLER 0.1551 at 2 dB and 0.303 at
  // 1.5 dB, of 1000 block errors each.
  CodeOptions options = short_code();
  options.ebn0_db = {1.5, 2.0};
  options.n_errors = 600;
  const CodeResults results = run_code(options);
  const double reference[] = {0.303, 0.155};
  const double z = normal_quantile_two_sided(1e-6);
  for (int i = 0; i < 2; ++i) {
    const CodePoint& point = results.points[i];
    EXPECT_GE(point.n_block_errors, 600u);
    const double bler = double(point.n_block_errors) / double(point.n_blocks);
    // Both are measured: relative variances of 1 / errors. 23 % at this risk; a code that is 0.25 dB worse is caught.
    EXPECT_NEAR(bler / reference[i], 1.0, z * std::sqrt(1.0 / 600 + 1.0 / 1000));
  }
}

TEST(Code, ResultsDoNotDependOnTheNumberOfThreadsOrOtherPoints) {
  CodeOptions options = short_code();
  const std::string csv = to_csv(run_code(options));
  options.n_threads = 3;
  EXPECT_EQ(to_csv(run_code(options)), csv);
  options.ebn0_db = {2.0};
  const CodeResults alone = run_code(options);
  EXPECT_NE(csv.find(split(to_csv(alone), '\n')[1]), std::string::npos);
  options.seed = 2;
  EXPECT_NE(run_code(options).points[0].n_bit_errors, alone.points[0].n_bit_errors);
}

TEST(Code, APointEndsWithItsErrorsOrItsBlocks) {
  CodeOptions options = short_code();
  options.ebn0_db = {10.0};
  options.max_blocks = 40;
  const CodeResults results = run_code(options);
  EXPECT_TRUE(results.finished);
  EXPECT_EQ(results.points[0].n_blocks, 40u);
  EXPECT_EQ(results.points[0].n_block_errors, 0u);
  EXPECT_LT(results.points[0].iterations, 120u);  // blocks end when their checks hold
  options.ebn0_db = {-5.0};
  options.n_errors = 5;
  EXPECT_EQ(run_code(options).points[0].n_blocks, 16u);  // a group of blocks
}

TEST(Code, EveryModulationAndDecoderWorks) {
  for (const char* modulation : {"bpsk", "qpsk", "16qam", "64qam", "256qam"}) {
    CodeOptions options;
    options.k = 96;
    options.n = 192;
    options.modulation = modulation;
    options.ebn0_db = {20.0};
    options.max_blocks = 4;
    options.decoder.kind = DecoderKind::offset_min_sum;
    options.decoder.precision = DecoderPrecision::int8;
    options.decoder.schedule = DecoderSchedule::layered;
    EXPECT_EQ(run_code(options).points[0].n_block_errors, 0u) << modulation;
  }
}

TEST(Code, RunsStopOnRequest) {
  CodeOptions options = short_code();
  RunControl control;
  int asked = 0;
  control.stop_requested = [&] { return ++asked > 3; };
  const CodeResults results = run_code(options, control);
  EXPECT_FALSE(results.finished);
  EXPECT_TRUE(results.points.empty());
}

TEST(Code, RefusesWhatCannotBe) {
  const auto of = [](const auto& change) {
    CodeOptions options = short_code();
    change(options);
    return error_of([&] { run_code(options); });
  };
  EXPECT_EQ(of([](CodeOptions& o) { o.k = 0; }), "code: k is 0, expected 1 .. 8448");
  EXPECT_EQ(of([](CodeOptions& o) { o.n = 64; }),
            "code: n is 64, expected more than k = 64, up to 1000000");
  EXPECT_EQ(of([](CodeOptions& o) { o.modulation = "64qam"; }),
            "code: n is 128, expected a multiple of 6, the bits per symbol of 64qam");
  EXPECT_EQ(of([](CodeOptions& o) { o.alist = "x"; }),
            "code: k and n are those of the alist file; leave them out");
  EXPECT_EQ(of([](CodeOptions& o) { o.ebn0_db = {1.0, 1.0}; }), "code: ebn0_db holds 1 dB twice");
  EXPECT_EQ(of([](CodeOptions& o) { o.n_errors = 0; }), "code: n_errors is 0, expected 1 or more");
  EXPECT_EQ(of([](CodeOptions& o) { o.decoder.clip = 0; }), "code: clip is 0, expected 1 .. 60");
}

TEST(CodeProgram, WritesTheColumnsOfTheContract) {
  const TemporaryFolder folder;
  const std::string csv = (folder / "code.csv").string(), figure = (folder / "code.gp").string();
  const std::vector<std::string> words{
      "code",         "--k",          "64", "--n",      "128", "--modulation", "qpsk",
      "--ebn0=1:1:3", "--iterations", "20", "--errors", "30",  "--threads",    "2",
      "--quiet",      "--csv",        csv,  "--plot",   figure};
  Program program(words);
  EXPECT_EQ(program.status(), 0) << program.err();
  const std::vector<std::string> lines = split(text_of(csv), '\n');
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(
      lines[0],
      "k,n,modulation,ebn0_db,n_blocks,bler,bler_ci95_low,bler_ci95_high,ber,mean_iterations");
  EXPECT_EQ(lines[1].rfind("64,128,qpsk,1,", 0), 0u);
  EXPECT_NE(program.out().find("k 64, n 128, qpsk"), std::string::npos);
  EXPECT_NE(text_of(figure).find("block error rate"), std::string::npos);
  Program again(words);
  EXPECT_EQ(again.status(), 2);
  EXPECT_NE(again.err().find("exists; give --force to replace it"), std::string::npos);
}

TEST(Code, AFigureWithoutErrorsHasItsFrame) {
  CodeOptions options = short_code();
  options.ebn0_db = {15.0};
  options.max_blocks = 16;
  const TemporaryFolder folder;
  plot(run_code(options), folder / "none.gp");
  const std::string script = text_of(folder / "none.gp");
  EXPECT_EQ(script.find("inf"), std::string::npos) << script;
  EXPECT_NE(script.find("set xrange [0:1]"), std::string::npos);
}

TEST(CodeProgram, TakesAnAlistFileAndRefusesBadWords) {
  const TemporaryFolder folder;
  const std::string file = (folder / "hamming.alist").string();
  write_text_file(file,
                  "7 3\n3 4\n1 1 2 1 2 2 3\n4 4 4\n1\n2\n1 2\n3\n1 3\n2 3\n1 2 3\n"
                  "1 3 5 7\n2 3 6 7\n4 5 6 7\n");
  Program program({"code", "--alist", file, "--modulation", "bpsk", "--ebn0", "3", "--errors", "50",
                   "--quiet"});
  EXPECT_EQ(program.status(), 0) << program.err();
  EXPECT_NE(program.out().find("k 4, n 7, bpsk"), std::string::npos);
  const auto refused = [](const std::vector<std::string>& words) {
    Program bad(words);
    EXPECT_EQ(bad.status(), 2);
    return bad.err();
  };
  EXPECT_NE(refused({"code", "--k", "64"}).find("--n is missing"), std::string::npos);
  EXPECT_NE(
      refused({"code", "--k", "64", "--n", "128", "--precision", "int8"}).find("bp has no int8"),
      std::string::npos);
  EXPECT_NE(refused({"code", "--k", "64", "--n", "128", "--ebn0", "x"}).find("--ebn0"),
            std::string::npos);
}

}  // namespace
}  // namespace chest::sim
