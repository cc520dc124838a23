#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <sstream>

#include <chest/sim/link.hpp>
#include <chest/sim/results.hpp>

#include "tests/support/run.hpp"

namespace chest::sim {
namespace {

Results small_sweep(const std::filesystem::path& out = {}, Shard shard = {}) {
  SweepOptions options;
  options.pilots = {parse_pilots("dft:4"), parse_pilots("qpsk:3")};
  options.snr_db = {0.0, 10.0};
  options.estimators = {"ls", "half"};
  options.block = 8;
  options.seed = 18446744073709551615u;
  options.out = out;
  options.shard = shard;
  options.command_line = "chest sweep";
  return run_sweep(rayleigh_samples(4, 2, 30), {}, &test_estimators, options);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(Results, ComeBackFromTheirFile) {
  const TemporaryFolder folder;
  const Results written = small_sweep();
  save(folder / "results.h5", written);
  const Results read = load_results(folder / "results.h5");
  EXPECT_EQ(read.sums, written.sums);
  EXPECT_EQ(read.done, written.done);
  EXPECT_EQ(read.used, written.used);
  EXPECT_EQ(read.seconds, written.seconds);
  EXPECT_EQ(read.provenance.options, written.provenance.options);
  EXPECT_EQ(read.provenance.command_line, "chest sweep");
  EXPECT_EQ(read.estimators, written.estimators);
  EXPECT_EQ(to_csv(read), to_csv(written));
  EXPECT_EQ(to_table(read), to_table(written));
  EXPECT_EQ(arma::abs(read.pilots[1].P - written.pilots[1].P).max(), 0.0);
}

TEST(Results, FileHoldsTheColumnsOverTheAxes) {
  const TemporaryFolder folder;
  const Results results = small_sweep(folder / "results.h5");
  const ArchiveReader archive(folder / "results.h5");
  const std::vector<double> nmse = archive.read_all<double>("/results/nmse");
  EXPECT_EQ(archive.info("/results/nmse").dims, (std::vector<std::uint64_t>{2, 2, 2}));
  const std::vector<Row> all = rows(results);
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(nmse[i], all[i].nmse);
  EXPECT_EQ(archive.read_text("/axes/estimator"), "ls\nhalf");
  EXPECT_EQ(archive.read_text("/axes/pilots"), "dft:4\nqpsk:3");
  EXPECT_EQ(archive.text_attribute("/", "snr_definition").value_or(""), snr_definition);
  EXPECT_EQ(archive.number_attribute("/", "finished").value_or(0.0), 1.0);
}

TEST(Results, CsvHasTheColumnsOfTheManual) {
  const std::vector<std::string> lines = lines_of(to_csv(small_sweep()));
  ASSERT_EQ(lines.size(), 1u + 8u);
  EXPECT_EQ(
      lines[0],
      "estimator,pilots,n_pilots,snr_db,snr_measured_db,snr_effective_db,n_samples,nmse,nmse_db,"
      "nmse_ci95_low,nmse_ci95_high,nmse_per_sample,nfe,seconds_per_channel,nmse_predicted,seed,"
      "snr_definition,method");
  EXPECT_EQ(lines[1].rfind("ls,dft:4,4,0,", 0), 0u);
  // An estimator that predicts no error leaves the field empty; the seed is exact.
  EXPECT_NE(lines[2].find(",,18446744073709551615,snr_db = "), std::string::npos);
  EXPECT_NE(lines[1].find(",3.010299957,30,"), std::string::npos);  // effective SNR: 4 pilots for 2
}

TEST(Results, CsvOfALinkRunHasBerAndRate) {
  LinkOptions options;
  options.run.snr_db = {0.0};
  options.run.estimators = {"ls"};
  const std::vector<std::string> lines =
      lines_of(to_csv(run_link(rayleigh_samples(4, 2, 10), {}, &test_estimators, options)));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(
      lines[0],
      "estimator,pilots,n_pilots,snr_db,snr_measured_db,snr_effective_db,n_samples,modulation,"
      "ser,ber,ber_ci95_low,ber_ci95_high,rate_bits_per_use,n_bits,nmse,nmse_db,nmse_ci95_low,"
      "nmse_ci95_high,nmse_per_sample,nfe,seconds_per_channel,nmse_predicted,seed,"
      "snr_definition,method");
  EXPECT_EQ(lines[2].rfind("perfect,identity,2,0,", 0), 0u);
}

TEST(Results, NamesWithCommasAreQuoted) {
  Results results = small_sweep();
  results.estimators[0] = "gmm:components=32,kind=\"full\"";
  EXPECT_EQ(lines_of(to_csv(results))[1].rfind("\"gmm:components=32,kind=\"\"full\"\"\",dft:4,", 0),
            0u);
}

TEST(Results, UnfinishedPointsAreNoRows) {
  Results results = small_sweep();
  results.used[1] = 0;
  EXPECT_FALSE(results.finished());
  EXPECT_EQ(rows(results).size(), 6u);
  EXPECT_NE(to_table(results).find("not finished"), std::string::npos);
  const TemporaryFolder folder;
  save(folder / "results.h5", results);
  const std::vector<double> nmse =
      ArchiveReader(folder / "results.h5").read_all<double>("/results/nmse");
  EXPECT_TRUE(std::isnan(nmse[2]) && std::isnan(nmse[3]));
  EXPECT_TRUE(std::isfinite(nmse[1]) && std::isfinite(nmse[4]));
}

TEST(Results, TableIsAligned) {
  const std::vector<std::string> lines = lines_of(to_table(small_sweep()));
  EXPECT_EQ(lines[0].rfind("NMSE in dB", 0), 0u);
  EXPECT_EQ(lines[2], "pilots dft:4, effective SNR = snr_db +3.01 dB");
  EXPECT_EQ(lines[3].size(), lines[4].size());
  EXPECT_EQ(lines[3], "  snr_db        ls      half  n_samples");
}

TEST(Results, DamagedFilesAreRefused) {
  const TemporaryFolder folder;
  small_sweep(folder / "results.h5");
  std::ifstream in(folder / "results.h5", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  for (double part : {0.0, 0.3, 0.7, 0.99}) {
    const std::string file = (folder / "cut.h5").string();
    std::ofstream(file, std::ios::binary)
        << bytes.substr(0, std::size_t(part * double(bytes.size())));
    EXPECT_NE(error_of([&] { load_results(file); }).find("cut.h5"), std::string::npos) << part;
  }
  // Any byte flipped is found.
  Rng rng(9, {Purpose::test});
  for (int trial = 0; trial < 200; ++trial) {
    std::string spoiled = bytes;
    char& byte = spoiled[rng.index(spoiled.size() - 60)];
    byte = char(byte ^ (1 + int(rng.index(255))));
    std::ofstream(folder / "spoiled.h5", std::ios::binary) << spoiled;
    const std::string message = error_of([&] { load_results(folder / "spoiled.h5"); });
    EXPECT_TRUE(message.find("does not match its checksum") != std::string::npos ||
                message.find("is not an HDF5 file") != std::string::npos)
        << message;
  }
}

TEST(Results, SizesThatDoNotFitAreRefused) {
  const TemporaryFolder folder;
  const std::string file = (folder / "results.h5").string();
  const auto message = [&](const std::function<void(Results&)>& spoil) {
    Results results = small_sweep();
    spoil(results);
    save(file, results);
    return error_of([&] { load_results(file); });
  };
  const std::string end = "; delete it and run the command again";
  EXPECT_EQ(message([](Results& r) {
              r.estimators.emplace_back("more\nnames");
              r.used.assign(4, 0);
              r.sums.resize(2 * r.sums.size());
              r.seconds.resize(2 * r.seconds.size());
            }),
            file + ": is damaged: dataset /blocks/sums does not have the size of its axes" + end);
  EXPECT_EQ(message([](Results& r) { r.n_tx = 3; }),
            file + ": is damaged: pilots dft:4 do not have n_tx rows" + end);
  EXPECT_EQ(message([](Results& r) {
              r.shard = {3, 2};
            }),
            file + ": is damaged: sample range or shard is empty" + end);
}

TEST(Merge, AsksForAllShardsOfOneCommand) {
  const Results a = small_sweep({}, {1, 2}), b = small_sweep({}, {2, 2});
  EXPECT_EQ(merge({b, a}).sums, small_sweep().sums);
  EXPECT_EQ(error_of([&] { merge({a}); }),
            "merge: shard 2/2 is missing; give the results of all shards");
  EXPECT_EQ(error_of([&] { merge({a, a}); }), "merge: shard 1/2 is given twice");
  EXPECT_EQ(error_of([&] {
              merge({a, small_sweep({}, {2, 3})});
            }),
            "merge: the results are not of one command (number of shards is 2 here, 3 there)");
  EXPECT_EQ(error_of([] { merge({}); }), "merge: no results were given");
  Results open = b;
  open.used[0] = 0;
  EXPECT_EQ(error_of([&] {
              merge({a, open});
            }),
            "merge: shard 2/2 is not finished; run its command again");
  Results other = b;
  other.provenance.options.replace(other.provenance.options.find("\"block\":8"), 9, "\"block\":9");
  EXPECT_EQ(error_of([&] {
              merge({a, other});
            }),
            "merge: the results are not of one command (block is 8 here, 9 there)");
}

TEST(Shard, IsReadFromText) {
  EXPECT_EQ(parse_shard("2/3").index, 2u);
  EXPECT_EQ(parse_shard("2/3").count, 3u);
  for (const char* text : {"0/3", "4/3", "2", "1/2/3"})
    EXPECT_EQ(
        error_of([&] { parse_shard(text); }),
        std::string("shard is '") + text + "', expected i/n with i = 1 .. n, for example 2/3");
  EXPECT_NE(error_of([] { parse_shard("a/3"); }).find("shard in 'a/3'"), std::string::npos);
}

}  // namespace
}  // namespace chest::sim
