// The PUSCH requirements of TS 38.104.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <thread>

#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/grid/grid_ls.hpp>
#include <chest/sim/conformance.hpp>
#include <chest/text.hpp>

#include "tests/support/program.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/run.hpp"

namespace chest::sim {
namespace {

std::shared_ptr<const Estimator> ls_of_cell(const ConformanceCell&, const std::string&,
                                            const std::shared_ptr<const ObservationOperator>& A,
                                            const std::shared_ptr<const GridCovariance>&) {
  return make_grid_ls(A, {});
}

ConformanceOptions short_run(const std::string& cells) {
  ConformanceOptions options;
  options.cells = parse_cells(cells);
  options.estimators = {"ls", "perfect"};
  options.n_slots = 24;
  return options;
}

TEST(Conformance, HasTheCellsOfTheStandard) {
  const std::vector<ConformanceCell>& cells = conformance_cells();
  ASSERT_EQ(cells.size(), 70u);
  std::set<std::string> names;
  for (const ConformanceCell& cell : cells) names.insert(cell.name);
  EXPECT_EQ(names.size(), 70u);
  const auto required = [](const std::string& name) {
    return parse_cells(name).at(0).snr_required_db;
  };
  EXPECT_EQ(required("5MHz-15kHz-A3-1x2"), -2.3);
  EXPECT_EQ(required("5MHz-15kHz-A3-2x2"), 1.0);
  EXPECT_EQ(required("20MHz-15kHz-A5-1x4"), 8.6);
  EXPECT_EQ(required("100MHz-30kHz-A4-2x4"), 11.6);
  const ConformanceCell cell = parse_cells("100MHz-30kHz-A4-2x4").front();
  EXPECT_EQ(cell.grid().n_subcarriers, 3276u);
  EXPECT_EQ(cell.grid().n_symbols, 14u);
  EXPECT_EQ(cell.spacing_hz, 30e3);
  EXPECT_EQ(cell.n_layers, 2u);
  EXPECT_EQ(cell.n_rx, 4u);
  EXPECT_EQ(cell.profile, "TDLC300-100");
  // Sizes of transport blocks by 38.214, one layer: 25, 52, 106 and 273 resource blocks.
  const auto bits = [](const std::string& name) {
    const ConformanceCell one = parse_cells(name).front();
    return transport_block_size(144, unsigned(one.n_blocks), one.mcs, 1);
  };
  EXPECT_EQ(bits("10MHz-15kHz-A3-1x2"), 2856u);
  EXPECT_EQ(bits("20MHz-15kHz-A4-1x2"), 38936u);
  EXPECT_EQ(bits("100MHz-30kHz-A5-1x2"), 131176u);
}

TEST(Conformance, CellsAreNamedAloneAndByTheirBeginning) {
  EXPECT_EQ(parse_cells("all").size(), 70u);
  EXPECT_EQ(parse_cells("5MHz-15kHz").size(), 10u);
  EXPECT_EQ(parse_cells("10MHz").size(), 20u);
  EXPECT_EQ(parse_cells("5MHz-15kHz-A3,100MHz-30kHz-A5-1x2").size(), 5u);
  EXPECT_TRUE(refused([] { parse_cells("5MHz-15kHz-A3-1x3"); }, "did you mean 5MHz-15kHz-A3-1x2"));
  EXPECT_TRUE(refused([] { parse_cells(""); }, "there is no cell ''"));
  EXPECT_TRUE(refused([] { parse_cells("5MHz-15kHz,5MHz-15kHz-A3-1x2"); }, "is named twice"));
}

TEST(Conformance, FindsTheSnrOfSeventyPercentForAnyNumberOfThreads) {
  ConformanceOptions options = short_run("5MHz-15kHz-A3-1x2");
  const ConformanceResults results = run_conformance(options, ls_of_cell);
  ASSERT_TRUE(results.finished);
  ASSERT_EQ(results.rows.size(), 2u);
  for (const ConformanceRow& row : results.rows) {
    // The throughput at the SNRs beside the one that was found is below and above 70 %.
    double below = -1e9, above = 1e9;
    for (const ThroughputPoint& point : row.points) {
      EXPECT_EQ(point.sums.n, 24.0);
      if (point.snr_db <= row.snr_db) {
        EXPECT_LT(point.sums.throughput(), 0.7);
        below = std::max(below, point.snr_db);
      } else {
        EXPECT_GE(point.sums.throughput(), 0.7);
        above = std::min(above, point.snr_db);
      }
    }
    EXPECT_NEAR(above - below, 0.5, 1e-9);
    EXPECT_GT(row.margin_db(), 0.0);
    EXPECT_LT(row.interval.low, row.snr_db);
    EXPECT_GT(row.interval.high, row.snr_db);
    EXPECT_GE(row.n_slots, 48u);
  }
  EXPECT_LT(results.rows[1].snr_db, results.rows[0].snr_db - 0.5);  // perfect knowledge
  options.n_threads = 3;
  EXPECT_EQ(to_csv(run_conformance(options, ls_of_cell)), to_csv(results));
  options.estimators = {"perfect"};
  EXPECT_EQ(run_conformance(options, ls_of_cell).rows[0].snr_db, results.rows[1].snr_db);
}

TEST(Conformance, TwoLayersShareThePower) {
  // The requirement of two layers is 3.3 dB above that of one with the same code: 3 dB of it are the power of a layer.
  ConformanceOptions options = short_run("5MHz-15kHz-A3-1x4,5MHz-15kHz-A3-2x4");
  options.estimators = {"perfect"};
  const ConformanceResults results = run_conformance(options, ls_of_cell);
  const double apart = results.rows[1].snr_db - results.rows[0].snr_db;
  EXPECT_GT(apart, 2.0);
  EXPECT_LT(apart, 5.5);
}

/// Gives zero.
class Nothing final : public Estimator {
 public:
  explicit Nothing(std::shared_ptr<const ObservationOperator> A) : A_(std::move(A)) {}
  std::string name() const override { return "nothing"; }
  const ObservationOperator& A() const override { return *A_; }

 private:
  void do_estimate(const Observation&, Estimate& out) const override { out.h.zeros(); }
  std::shared_ptr<const ObservationOperator> A_;
};

TEST(Conformance, AnEstimatorThatNeverPassesHasNoSnr) {
  ConformanceOptions options = short_run("5MHz-15kHz-A3-1x2");
  options.estimators = {"nothing"};
  options.n_slots = 8;
  const ConformanceResults results = run_conformance(
      options,
      [](const ConformanceCell&, const std::string&,
         const std::shared_ptr<const ObservationOperator>& A,
         const std::shared_ptr<const GridCovariance>&) { return std::make_shared<Nothing>(A); });
  EXPECT_TRUE(std::isnan(results.rows.front().snr_db));
  EXPECT_EQ(split(to_csv(results), '\n')[1], "5MHz-15kHz-A3-1x2,nothing,-2.3,,,0");
  EXPECT_NE(to_table(results).find("not within 30 dB"), std::string::npos);
}

TEST(Conformance, StopsWhenAsked) {
  RunControl control;
  int asked = 0;
  control.stop_requested = [&] { return ++asked > 2; };
  const ConformanceResults results =
      run_conformance(short_run("5MHz-15kHz-A3-1x2"), ls_of_cell, control);
  EXPECT_FALSE(results.finished);
  EXPECT_TRUE(results.rows.empty());
}

/// Two cells of the least carrier, the same bits as in any other order of the work.
ConformanceOptions two_cells() { return short_run("5MHz-15kHz-A3-1x2,5MHz-15kHz-A3-1x4"); }

/// Stops a run before the n-th group of blocks.
RunControl stopping_at(int n) {
  RunControl control;
  auto asked = std::make_shared<int>(0);
  control.stop_requested = [asked, n] { return ++*asked > n; };
  return control;
}

TEST(Conformance, ARunThatIsStoppedAgainAndAgainEndsAsOneRun) {
  const TemporaryFolder folder;
  ConformanceOptions options = two_cells();
  options.out = folder / "whole.h5";
  const ConformanceResults whole = run_conformance(options, ls_of_cell);
  ASSERT_TRUE(whole.finished);
  options.out = folder / "parts.h5";
  ConformanceResults parts;
  arma::uword n_runs = 0, n_inside = 0;
  while (!parts.finished && n_runs < 500) {
    // One group at a time at first: looks end in the middle.
    options.n_threads = n_runs % 3 == 2 ? 2 : 1;
    parts = run_conformance(options, ls_of_cell, stopping_at(n_runs < 20 ? 1 : 9));
    ++n_runs;
    for (const ConformanceLook& look : parts.looks) {
      // A full look begins with the 8 slots of the coarse one.
      n_inside += look.done > (look.n == 24 ? 8u : 0u) && look.done < look.n;
    }
  }
  ASSERT_TRUE(parts.finished);
  EXPECT_GT(n_runs, 20u);
  EXPECT_GT(n_inside, 0u);
  EXPECT_EQ(to_csv(parts), to_csv(whole));
  EXPECT_EQ(parts.n_sent, whole.n_sent);
  EXPECT_EQ(content_without_timings(folder / "parts.h5"),
            content_without_timings(folder / "whole.h5"));
  // What is finished is not done again.
  const ConformanceResults again =
      run_conformance(options, [](const auto&, const auto&, const auto&, const auto&) {
        ADD_FAILURE() << "an estimator was made";
        return std::shared_ptr<const Estimator>();
      });
  EXPECT_EQ(to_csv(again), to_csv(whole));
}

TEST(Conformance, ShardsMergeToTheWhole) {
  const TemporaryFolder folder;
  ConformanceOptions options = two_cells();
  options.out = folder / "whole.h5";
  const ConformanceResults whole = run_conformance(options, ls_of_cell);
  std::vector<ConformanceResults> shards;
  for (const arma::uword i : {2, 1}) {
    options.shard = {i, 2};
    options.out = folder / ("shard_" + std::to_string(i) + ".h5");
    EXPECT_EQ(run_conformance(options, ls_of_cell).rows.size(), 2u);
    shards.push_back(load_conformance(options.out));
  }
  EXPECT_EQ(shards[1].rows[1].cell.name, "5MHz-15kHz-A3-1x2");
  EXPECT_EQ(shards[1].rows[1].estimator, "perfect");
  const ConformanceResults merged = merge(shards);
  save(folder / "merged.h5", merged);
  EXPECT_EQ(to_csv(merged), to_csv(whole));
  EXPECT_EQ(merged.n_sent, whole.n_sent);
  EXPECT_EQ(content_without_timings(folder / "merged.h5"),
            content_without_timings(folder / "whole.h5"));
  EXPECT_EQ(to_csv(load_conformance(folder / "merged.h5")), to_csv(whole));

  EXPECT_TRUE(refused([&] { merge({shards[0]}); },
                      "merge: shard 1/2 is missing; give the results of all shards"));
  EXPECT_TRUE(refused([&] { merge({shards[0], shards[0]}); }, "shard 2/2 is given twice"));
  EXPECT_TRUE(refused([&] { merge({shards[0], whole}); }, "(number of shards is 2 here, 1 there)"));
  ConformanceResults other = shards[1];
  other.finished = false;
  EXPECT_TRUE(refused([&] { merge({shards[0], other}); }, "shard 1/2 is not finished"));
  options.shard = {1, 2};
  options.out.clear();
  options.n_slots = 16;
  EXPECT_TRUE(refused(
      [&] {
        merge({shards[0], run_conformance(options, ls_of_cell)});
      },
      "not of one command (slots is 24 here, 16 there)"));
}

TEST(Conformance, RefusesToContinueWhatIsOfAnotherCommand) {
  const TemporaryFolder folder;
  ConformanceOptions options = two_cells();
  options.n_slots = 8;
  options.estimators = {"perfect"};
  options.out = folder / "results.h5";
  run_conformance(options, ls_of_cell, stopping_at(3));
  const auto is_refused = [&](const std::string& text,
                              const std::function<void(ConformanceOptions&)>& change) {
    ConformanceOptions other = options;
    change(other);
    return refused([&] { run_conformance(other, ls_of_cell); }, text);
  };
  const std::string what = "holds results of another command (";
  EXPECT_TRUE(is_refused(what + "seed is 2 here, 1 there)", [](auto& o) { o.seed = 2; }));
  EXPECT_TRUE(is_refused(what + "slots is 16 here, 8 there)", [](auto& o) { o.n_slots = 16; }));
  EXPECT_TRUE(is_refused(what + "estimators 0 is ls here, perfect there)",
                         [](auto& o) { o.estimators = {"ls"}; }));
  EXPECT_TRUE(is_refused(what + "decoder iterations is 6 here, 20 there)",
                         [](auto& o) { o.receiver.decoder.iterations = 6; }));
  EXPECT_TRUE(is_refused(what + "detector is zf here, lmmse there)",
                         [](auto& o) { o.receiver.detector = parse_detector("zf"); }));
  EXPECT_TRUE(is_refused(what + "inputs models 0 is b here, absent there)",
                         [](auto& o) { o.inputs = R"({"models": ["b"]})"; }));
  EXPECT_TRUE(is_refused(what + "shard is 1/2 here, 1/1 there)", [](auto& o) {
    o.shard = {1, 2};
  }));
  options.seed = 2;
  options.force = true;
  EXPECT_EQ(run_conformance(options, ls_of_cell).provenance.seed, 2u);
}

TEST(Conformance, RefusesResultsThatAreDamaged) {
  const TemporaryFolder folder;
  ConformanceOptions options = two_cells();
  options.n_slots = 8;
  options.estimators = {"perfect"};
  const ConformanceResults whole = run_conformance(options, ls_of_cell);
  const auto is_damaged = [&](const std::string& text,
                              const std::function<void(ConformanceResults&)>& change) {
    ConformanceResults spoiled = whole;
    change(spoiled);
    save(folder / "spoiled.h5", spoiled);
    const std::string said = error_of([&] { load_conformance(folder / "spoiled.h5"); });
    return said.find("spoiled.h5: is damaged: " + text) != std::string::npos
               ? testing::AssertionSuccess()
               : testing::AssertionFailure() << said;
  };
  EXPECT_TRUE(
      is_damaged("its cells is not that of", [](auto& r) { std::swap(r.cells[0], r.cells[1]); }));
  EXPECT_TRUE(is_damaged("there is no cell 'x'", [](auto& r) {
    r.rows.clear();
    r.cells[0].name = "x";
  }));
  EXPECT_TRUE(is_damaged("its slots is not that of", [](auto& r) { r.n_slots = 9; }));
  EXPECT_TRUE(is_damaged("its shard is empty", [](auto& r) { r.shard.count = 3; }));
  EXPECT_TRUE(is_damaged("look 0 is out of range", [](auto& r) { r.looks[0].i_row = 2; }));
  EXPECT_TRUE(is_damaged("look 0 is out of range", [](auto& r) { r.looks[0].done = 9; }));
  EXPECT_TRUE(is_damaged("look 1 is out of range", [](auto& r) { r.looks[1].sums.n = 7; }));
}

TEST(Conformance, RefusesOptionsOutOfRange) {
  const auto is_refused = [](const std::string& text,
                             const std::function<void(ConformanceOptions&)>& change) {
    ConformanceOptions options = short_run("5MHz-15kHz-A3-1x2");
    change(options);
    return refused([&] { run_conformance(options, ls_of_cell); }, text);
  };
  EXPECT_TRUE(is_refused("cells is empty", [](auto& o) { o.cells.clear(); }));
  EXPECT_TRUE(is_refused("estimators is empty", [](auto& o) { o.estimators.clear(); }));
  EXPECT_TRUE(is_refused("'ls' twice", [](auto& o) { o.estimators = {"ls", "ls"}; }));
  EXPECT_TRUE(is_refused("n_slots is 7, expected 8", [](auto& o) { o.n_slots = 7; }));
  EXPECT_TRUE(is_refused("n_threads is 0", [](auto& o) { o.n_threads = 0; }));
  EXPECT_TRUE(is_refused("iterations is 0", [](auto& o) { o.receiver.decoder.iterations = 0; }));
  EXPECT_TRUE(is_refused("shard is 3/2, expected i/n", [](auto& o) { o.shard = {3, 2}; }));
  EXPECT_TRUE(is_refused("2 shards share 1 cell; use fewer", [](auto& o) { o.shard = {1, 2}; }));
}

TEST(Conformance, TheProgramWritesTheTableAndItsFigure) {
  const TemporaryFolder folder;
  const std::string csv = (folder / "c.csv").string(), figure = (folder / "c.gp").string();
  Program program({"conformance", "--cells", "5MHz-15kHz-A3-1x2", "--estimators",
                   "ls,genie,perfect", "--slots", "8", "--csv", csv, "--plot", figure, "--quiet"});
  ASSERT_EQ(program.status(), 0) << program.err();
  const std::vector<std::string> lines = split(text_of(csv), '\n');
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[0], "cell,estimator,snr_required_db,snr_at_70_percent_db,margin_db,n_slots");
  EXPECT_EQ(lines[1].rfind("5MHz-15kHz-A3-1x2,ls,-2.3,", 0), 0u) << lines[1];
  EXPECT_EQ(lines[3].rfind("5MHz-15kHz-A3-1x2,perfect,-2.3,", 0), 0u) << lines[3];
  const std::vector<std::string> fields = split(lines[3], ',');
  EXPECT_NEAR(to_number(fields[2], "required") - to_number(fields[3], "found"),
              to_number(fields[4], "margin"), 1.1e-3);
  EXPECT_NE(program.out().find("95 % of margin"), std::string::npos);
  EXPECT_NE(program.out().find("of CPU time per slot"), std::string::npos);
  EXPECT_NE(text_of(figure).find("throughput"), std::string::npos);
  const auto says = [](const std::vector<std::string>& words) {
    Program wrong(words);
    EXPECT_EQ(wrong.status(), 2);
    return wrong.err();
  };
  EXPECT_NE(says({"conformance", "--cells", "6MHz"}).find("there is no cell '6MHz'"),
            std::string::npos);
  EXPECT_NE(says({"conformance", "--estimators", "lss"}).find("ls"), std::string::npos);
  EXPECT_NE(says({"conformance", "--csv", csv}).find("--force"), std::string::npos);
}

TEST(Conformance, TheProgramContinuesAfterKillAndMergesShards) {
  const TemporaryFolder folder;
  const auto at = [&](const std::string& name) { return (folder / name).string(); };
  const auto words = [&](const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> all{"conformance",
                                 "--cells",
                                 "5MHz-15kHz-A3-1x2,5MHz-15kHz-A3-1x4",
                                 "--estimators",
                                 "ls,perfect",
                                 "--slots",
                                 "24",
                                 "--quiet",
                                 "--out",
                                 at(name + ".h5"),
                                 "--csv",
                                 at(name + ".csv")};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  Program whole(words("whole", {}));
  ASSERT_EQ(whole.status(), 0) << whole.err();
  Program victim(words("killed", {}));
  std::size_t n_looks = 0;
  for (int i = 0; i < 4000 && n_looks < 2; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (std::filesystem::exists(at("killed.h5")))
      n_looks = load_conformance(at("killed.h5")).looks.size();
  }
  victim.signal(SIGKILL);
  victim.status();
  ASSERT_FALSE(load_conformance(at("killed.h5")).finished);
  ASSERT_GE(n_looks, 2u);
  Program again(words("killed", {"--threads", "1"}));
  ASSERT_EQ(again.status(), 0) << again.err();
  EXPECT_EQ(text_of(at("killed.csv")), text_of(at("whole.csv")));
  EXPECT_EQ(content_without_timings(at("killed.h5")), content_without_timings(at("whole.h5")));

  for (const std::string i : {"1", "2"}) {
    Program shard(words("s" + i, {"--shard", i + "/2"}));
    ASSERT_EQ(shard.status(), 0) << shard.err();
  }
  Program merge({"merge", at("s2.h5"), at("s1.h5"), "--out", at("merged.h5"), "--csv",
                 at("merged.csv"), "--plot", at("merged.gp")});
  ASSERT_EQ(merge.status(), 0) << merge.err();
  EXPECT_EQ(text_of(at("merged.csv")), text_of(at("whole.csv")));
  EXPECT_EQ(content_without_timings(at("merged.h5")), content_without_timings(at("whole.h5")));
  EXPECT_NE(merge.out().find("of CPU time per slot"), std::string::npos);
  const std::string figure = text_of(at("merged.gp"));
  Program plot({"plot", at("whole.h5"), "--out", at("merged.gp"), "--force"});
  ASSERT_EQ(plot.status(), 0) << plot.err();
  EXPECT_EQ(text_of(at("merged.gp")), figure);
  EXPECT_NE(answer_of({"info", at("s1.h5")}).find("s1.h5: results"), std::string::npos);

  const auto says = [](const std::vector<std::string>& wrong) {
    Program program(wrong);
    EXPECT_NE(program.status(), 0);
    return program.err();
  };
  EXPECT_NE(says({"merge", at("s1.h5"), "--out", at("no.h5")}).find("shard 2/2 is missing"),
            std::string::npos);
  EXPECT_NE(says(words("s1", {"--shard", "2/2"})).find("(shard is 2/2 here, 1/2 there)"),
            std::string::npos);
  EXPECT_NE(says(words("s1", {"--shard", "3/2"})).find("shard is '3/2', expected i/n"),
            std::string::npos);
  EXPECT_NE(says(words("whole", {"--seed", "2"})).find("(seed is 2 here, 1 there)"),
            std::string::npos);
  // Results of another kind.
  Program channels({"generate", "rayleigh", "--n-rx", "2", "--n-tx", "1", "--n-samples", "8",
                    "--out", at("h.h5"), "--quiet"});
  ASSERT_EQ(channels.status(), 0) << channels.err();
  Program sweep(
      {"sweep", "--channels", at("h.h5"), "--snr", "0", "--out", at("sweep.h5"), "--quiet"});
  ASSERT_EQ(sweep.status(), 0) << sweep.err();
  EXPECT_NE(says({"merge", at("s1.h5"), at("sweep.h5"), "--out", at("no.h5")})
                .find("is a chest-results file, expected a chest-conformance file"),
            std::string::npos);
  EXPECT_NE(says(words("sweep", {})).find("is a chest-results file"), std::string::npos);
}

TEST(Conformance, WithoutEstimatorsTheProgramTakesThoseThatThereAre) {
  Program program({"conformance", "--cells", "5MHz-15kHz-A3-1x2", "--slots", "8", "--quiet"});
  ASSERT_EQ(program.status(), 0) << program.err();
  std::vector<std::string> expected{"ls"};
  const Catalog catalog = built_in();
  for (const OptionInfo& option : catalog.entry("lmmse").options)
    if (option.name == "pdp") expected.push_back("lmmse");  // told the profile of the cell
  if (std::filesystem::exists(std::string(CHEST_SOURCE_DIR) + "/models/tdl_pusch.h5"))
    expected.push_back("dmse");
  expected.push_back("perfect");
  std::size_t at = 0;
  for (const std::string& name : expected) {
    at = program.out().find("5MHz-15kHz-A3-1x2     " + name, at);
    EXPECT_NE(at, std::string::npos) << name << program.out();
  }
}

}  // namespace
}  // namespace chest::sim
