// Transport blocks over channels on grids, estimated by every kind of estimator: run_coded_link().
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <filesystem>
#include <memory>

#include <chest/archive.hpp>
#include <chest/channels/generator.hpp>
#include <chest/estimators/grid/grid_lmmse.hpp>
#include <chest/estimators/grid/grid_ls.hpp>
#include <chest/ofdm.hpp>
#include <chest/sim/coded_link.hpp>
#include <chest/sim/plot.hpp>
#include <chest/sim/statistics.hpp>
#include <chest/text.hpp>

#include "tests/support/grid_channels.hpp"
#include "tests/support/program.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/run.hpp"

namespace chest::sim {
namespace {

/// Two resource blocks and a slot of a tapped delay line.
SampleReader slots(arma::uword n, arma::uword n_rx = 2, arma::uword n_tx = 1) {
  TdlOptions options;
  options.profile = "TDLA30-10";
  options.n_rx = n_rx;
  options.n_tx = n_tx;
  options.grid = ofdm_grid(24, 14, 15e3);
  return samples_in_memory(test::draw_grids(*make_tdl(options), 1, 0, n), n_rx, n_tx, options.grid);
}

std::shared_ptr<const Estimator> grid_estimators(
    const std::string& name, const std::shared_ptr<const ObservationOperator>& A) {
  GridLsOptions options;
  if (name == "ls:time=average") options.time = TimeInterpolation::average;
  return make_grid_ls(A, options);
}

CodedLinkOptions small_link() {
  CodedLinkOptions options;
  options.run.pilots = {parse_pilots("dmrs:symbols=2-11,groups=2")};
  options.run.snr_db = {0.0, 6.0};
  options.run.estimators = {"ls"};
  options.run.block = 8;
  return options;
}

Results run(const SampleReader& samples, const CodedLinkOptions& options) {
  return run_coded_link(samples, {}, grid_estimators, options);
}

const Row& row(const std::vector<Row>& all, const std::string& estimator, double snr_db) {
  for (const Row& one : all)
    if (one.estimator == estimator && one.snr_db == snr_db) return one;
  throw Error(ErrorKind::invalid_argument, "no such row");
}

TEST(CodedLink, KnowingTheChannelIsBetterThanEstimatingIt) {
  CodedLinkOptions options = small_link();
  options.run.estimators = {"ls", "ls:time=average"};
  const std::vector<Row> all = rows(run(slots(160), options));
  for (const double snr : {0.0, 6.0}) {
    // The same bits and noise: what is lost with the channel known is lost with an estimate, but for a few.
    EXPECT_LT(row(all, "perfect", snr).bler, row(all, "ls:time=average", snr).bler);
    EXPECT_LT(row(all, "ls:time=average", snr).bler, row(all, "ls", snr).bler);
    EXPECT_LT(row(all, "perfect", snr).coded_ber, row(all, "ls", snr).coded_ber);
    EXPECT_EQ(row(all, "perfect", snr).nmse, 0.0);
  }
  const Row& ls = row(all, "ls", 6.0);
  EXPECT_EQ(ls.n_blocks, 160.0);
  EXPECT_EQ(ls.transmissions, 1.0);
  EXPECT_DOUBLE_EQ(ls.throughput, 1.0 - ls.bler);
  EXPECT_EQ(ls.bler_first, ls.bler);
  EXPECT_GT(ls.bler, ls.ber);
  EXPECT_LT(ls.bler_ci95_low, ls.bler);
  EXPECT_GT(ls.bler_ci95_high, ls.bler);
  EXPECT_EQ(ls.info_bits, 288.0);  // 38.214: 144 elements in each of 2 blocks, QPSK, 1/2
  EXPECT_EQ(ls.code_rate, 0.5);
  EXPECT_EQ(ls.modulation, "qpsk");
  EXPECT_DOUBLE_EQ(ls.pilot_energy, 2.0);  // groups=2
}

TEST(CodedLink, RowsDependOnSeedAndPointAlone) {
  const SampleReader samples = slots(64);
  CodedLinkOptions options = small_link();
  options.pusch.n_transmissions = 2;
  const Results once = run(samples, options);
  options.run.n_threads = 3;
  EXPECT_EQ(run(samples, options).sums, once.sums);
  options.run.estimators = {"ls:time=average", "ls"};
  options.run.snr_db = {6.0};
  const std::vector<Row> others = rows(run(samples, options)), all = rows(once);
  for (const std::string name : {"ls", "perfect"}) {
    EXPECT_EQ(row(others, name, 6.0).bler, row(all, name, 6.0).bler);
    EXPECT_EQ(row(others, name, 6.0).coded_ber, row(all, name, 6.0).coded_ber);
    EXPECT_EQ(row(others, name, 6.0).nmse, row(all, name, 6.0).nmse);
  }
  options.run.seed = 2;
  EXPECT_NE(row(rows(run(samples, options)), "ls", 6.0).coded_ber, row(all, "ls", 6.0).coded_ber);
}

TEST(CodedLink, RetransmissionsRaiseWhatPasses) {
  const SampleReader samples = slots(240);
  CodedLinkOptions options = small_link();
  options.run.snr_db = {-2.0};
  const Row once = rows(run(samples, options)).front();
  options.pusch.n_transmissions = 4;
  const Row more = rows(run(samples, options)).front();
  EXPECT_EQ(more.n_blocks, 60.0);
  EXPECT_LT(more.bler, 0.5 * once.bler);
  EXPECT_LT(more.bler, more.bler_first);
  EXPECT_GT(more.transmissions, 1.0);
  EXPECT_LE(more.transmissions, 4.0);
  EXPECT_NEAR(more.throughput, (1.0 - more.bler) / more.transmissions, 1e-12);
  EXPECT_LT(more.throughput_ci95_low, more.throughput);
  EXPECT_GT(more.throughput_ci95_high, more.throughput);
}

TEST(CodedLink, SamplesThatFillNoBlockAreLeftOut) {
  CodedLinkOptions options = small_link();
  options.pusch.n_transmissions = 3;
  // Blocks of the run are rounded from 8 to 6 samples; of 20 samples the last two are no block of three.
  const Results results = run(slots(20), options);
  EXPECT_EQ(results.block, 6u);
  EXPECT_EQ(rows(results).front().n_blocks, 6.0);
  EXPECT_EQ(rows(results).front().n_samples, 20u);
  EXPECT_TRUE(
      refused([&] { run(slots(2), options); }, "2 samples are fewer than the 3 transmissions"));
}

TEST(CodedLink, TwoLayersAndDataBesidePilots) {
  CodedLinkOptions options = small_link();
  options.run.pilots = {parse_pilots("dmrs:symbols=2-11"), parse_pilots("comb:2,symbols=0")};
  options.run.snr_db = {30.0};
  options.pusch.mcs = 16;
  const SampleReader samples = slots(24, 4, 2);
  const std::vector<Row> two = rows(run(samples, options));
  options.pusch.n_layers = 1;
  const std::vector<Row> one = rows(run(samples, options));
  ASSERT_EQ(two.size(), 4u);
  for (std::size_t i = 0; i < two.size(); ++i) {
    EXPECT_EQ(two[i].bler, 0.0) << two[i].estimator << ", " << two[i].pilots;
    EXPECT_NEAR(two[i].info_bits / one[i].info_bits, 2.0, 0.1);
  }
  // 13 of 14 symbols carry data with both pilots: 156 elements in a resource block.
  EXPECT_EQ(two[0].info_bits, two[2].info_bits);
}

TEST(CodedLink, ZeroForcingIsLinearMmseForOneLayerAndWorseForMore) {
  const SampleReader one = slots(40), two = slots(80, 2, 2);
  CodedLinkOptions options = small_link();
  options.run.snr_db = {4.0};
  CodedLinkOptions forcing = options;
  forcing.pusch.detector.kind = DetectorKind::zf;
  EXPECT_EQ(rows(run(one, forcing)).back().coded_ber, rows(run(one, options)).back().coded_ber);
  EXPECT_GT(rows(run(two, forcing)).back().bler, rows(run(two, options)).back().bler);
}

TEST(CodedLink, FilesShardsAndInterruptionsKeepTheNumbers) {
  const TemporaryFolder folder;
  const SampleReader samples = slots(40);
  CodedLinkOptions options = small_link();
  const Results whole = run(samples, options);
  std::vector<Results> shards;
  for (const arma::uword i : {1u, 2u}) {
    options.run.shard = {i, 2};
    options.run.out = folder / ("shard" + std::to_string(i) + ".h5");
    run(samples, options);
    shards.push_back(load_results(options.run.out));
  }
  const Results merged = merge(shards);
  EXPECT_EQ(merged.sums, whole.sums);
  EXPECT_GT(shards[0].seconds_in_decoders, 0.0);
  EXPECT_LT(merged.seconds_in_estimators + merged.seconds_in_decoders, merged.seconds_total);
  EXPECT_DOUBLE_EQ(merged.seconds_in_decoders,
                   shards[0].seconds_in_decoders + shards[1].seconds_in_decoders);
  const std::vector<Row> mine = rows(merged), theirs = rows(whole);
  for (std::size_t i = 0; i < mine.size(); ++i) {
    EXPECT_EQ(mine[i].bler, theirs[i].bler);
    EXPECT_EQ(mine[i].throughput, theirs[i].throughput);
  }

  options.run.shard = {};
  options.run.out = folder / "resumed.h5";
  RunControl control;
  int asked = 0;
  control.stop_requested = [&] { return ++asked > 3; };
  const Results part = run_coded_link(samples, {}, grid_estimators, options, control);
  EXPECT_FALSE(part.finished());
  EXPECT_EQ(run(samples, options).sums, whole.sums);

  options.pusch.decoder.iterations = 3;
  EXPECT_TRUE(refused([&] { run(samples, options); }, "iterations is 3 here, 20 there"));
}

TEST(CodedLink, APointEndsWhenItsBlockErrorRateIsKnown) {
  CodedLinkOptions options = small_link();
  options.run.snr_db = {-6.0};  // nearly all blocks are lost
  options.run.stop_rel = 0.2;
  EXPECT_LT(rows(run(slots(160), options)).front().n_blocks, 160.0);
}

TEST(CodedLink, TableSaysWhatOfTheGapIsClosed) {
  CodedLinkOptions options = small_link();
  options.run.estimators = {"ls", "ls:time=average"};
  options.run.snr_db = {2.0, 8.0, 14.0};
  const Results results = run(slots(120), options);
  const std::string table = to_table(results), csv = to_csv(results);
  EXPECT_EQ(table.rfind("BLER after the last transmission", 0), 0u) << table;
  EXPECT_NE(table.find("\nls: BLER 0.1 at "), std::string::npos) << table;
  EXPECT_NE(table.find("\nperfect: BLER 0.1 at "), std::string::npos) << table;
  // CPU time of all blocks over the slots of all rows; also where half of the blocks of a point were not used.
  const auto ms_of = [](const Results& of) {
    const std::string text = to_table(of);
    const std::size_t end = text.find(" ms of CPU time per slot: ");
    if (end == std::string::npos) return 0.0;
    const std::size_t begin = text.rfind('\n', end) + 1;
    return to_number(text.substr(begin, end - begin), "time");
  };
  double n_slots = 0.0;
  for (const Row& row : rows(results)) n_slots += static_cast<double>(row.n_samples);
  const double ms = 1e3 * results.seconds_total / n_slots;
  ASSERT_GT(results.n_blocks(), 1u);
  Results partly = results;
  partly.used[0] = static_cast<std::uint32_t>(results.n_blocks() / 2);
  EXPECT_NEAR(ms_of(results), ms, 0.0051);
  EXPECT_NEAR(ms_of(partly), ms, 0.05 * ms + 0.0051);
  EXPECT_NE(
      csv.find(",n_samples,modulation,bler,bler_ci95_low,bler_ci95_high,bler_first,throughput,"
               "throughput_ci95_low,throughput_ci95_high,ber,coded_ber,transmissions,iterations,"
               "n_blocks,info_bits,code_rate,nmse,"),
      std::string::npos)
      << csv;
  const TemporaryFolder folder;
  plot({{"", results}}, folder / "r.gp");
  EXPECT_NE(text_of(folder / "r.gp").find("block error rate"), std::string::npos);
}

TEST(CodedLink, BlockErrorRatesAreInterpolatedOnTheirLogarithm) {
  EXPECT_DOUBLE_EQ(snr_at_bler({{2.0, 0.01}, {0.0, 1.0}}, 0.1), 1.0);
  EXPECT_TRUE(std::isnan(snr_at_bler({{0.0, 1.0}, {2.0, 0.2}}, 0.1)));
  EXPECT_TRUE(std::isnan(snr_at_bler({{0.0, 1.0}, {2.0, 0.0}}, 0.1)));
  EXPECT_TRUE(std::isnan(snr_at_bler({}, 0.1)));
}

TEST(CodedLink, APointEndsWithEnoughBlockErrorsOfEveryRow) {
  CodedLinkOptions options = small_link();
  options.run.snr_db = {0.0};
  options.run.stop_errors = 30;
  const Results results = run(slots(160), options);
  const std::vector<Row> all = rows(results);
  EXPECT_LT(all.front().n_blocks, 160.0);
  double least = 1e9;
  for (const Row& one : all) least = std::min(least, one.bler * one.n_blocks);
  EXPECT_GE(least, 30.0 - 1e-9);
  // A block of the run less would not have been enough.
  std::vector<double> before(all.size(), 0.0);
  for (arma::uword b = 0; b + 1 < results.used[0]; ++b)
    for (std::size_t i = 0; i < all.size(); ++i)
      before[i] += BlockSums::read(results.sums_of(0, b, i) + ErrorSums::count).errors;
  EXPECT_LT(*std::min_element(before.begin(), before.end()), 30.0);
  options.run.shard = {1, 2};
  EXPECT_TRUE(refused([&] { run(slots(160), options); }, "stop_errors does not go with shards"));
}

TEST(CodedLink, RowsBesideSayWhatErrorsAreWorth) {
  CodedLinkOptions options = small_link();
  options.beside = parse_beside("white,untold");
  const Results results = run(slots(240), options);
  ASSERT_EQ(results.estimators,
            (std::vector<std::string>{"ls", "ls+untold", "ls+white", "perfect"}));
  const std::vector<Row> all = rows(results);
  for (const double snr : {0.0, 6.0}) {
    const Row &ls = row(all, "ls", snr), &white = row(all, "ls+white", snr);
    EXPECT_EQ(row(all, "ls+untold", snr).nmse, ls.nmse);
    // White errors have the power of those of ls: known to 1 / sqrt(240 * 24 * 14 * 2), 0.25 %.
    EXPECT_NEAR(white.nmse, ls.nmse, 0.02 * ls.nmse);
    EXPECT_GT(white.coded_ber, row(all, "perfect", snr).coded_ber);
  }
  // Where interpolation leaves errors of 1 to 5 times the noise, trusting all elements alike costs blocks.
  EXPECT_GE(row(all, "ls+untold", 6.0).bler, row(all, "ls", 6.0).bler);

  // Without a row beside it, an estimator has the same figures; --no-error-variance is untold.
  CodedLinkOptions alone = small_link();
  const std::vector<Row> plain = rows(run(slots(240), alone));
  EXPECT_EQ(row(plain, "ls", 6.0).coded_ber, row(all, "ls", 6.0).coded_ber);
  alone.pusch.error_variance = false;
  EXPECT_EQ(row(rows(run(slots(240), alone)), "ls", 6.0).bler, row(all, "ls+untold", 6.0).bler);
  EXPECT_TRUE(refused([] { parse_beside("whyte"); }, "did you mean white"));
  EXPECT_TRUE(refused([] { parse_beside("data0"); }, "did you mean data1"));
}

TEST(CodedLink, InterferenceIsWhatItsRatioSays) {
  const SampleReader samples = slots(80, 4, 2);
  CodedLinkOptions options = small_link();
  options.pusch.n_layers = 1;
  options.run.snr_db = {0.0};
  options.run.estimators = {"ls:time=average"};
  // An interferer of -50 dB changes next to nothing, one of 10 dB is like 10.4 dB less SNR or more.
  const double alone = rows(run(samples, options)).back().coded_ber;
  options.interference = Interference{-50.0, 1};
  EXPECT_NEAR(rows(run(samples, options)).back().coded_ber, alone, 1e-3);
  options.interference = Interference{10.0, 2};
  const Results with = run(samples, options);
  EXPECT_GT(rows(with).back().coded_ber, alone + 0.05);
  // LS at the pilots, averaged over two symbols: its error grows by the power of noise and interference, 11-fold;
  // 80 fading interferers know it to about 15 %.
  CodedLinkOptions quiet = options;
  quiet.interference.reset();
  const double ratio = rows(with).front().nmse / rows(run(samples, quiet)).front().nmse;
  EXPECT_GT(ratio, 6.0);
  EXPECT_LT(ratio, 16.0);
  options.run.n_threads = 2;
  options.run.block = 16;
  EXPECT_EQ(rows(run(samples, options)).back().coded_ber, rows(with).back().coded_ber);

  options.interference = Interference{10.0, 3};
  EXPECT_TRUE(refused([&] { run(samples, options); }, "an interferer of rank 3 needs as many"));
  EXPECT_TRUE(refused([] { parse_interference("10:1:2"); }, "as in 10:2"));
  options.interference = Interference{60.0, 1};
  EXPECT_TRUE(refused([&] { run(samples, options); }, "interference is 60, expected -50 .. 50 dB"));
}

TEST(CodedLink, KnowingTheCovarianceOfInterferenceNullsIt) {
  // One interferer 15 dB above the noise on four antennas: with its covariance three dimensions are left.
  const SampleReader samples = slots(60, 4, 1);
  CodedLinkOptions options = small_link();
  options.run.snr_db = {5.0};
  options.run.estimators = {"ls:time=average"};
  options.interference = Interference{15.0, 1};
  const Row lmmse = rows(run(samples, options)).back();
  options.pusch.detector.kind = DetectorKind::lmmse_irc;
  const Row irc = rows(run(samples, options)).back();
  EXPECT_GT(lmmse.bler, 0.5);
  EXPECT_LT(irc.bler, 0.1);
  // Without interference it costs little.
  options.interference.reset();
  options.run.snr_db = {-3.0};
  const Row with = rows(run(samples, options)).back();
  options.pusch.detector.kind = DetectorKind::lmmse;
  EXPECT_NEAR(with.coded_ber, rows(run(samples, options)).back().coded_ber, 0.02);
}

TEST(CodedLink, AReplayedBlockIsThatOfTheRun) {
  const TemporaryFolder folder;
  const SampleReader samples = slots(40);
  CodedLinkOptions options = small_link();
  options.run.snr_db = {2.0, 0.0};
  options.run.estimators = {"ls:time=average", "ls"};
  options.pusch.n_transmissions = 2;
  options.interference = Interference{0.0, 1};
  options.beside = parse_beside("untold,data1");
  const Results whole = run(samples, options);
  // Block 6 of the run stands in its second block of samples: the sums of all blocks of that are those of the four replays.
  std::vector<BlockSums> sums(whole.estimators.size());
  for (arma::uword i = 4; i < 8; ++i) {
    const ReplayedBlock block = replay_coded_link(samples, {}, grid_estimators, options, {0.0, i});
    ASSERT_EQ(block.rows.size(), sums.size());
    EXPECT_EQ(block.transmissions.front().sample, 2 * i);
    for (std::size_t row = 0; row < sums.size(); ++row) {
      EXPECT_EQ(block.rows[row].name, whole.estimators[row]);
      EXPECT_EQ(block.rows[row].delivered, block.rows[row].found == block.bits);
      sums[row].add(block.rows[row].sums);
    }
  }
  for (std::size_t row = 0; row < sums.size(); ++row) {
    double values[BlockSums::count];
    sums[row].write(values);
    const double* there = whole.sums_of(1, 1, row) + ErrorSums::count;
    for (std::size_t i = 0; i < BlockSums::count; ++i) EXPECT_EQ(values[i], there[i]) << row << i;
  }
  const ReplayedBlock lost = replay_coded_link(samples, {}, grid_estimators, options, {-4.0, {}});
  EXPECT_FALSE(lost.rows.front().delivered);
  EXPECT_TRUE(refused(
      [&] {
        replay_coded_link(samples, {}, grid_estimators, options, {40.0, {}});
      },
      "ls:time=average loses none of the 20 blocks at 40 dB"));
  EXPECT_TRUE(refused(
      [&] {
        replay_coded_link(samples, {}, grid_estimators, options, {0.0, arma::uword{20}});
      },
      "no block 20, the run has 20, counted from 0"));
  EXPECT_TRUE(refused([] { parse_replay("4"); }, "4:17, 4:lost"));
  EXPECT_FALSE(parse_replay("-4:lost").block);

  // What the file holds decodes to what was found: LLRs of the first transmission have its wrong coded bits.
  save(folder / "block.h5", lost, {});
  const ArchiveReader file(folder / "block.h5");
  const auto bits = file.read_all<std::uint32_t>("/bits");
  EXPECT_TRUE(std::equal(bits.begin(), bits.end(), lost.bits.begin(), lost.bits.end()));
  const auto h_hat = file.read_all<std::complex<double>>("/rows/0/0/h_hat");
  EXPECT_EQ(h_hat.size(), lost.transmissions[0].h.n_elem);
  EXPECT_EQ(h_hat[5], lost.rows[0].receptions[0].h_hat(5));
  EXPECT_EQ(file.info("/rows/0/0/h_hat").dims, (std::vector<std::uint64_t>{14, 24, 1, 2}));
  EXPECT_EQ(file.info("/transmissions/1/y_data").dims,
            (std::vector<std::uint64_t>{2, lost.allocation.elements.n_elem}));
  EXPECT_EQ(file.text_attribute("/rows/0", "estimator"), "ls:time=average");
  const auto llrs = file.read_all<float>("/rows/0/0/llrs");
  EXPECT_EQ(llrs.size(), lost.allocation.n_coded_bits());
  EXPECT_NE(to_text(lost).find("ls:time=average: lost, "), std::string::npos) << to_text(lost);
}

TEST(CodedLink, DecodedDataArePilots) {
  // Pilots in one symbol alone and noise as strong as they are; the estimator averages over all symbols that it is given.
  const SampleReader samples = slots(160);
  CodedLinkOptions options = small_link();
  options.run.pilots = {parse_pilots("comb:1,symbols=2")};
  options.run.estimators = {"lmmse"};
  options.run.snr_db = {-1.0};
  options.beside = parse_beside("data1,data2");
  const auto make = [](const std::string&, const std::shared_ptr<const ObservationOperator>& A) {
    GridLmmseOptions known;
    known.pdp = "TDLA30-10";
    return make_grid_lmmse(A, known_covariances(known, A->pattern()->grid));
  };
  const std::vector<Row> all = rows(run_coded_link(samples, {}, make, options));
  ASSERT_EQ(all.size(), 4u);
  EXPECT_LT(all[1].bler, all[0].bler);
  EXPECT_LE(all[2].bler, all[1].bler);
  EXPECT_LT(all[1].nmse, all[0].nmse);
  EXPECT_LT(all[2].nmse, all[1].nmse);
  EXPECT_EQ(all[1].transmissions, 1.0);
  EXPECT_EQ(all[1].n_blocks, 160.0);
  // The same as an estimator.
  options.beside = {};
  options.run.estimators = {"lmmse:data=1", "lmmse", "lmmse(data=2)@\"a,b.h5\""};
  const std::vector<Row> named = rows(run_coded_link(samples, {}, make, options));
  ASSERT_EQ(named.size(), 4u);
  EXPECT_EQ(named[0].estimator, "lmmse:data=1");
  EXPECT_EQ(named[0].bler, all[1].bler);
  EXPECT_EQ(named[0].nmse, all[1].nmse);
  EXPECT_EQ(named[1].nmse, all[0].nmse);
  EXPECT_EQ(named[2].bler, all[2].bler);
  EXPECT_EQ(named[2].nmse, all[2].nmse);
  options.run.estimators = {"lmmse:data=0"};
  EXPECT_TRUE(
      refused([&] { run_coded_link(samples, {}, make, options); }, "expected 1 .. 9 rounds"));
}

TEST(CodedLink, MatricesAreRefused) {
  EXPECT_TRUE(refused([] { run(rayleigh_samples(2, 1, 8), small_link()); }, "are matrices"));
}

TEST(CodedLink, TheProgramSendsBlocksOverGridsAndStreamsOverMatrices) {
  const TemporaryFolder folder;
  const std::string grids = (folder / "grids.h5").string(), csv = (folder / "r.csv").string();
  const std::string matrices = (folder / "matrices.h5").string();
  Program generate({"generate", "tdl", "--profile", "TDLA30-10", "--n-rx", "2", "--grid",
                    "24x14@15", "--n-samples", "24", "--out", grids, "--quiet"});
  ASSERT_EQ(generate.status(), 0) << generate.err();
  Program other({"generate", "rayleigh", "--n-rx", "2", "--n-tx", "1", "--n-samples", "24", "--out",
                 matrices, "--quiet"});
  ASSERT_EQ(other.status(), 0) << other.err();
  const auto link = [&](const std::string& channels, std::vector<std::string> more) {
    std::vector<std::string> words{"link", "--channels", channels, "--snr", "6", "--quiet"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  const std::vector<std::string> pilots{"--pilots", "dmrs:symbols=2-11,groups=2"};
  const auto with_pilots = [&](std::vector<std::string> more) {
    more.insert(more.end(), pilots.begin(), pilots.end());
    return more;
  };
  Program sends(link(grids, with_pilots({"--mcs", "4", "--harq", "2", "--estimators", "ls,genie",
                                         "--decoder", "bp", "--csv", csv})));
  ASSERT_EQ(sends.status(), 0) << sends.err();
  const std::vector<std::string> lines = split(text_of(csv), '\n');
  ASSERT_EQ(lines.size(), 5u);  // ls, genie, perfect
  EXPECT_EQ(lines[0].rfind("estimator,pilots,n_pilots,snr_db,", 0), 0u);
  EXPECT_NE(sends.out().find("n_blocks"), std::string::npos) << sends.out();

  Program more(link(grids, with_pilots({"--detector", "ep:2", "--interference", "3", "--beside",
                                        "data1", "--stop-errors", "1", "--csv", csv, "--force"})));
  ASSERT_EQ(more.status(), 0) << more.err();
  EXPECT_NE(text_of(csv).find("\nls+data1,"), std::string::npos);
  Program sweeps({"sweep", "--channels", grids, "--estimators", "ls:data=1", "--snr", "6",
                  "--pilots", "dmrs:symbols=2-11", "--quiet"});
  EXPECT_EQ(sweeps.status(), 2);
  EXPECT_NE(sweeps.err().find("data is of transport blocks"), std::string::npos) << sweeps.err();
  const std::string dump = (folder / "block.h5").string();
  Program replays(link(grids, with_pilots({"--replay", "-20:lost", "--dump", dump})));
  ASSERT_EQ(replays.status(), 0) << replays.err();
  EXPECT_EQ(replays.out().rfind("block 0 at -20 dB, sample 0, 288 bits\nls: lost, ", 0), 0u)
      << replays.out();
  EXPECT_EQ(ArchiveReader(dump).number_attribute("/", "block"), 0.0);

  const auto says = [](const std::vector<std::string>& words, const std::string& text) {
    Program wrong(words);
    EXPECT_EQ(wrong.status(), 2);
    EXPECT_NE(wrong.err().find(text), std::string::npos) << wrong.err();
  };
  says(link(grids, with_pilots({"--n-data", "8"})), "--n-data is for matrices");
  says(link(grids, with_pilots({"--modulation", "qpsk,16qam"})), "names 2 modulations");
  says(link(grids, with_pilots({"--mcs", "4", "--code-rate", "0.3"})),
       "--code-rate is said by --mcs");
  says(link(grids, with_pilots({"--mcs", "4:1"})), "mcs_table is 4, expected 1 .. 3");
  says(link(grids, with_pilots({"--mcs", "2:28"})), "expected 0 .. 27");
  says(link(grids, with_pilots({"--mcs", "1:2:3"})), "expected a row, or a table and a row");
  says(link(grids, with_pilots({"--mcs", "40"})), "expected 0 .. 28");
  says(link(grids, with_pilots({"--layers", "2"})), "2 layers are more than the 1 transmit");
  says(link(grids, with_pilots({"--replay", "4:0"})), "--replay and --dump go together");
  says(link(grids, with_pilots({"--replay", "4:0", "--dump", dump})), "exists");
  says(link(grids, with_pilots({"--replay", "4:0", "--dump", dump, "--force", "--csv", csv})),
       "--csv is of a whole run");
  says(link(grids, with_pilots({"--replay", "4:24", "--dump", dump, "--force"})),
       "there is no block 24, the run has 24");
  says(link(grids, with_pilots({"--interference", "loud"})), "interference");
  says(link(grids, with_pilots({"--detector", "k-best:300"})), "k-best:1 .. k-best:256");
  says(link(grids, with_pilots({"--beside", "whites"})), "did you mean white");
  says(link(matrices, {"--mcs", "4"}), "these channels are matrices");
  says(link(matrices, {"--interference", "4"}), "these channels are matrices");
  says(link(matrices, {"--harq", "4"}), "these channels are matrices");
}

}  // namespace
}  // namespace chest::sim
