// The PUSCH requirements of TS 38.104.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>

#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/grid/grid_ls.hpp>
#include <chest/sim/conformance.hpp>
#include <chest/text.hpp>

#include "tests/support/program.hpp"
#include "tests/support/refusal.hpp"

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
