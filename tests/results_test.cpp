#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include <chest/sim/link.hpp>
#include <chest/sim/results.hpp>
#include <chest/sim/statistics.hpp>

#include <chest/text.hpp>

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

/// The fields of CSV lines without the header; none of them holds a comma here but the definition
/// of the SNR, which is the same in every line.
std::vector<std::vector<std::string>> fields_of(const std::string& csv) {
  std::vector<std::vector<std::string>> all;
  for (const std::string& line : lines_of(csv)) {
    all.emplace_back();
    std::istringstream in(line + ",");
    for (std::string field; std::getline(in, field, ',');) all.back().push_back(field);
  }
  all.erase(all.begin());
  return all;
}

/// Results of either kind in which no two rows agree in a column that can differ.
Results distinct_results(ResultKind kind, const std::vector<std::string>& methods,
                         Shard shard = {}) {
  Results results = kind == ResultKind::sweep ? small_sweep({}, shard) : [&] {
    LinkOptions options;
    options.run.pilots = {parse_pilots("dft:4"), parse_pilots("qpsk:3")};
    options.run.snr_db = {0.0, 10.0};
    options.run.estimators = {"ls", "half"};
    options.run.block = 8;
    options.run.shard = shard;
    options.run.command_line = "chest link";
    options.modulations = {"qpsk", "16qam"};
    return run_link(rayleigh_samples(4, 2, 30), {}, &test_estimators, options);
  }();
  // Every sum its own value; counts stay whole.
  for (std::size_t i = 0; i < results.sums.size(); ++i)
    results.sums[i] += results.sums[i] > 0.0 ? double(i + 1) : 0.0;
  for (std::size_t i = ErrorSums::count - 1; i < results.sums.size(); i += results.n_sums)
    results.sums[i] = double(i + 1);  // n_reset
  for (std::size_t i = 0; i < results.seconds.size(); ++i) results.seconds[i] = double(i + 1);
  results.methods.assign(results.methods.size(), "");
  std::copy(methods.begin(), methods.end(), results.methods.begin());
  return results;
}

// 2 pilots, 2 SNRs, and 2 estimators (sweep) or 3 (link): every pattern that once lost its place.
const std::vector<std::vector<std::string>> method_patterns{
    {"", "", "3 calls", "", "", "2 calls", "", ""},
    {"", "a", "b", "c", "d", "e", "f", "g"},
    {"a", "", "", "", "", "", "", ""},
    {"", "", "", "", "", "", "", "last"},
    {"", "", "", "", "", "", "", ""}};

TEST(Results, EveryColumnComesBackFromTheFile) {
  const TemporaryFolder folder;
  for (const ResultKind kind : {ResultKind::sweep, ResultKind::link}) {
    for (const std::vector<std::string>& methods : method_patterns) {
      const Results written = distinct_results(kind, methods);
      save(folder / "results.h5", written);
      const Results read = load_results(folder / "results.h5");
      EXPECT_EQ(read.methods, written.methods);
      EXPECT_EQ(read.pilots[1].name, written.pilots[1].name);
      EXPECT_EQ(read.estimators, written.estimators);
      EXPECT_EQ(read.modulations, written.modulations);
      EXPECT_EQ(to_csv(read), to_csv(written));
      EXPECT_EQ(to_table(read), to_table(written));

      // As other software reads it: text by lines, numbers over the axes.
      const ArchiveReader archive(folder / "results.h5");
      EXPECT_EQ(split(archive.read_text("/results/method"), '\n'), written.methods);
      EXPECT_EQ(split(archive.read_text("/axes/estimator"), '\n'), written.estimators);
      EXPECT_EQ(split(archive.read_text("/axes/pilots"), '\n'),
                (std::vector<std::string>{"dft:4", "qpsk:3"}));
      if (kind == ResultKind::link) {
        EXPECT_EQ(split(archive.read_text("/axes/modulation"), '\n'), written.modulations);
      }
      EXPECT_EQ(archive.info("/blocks/sums").dims[3],
                split(archive.read_text("/blocks/sum_names"), '\n').size());
    }
  }
}

TEST(Results, TheRoundTripSeesEveryColumn) {
  // What the tests above rest on: a column that changed places would show. Rows of one table differ
  // in every numeric column that is not an axis.
  const std::vector<std::vector<std::string>> rows =
      fields_of(to_csv(distinct_results(ResultKind::sweep, method_patterns[1])));
  ASSERT_EQ(rows.size(), 8u);
  for (std::size_t column = 0; column < rows[0].size(); ++column) {
    std::set<std::string> values;
    for (const auto& row : rows) values.insert(row[column]);
    const bool may_repeat = column < 7 || column == 12 || column >= 14;  // axes, nfe, definition
    if (may_repeat) continue;
    EXPECT_EQ(values.size(), rows.size()) << "column " << column;
  }
  EXPECT_EQ(rows[7].end()[-2], "g");  // the method; the last column is empty here
}

TEST(Results, MergedShardsKeepEveryColumn) {
  const TemporaryFolder folder;
  for (const ResultKind kind : {ResultKind::sweep, ResultKind::link}) {
    for (const std::vector<std::string>& methods : method_patterns) {
      std::vector<Results> read;
      std::vector<std::string> expected;
      for (arma::uword i = 1; i <= 3; ++i) {
        const Results shard = distinct_results(kind, methods, {i, 3});
        expected = shard.methods;
        save(folder / "shard.h5", shard);
        read.push_back(load_results(folder / "shard.h5"));
      }
      const Results merged = merge(read);
      save(folder / "merged.h5", merged);
      const Results again = load_results(folder / "merged.h5");
      EXPECT_EQ(again.methods, expected);
      EXPECT_EQ(to_csv(again), to_csv(merged));
      for (std::size_t cell = 0; cell < merged.done.size(); ++cell) {
        const std::size_t n = merged.n_series() * merged.n_sums;
        const Results& owner = read[cell % merged.n_blocks() % 3];
        for (std::size_t i = cell * n; i < (cell + 1) * n; ++i)
          ASSERT_EQ(again.sums[i], owner.sums[i]);
      }
    }
  }
}

TEST(Results, AMethodOfTwoLinesIsRefused) {
  const TemporaryFolder folder;
  const Results results = distinct_results(ResultKind::sweep, {"", "two\nlines"});
  EXPECT_NE(error_of([&] { save(folder / "results.h5", results); }).find("has a line break"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder / "results.h5"));
}

/// Copies a results file with other text in one dataset and other whole numbers in attributes: what
/// an earlier version or another program could have written.
void copy_with(const std::filesystem::path& from, const std::filesystem::path& to,
               const std::string& method, const std::map<std::string, std::int64_t>& numbers) {
  const ArchiveReader in(from);
  ArchiveWriter out(to);
  const auto copy_attributes = [&](const std::string& object) {
    for (const std::string& name : in.list_attributes(object)) {
      if (const auto text = in.text_attribute(object, name)) {
        out.attribute(object, name, *text);
      } else if (name.rfind("seconds", 0) == 0 || name.rfind("share", 0) == 0) {
        out.attribute(object, name, in.number_attribute(object, name).value());
      } else {
        const auto changed = numbers.find(name);
        out.attribute(object, name,
                      changed != numbers.end() ? changed->second
                                               : in.integer_attribute(object, name).value());
      }
    }
  };
  for (const std::string& path : in.list_datasets()) {
    const StoredDataset info = in.info(path);
    if (path == "/results/method") {
      out.write_text(path, method);
    } else if (info.type == ValueType::string) {
      out.write_text(path, in.read_text(path));
    } else if (info.type == ValueType::complex) {
      out.write(path, in.read_cx_mat(path));
      copy_attributes(path);
    } else if (info.type == ValueType::integer) {
      out.write(path, info.dims, in.read_all<std::uint32_t>(path).data());
    } else {
      out.write(path, info.dims, in.read_all<double>(path).data());
    }
  }
  copy_attributes("/");
  copy_attributes("/timing");
  out.commit();
}

TEST(Results, FilesOfTheFirstVersionAreReadWhole) {
  const TemporaryFolder folder;
  for (const std::vector<std::string>& methods : method_patterns) {
    const Results written = distinct_results(ResultKind::sweep, methods);
    save(folder / "now.h5", written);
    // As version 1 joined lines: no line break before there is text.
    std::string text;
    for (const std::string& method : methods) text += (text.empty() ? "" : "\n") + method;
    copy_with(folder / "now.h5", folder / "first.h5", text, {{"format_version", 1}});
    const Results read = load_results(folder / "first.h5");
    EXPECT_EQ(read.methods, methods);
    EXPECT_EQ(to_csv(read), to_csv(written));
  }
}

TEST(Results, AWrongNumberOfMethodsIsRefused) {
  const TemporaryFolder folder;
  save(folder / "results.h5", distinct_results(ResultKind::sweep, {"", "a"}));
  for (const char* text : {"a", "\n\n\n\n\n\n", "\n\n\n\n\n\n\n\n"}) {
    copy_with(folder / "results.h5", folder / "wrong.h5", text, {});
    EXPECT_NE(error_of([&] {
                load_results(folder / "wrong.h5");
              }).find("is damaged: dataset /results/method does not fit the axes"),
              std::string::npos);
  }
  // More lines than the axes have were no file of version 1 either.
  copy_with(folder / "results.h5", folder / "wrong.h5", "\n\n\n\n\n\n\n\n",
            {{"format_version", 1}});
  EXPECT_THROW(load_results(folder / "wrong.h5"), Error);
}

TEST(Results, AttributesThatContradictTheOptionsAreRefused) {
  const TemporaryFolder folder;
  const std::string file = (folder / "edited.h5").string();
  save(folder / "results.h5", small_sweep());
  // Each of them leaves all data sets of the size that the others imply.
  for (const auto& [name, value] :
       std::map<std::string, std::int64_t>{{"end", 31}, {"first", 1}, {"n_rx", 5}, {"block", 9}}) {
    copy_with(folder / "results.h5", file, "\n\n\n\n\n\n\n", {{name, value}});
    EXPECT_NE(error_of([&] { load_results(file); }).find("is not that of the attribute options"),
              std::string::npos)
        << name;
  }
  copy_with(folder / "results.h5", file, "\n\n\n\n\n\n\n", {{"shard_count", 9'000'000'000'000}});
  EXPECT_NE(error_of([&] { load_results(file); }).find("sample range or shard is empty"),
            std::string::npos);
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
      "nmse_ci95_low,nmse_ci95_high,nmse_per_sample,nfe,seconds_per_channel,nmse_predicted,"
      "n_reset,seed,"
      "snr_definition,method,fitted_on");
  EXPECT_EQ(lines[1].rfind("ls,dft:4,4,0,", 0), 0u);
  // An estimator that predicts no error leaves the field empty; the seed is exact.
  EXPECT_NE(lines[2].find(",,0,18446744073709551615,snr_db = "), std::string::npos);
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
      "nmse_ci95_high,nmse_per_sample,nfe,seconds_per_channel,nmse_predicted,"
      "n_reset,seed,"
      "snr_definition,method,fitted_on");
  EXPECT_EQ(lines[2].rfind("perfect,identity,2,0,", 0), 0u);
}

TEST(Results, SayWhichModelsKnowTheChannels) {
  Results results = small_sweep();
  const std::string second = results.estimators[1];
  results.provenance.options = R"({"inputs": {"fitted_on": {")" + second +
                               R"(": "fitted on samples 0:9 of these channels"}}})";
  const std::vector<std::string> lines = lines_of(to_csv(results));
  EXPECT_EQ(lines[1].back(), ',');
  const std::string end = ",fitted on samples 0:9 of these channels";
  EXPECT_EQ(lines[2].substr(lines[2].size() - end.size()), end);
  EXPECT_NE(
      to_table(results).find("\n" + second + " was fitted on samples 0:9 of these channels: "),
      std::string::npos);
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

TEST(Merge, ChecksSizesAndNotTheOptionsAlone) {
  const std::vector<Results> whole{small_sweep({}, {1, 2}), small_sweep({}, {2, 2})};
  const auto message = [&](const std::function<void(Results&)>& spoil) {
    // The second shard is spoilt, then the first: neither is taken for the truth.
    std::string all;
    for (const std::size_t i : {1u, 0u}) {
      std::vector<Results> shards = whole;
      spoil(shards[i]);
      const std::string one = error_of([&] { merge(shards); });
      EXPECT_NE(one.find("file is damaged"), std::string::npos) << one;
      all += one + "\n";
    }
    return all;
  };
  using R = Results;
  EXPECT_NE(message([](R& r) { r.block = 16; }).find("the range of its samples"),
            std::string::npos);
  EXPECT_NE(message([](R& r) { r.sums.resize(r.sums.size() / 2); }).find("the size of its data"),
            std::string::npos);
  message([](R& r) { r.seconds.clear(); });
  message([](R& r) { r.done.pop_back(); });
  message([](R& r) { r.used.pop_back(); });
  message([](R& r) { r.used[0] = 1000; });
  message([](R& r) { r.used[0] = 1; });
  message([](R& r) { r.methods.pop_back(); });
  message([](R& r) { r.methods[1] = "other"; });
  message([](R& r) { r.end = 1000; });
  message([](R& r) { r.n_sums = 1; });
  message([](R& r) { r.n_tx = 8; });
  message([](R& r) { r.snr_db.push_back(5.0); });
  message([](R& r) { r.estimators.emplace_back("more"); });
  message([](R& r) { r.pilots.pop_back(); });
  message([](R& r) { r.shard.index = 0; });
  message([](R& r) { r.shard.index = 3; });
  message([](R& r) { r.done.assign(r.done.size(), 0); });
  Results endless = whole[0];
  endless.shard.count = ~arma::uword{0};
  EXPECT_NE(error_of([&] { merge({endless}); }).find("damaged"), std::string::npos);
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

using Environment = std::map<std::string, std::string>;
std::string shard_of(const Environment& set) {
  const Shard shard = shard_of_environment([&](const char* name) -> const char* {
    const auto it = set.find(name);
    return it == set.end() ? nullptr : it->second.c_str();
  });
  return std::to_string(shard.index) + "/" + std::to_string(shard.count);
}
Environment array(const std::string& id, const std::string& count, const std::string& least,
                  const std::string& most) {
  return {{"SLURM_ARRAY_TASK_ID", id},
          {"SLURM_ARRAY_TASK_COUNT", count},
          {"SLURM_ARRAY_TASK_MIN", least},
          {"SLURM_ARRAY_TASK_MAX", most}};
}

TEST(Shard, IsFoundInTheEnvironmentOfACluster) {
  EXPECT_EQ(shard_of({}), "1/1");
  EXPECT_EQ(shard_of(array("1", "4", "1", "4")), "1/4");
  EXPECT_EQ(shard_of(array("7", "4", "1", "10")), "3/4");  // --array=1-10:3
  EXPECT_EQ(shard_of(array("0", "1", "0", "0")), "1/1");
  EXPECT_EQ(shard_of({{"SLURM_PROCID", "2"}, {"SLURM_STEP_NUM_TASKS", "3"}}), "3/3");
  // The script of a job of several tasks is one process.
  EXPECT_EQ(shard_of({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}}), "1/1");
  EXPECT_EQ(shard_of({{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}}), "4/4");
  // Every process of every task of an array has a part of its own.
  std::set<std::string> parts;
  for (const char* task : {"5", "6", "7"}) {
    for (const char* process : {"0", "1"}) {
      Environment both = array(task, "3", "5", "7");
      both["SLURM_PROCID"] = process;
      both["SLURM_STEP_NUM_TASKS"] = "2";
      parts.insert(shard_of(both));
    }
  }
  EXPECT_EQ(parts, (std::set<std::string>{"1/6", "2/6", "3/6", "4/6", "5/6", "6/6"}));
  for (const Environment& bad :
       {array("3", "3", "1", "9"), array("x", "3", "1", "3"), array("4", "3", "1", "3"),
        Environment{{"SLURM_ARRAY_TASK_ID", "1"}}, Environment{{"OMPI_COMM_WORLD_SIZE", "4"}},
        Environment{{"SLURM_PROCID", "3"}, {"SLURM_STEP_NUM_TASKS", "3"}}}) {
    EXPECT_THROW(shard_of(bad), Error);
  }
}

}  // namespace
}  // namespace chest::sim
