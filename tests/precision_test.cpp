#include <gtest/gtest.h>

#include <chest/bfloat16.hpp>
#include <chest/error.hpp>
#include <chest/estimators/inference/engine_denoiser.hpp>
#include <chest/estimators/inference/planned_estimator.hpp>
#include <chest/estimators/inference/precision.hpp>
#include <chest/random.hpp>
#include <chest/samples.hpp>

#include "estimators/inference/tiles.hpp"
#include "tests/support/network.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

NetworkModel model_of(arma::uword n_rx, arma::uword n_tx, const std::string& network) {
  return random_network_model(n_rx, n_tx, parse_network(network));
}

arma::cx_mat channels(const NetworkModel& model, arma::uword n) {
  return Rng(3, {Purpose::test}).cx_normal(model.n_rx * model.n_tx, n);
}

PrecisionLosses losses_of(const NetworkModel& model) {
  return measure_precision(model, samples_in_memory(channels(model, 3), model.n_rx, model.n_tx), 1,
                           1);
}

std::unique_ptr<Denoiser> denoiser_in(NetworkPrecision precision, const NetworkModel& model) {
  NetworkRunOptions run;
  run.engine = NetworkEngine::onednn;
  run.precision = precision;
  return make_engine_denoiser(model, run);
}

double rms(const arma::cx_mat& a) {
  return arma::norm(a, "fro") / std::sqrt(static_cast<double>(a.n_elem));
}

TEST(Bfloat16, RoundsToTheNearestAndKeepsWhatIsNoNumber) {
  EXPECT_EQ(to_bfloat16(1.0F), 0x3f80);
  EXPECT_EQ(to_bfloat16(1.00390625F), 0x3f80) << "a tie, to even";
  EXPECT_EQ(to_bfloat16(1.01171875F), 0x3f82) << "a tie, to even";
  EXPECT_EQ(to_bfloat16(1.0040F), 0x3f81);
  EXPECT_TRUE(std::isnan(from_bfloat16(to_bfloat16(std::nanf("")))));
  EXPECT_TRUE(std::isinf(from_bfloat16(to_bfloat16(3.4e38F))));
  for (unsigned bits = 0; bits < 0x7f80; ++bits) {
    ASSERT_EQ(to_bfloat16(from_bfloat16(static_cast<std::uint16_t>(bits))), bits);
  }
}

// Sizes whose rows fill tiles, leave a part of one, and are worked on as one run; every part of a network.
TEST(Precision, IsNearFloat32AtAnySizeWithEveryPart) {
  for (const auto& [n_rx, n_tx] : std::vector<std::pair<arma::uword, arma::uword>>{
           {64, 3}, {16, 4}, {5, 37}, {1, 30}, {33, 2}}) {
    for (const std::string network :
         {"chest:hidden=7-33-6", "chest:hidden=40-4,gate,kernel=5",
          "chest:hidden=9-6,zero-padding,kernel=1", "chest:hidden=4-8,no-magnitude,index",
          "chest:hidden=6-5,no-position,no-variance,zero-padding",
          "chest:hidden=6-35-9,axial,kernel=5", "chest:hidden=5-34,axial,kernel=31",
          "chest:hidden=40-4,axial,zero-padding", "letter:hidden=8-9-4,modulated=1"}) {
      NetworkModel model = model_of(n_rx, n_tx, network);
      // Of one row the rows of a square kernel add up, and with them what random weights make of rounding.
      if (n_rx == 1 && model.network.kernel == 5 && !model.network.axial) continue;
      const std::string what = network + " " + std::to_string(n_rx) + "x" + std::to_string(n_tx);
      const arma::cx_mat z = channels(model, 4);
      model.precision = losses_of(model);
      const auto exact = denoiser_in(NetworkPrecision::float32, model);
      for (const NetworkPrecision precision :
           {NetworkPrecision::bfloat16, NetworkPrecision::int8}) {
        if (precision == NetworkPrecision::int8 && model.precision.int8.is_empty()) {
          EXPECT_THROW(denoiser_in(precision, model), Error) << what;
          continue;
        }
        const auto rounded = denoiser_in(precision, model);
        for (const double sigma2 : {0.01, 1.0}) {
          DenoiserError error, exact_error;
          arma::cx_mat found, expected;
          rounded->denoise_with_error(z, sigma2, found, error);
          exact->denoise_with_error(z, sigma2, expected, exact_error);
          // What the network outputs is of order 1, times sigma; random weights do not damp errors.
          const double step = precision == NetworkPrecision::bfloat16 ? 0.01 : 0.1;
          EXPECT_LT(rms(found - expected), step * std::sqrt(sigma2 / (1.0 + sigma2))) << what;
          EXPECT_GT(rms(found - expected), 0.0) << what;
          if (model.network.variance) {
            EXPECT_LT(arma::abs(error.mse / exact_error.mse - 1.0).max(), 3.0 * step) << what;
          }
        }
      }
    }
  }
}

// What goes in is carried as two numbers each, and so are the weights of the first and the last layer: a
// network of one hidden layer whose values need few bits is float32's.
TEST(Precision, KeepsTheFirstAndTheLastLayerExact) {
  NetworkModel model = model_of(8, 4, "chest:hidden=3,no-magnitude,no-position,no-variance");
  for (NamedTensor& tensor : model.weights) {
    if (tensor.name == "conv1.bias" || tensor.name == "conv1.weight") continue;
    std::fill(tensor.values.begin(), tensor.values.end(), 0.0F);
    // Hidden layer k is the constant k + 1.
    if (tensor.name == "conv0.bias") tensor.values = {1.0F, 2.0F, 3.0F};
  }
  const arma::cx_mat z = channels(model, 2);
  const arma::cx_mat expected = denoiser_in(NetworkPrecision::float32, model)->denoise(z, 0.1);
  const arma::cx_mat found = denoiser_in(NetworkPrecision::bfloat16, model)->denoise(z, 0.1);
  // Bfloat16 alone would be off by 1e-3: two numbers carry 16 bits.
  EXPECT_LT(arma::abs(found - expected).max(), 1e-5);
}

TEST(Precision, GivesABatchTheBitsOfItsColumns) {
  NetworkModel model = model_of(16, 4, "chest:hidden=12-7");
  model.precision = losses_of(model);
  const arma::cx_mat z = channels(model, 5);
  for (const NetworkPrecision precision : {NetworkPrecision::bfloat16, NetworkPrecision::int8}) {
    const auto denoiser = denoiser_in(precision, model);
    const arma::cx_mat together = denoiser->denoise(z, 0.3);
    for (arma::uword k = 0; k < z.n_cols; ++k) {
      const arma::cx_mat one = denoiser->denoise(z.col(k), 0.3);
      EXPECT_TRUE(arma::approx_equal(one, together.col(k), "absdiff", 0.0));
    }
    // A channel that is no number leaves nothing behind.
    arma::cx_mat bad = z.col(0);
    bad.fill(arma::cx_double(1e30, 0.0));
    denoiser->denoise(bad, 0.3);
    EXPECT_TRUE(arma::approx_equal(denoiser->denoise(z, 0.3), together, "absdiff", 0.0));
  }
}

// The processor's tiles and one number after the other, on the same bytes.
TEST(Precision, IsTheSameWithAndWithoutInstructionsForTiles) {
  if (!inference::has_tile_instructions()) {
    GTEST_SKIP() << "this processor has no instructions for tiles (AMX)";
  }
  using inference::TileConvolution;
  using inference::TileElement;
  constexpr std::size_t n_entries = 96, n_blocks = 3, n_tiles = 4, n_out = 41, begin = 16, end = 61;
  Rng rng(5, {Purpose::test});
  for (const TileElement in : {TileElement::bfloat16, TileElement::byte}) {
    for (const TileElement out : {TileElement::bfloat16, TileElement::byte}) {
      const bool bytes = in == TileElement::byte;
      std::vector<std::uint8_t> entries(n_entries * 64), weights(n_tiles * n_blocks * 64 * 16);
      const auto fill = [&](std::vector<std::uint8_t>& to) {
        for (std::size_t i = 0; i < to.size(); i += 2) {
          const std::uint16_t half = to_bfloat16(static_cast<float>(rng.normal()));
          std::memcpy(to.data() + i, &half, 2);
        }
      };
      fill(entries);
      fill(weights);
      // What follows the last output is another layer's.
      const float none = std::nanf("");
      std::vector<float> gain(n_tiles * 16, none), offset(n_tiles * 16, none),
          scale(n_tiles * 16, 1e-3F), map(n_entries * n_tiles * 16);
      for (std::size_t k = 0; k < n_out; ++k) {
        gain[k] = static_cast<float>(rng.normal());
        offset[k] = static_cast<float>(rng.normal());
      }
      for (float& value : map) value = static_cast<float>(rng.normal());
      const std::ptrdiff_t blocks[n_blocks] = {-64, 0, 640};
      TileConvolution work;
      work.in = in;
      work.out = out;
      work.in_stride = 64;
      work.out_stride = 64 * (out == TileElement::bfloat16 ? 2 : 1);
      work.blocks = blocks;
      work.n_blocks = n_blocks;
      work.block_bytes = 64;
      work.weights = weights.data();
      work.n_out = n_out;
      work.n_tiles = n_tiles;
      work.gain = gain.data();
      work.offset = offset.data();
      work.scale = bytes ? scale.data() : nullptr;
      work.map = map.data();
      work.relu = out == TileElement::byte;
      work.out_scale = 20.0F;
      work.in_data = entries.data();
      std::vector<std::uint8_t> results[2];
      for (const bool instructions : {false, true}) {
        std::vector<std::uint8_t>& result = results[instructions ? 1 : 0];
        result.assign(n_entries * work.out_stride, 0xee);
        work.out_data = result.data();
        inference::tile_kernel(instructions)(work, begin, end);
      }
      std::size_t n_different = 0;
      for (std::size_t i = 0; i < results[0].size(); i += out == TileElement::byte ? 1 : 2) {
        std::uint16_t halves[2] = {results[0][i], results[1][i]};
        if (out == TileElement::bfloat16) {
          std::memcpy(&halves[0], results[0].data() + i, 2);
          std::memcpy(&halves[1], results[1].data() + i, 2);
          const float a = from_bfloat16(halves[0]), b = from_bfloat16(halves[1]);
          EXPECT_LE(std::abs(a - b), 0.01F * std::abs(a) + 1e-4F) << i;
        } else {
          EXPECT_LE(std::abs(int(halves[0]) - int(halves[1])), 1) << i;
        }
        n_different += halves[0] != halves[1];
      }
      for (std::size_t k = n_out; k < n_tiles * 16; ++k) {
        ASSERT_EQ(results[1][begin * work.out_stride + k * work.out_stride / 64], 0U);
      }
      // Sums of integers differ by the rounding of the last product alone.
      EXPECT_LT(n_different, results[0].size() / 100);
    }
  }
}

TEST(Precision, AutomaticTakesTheFastestThatTheCalibrationAllows) {
  NetworkModel model = model_of(4, 4, "chest:hidden=5-4");
  NetworkRunOptions run;
  EXPECT_EQ(choose_precision(model, run).precision, NetworkPrecision::float32);
  const auto chosen = [&](const arma::vec& bfloat16, const arma::vec& int8) {
    model.precision.snr_db = {0.0, 10.0};
    model.precision.bfloat16 = bfloat16;
    model.precision.int8 = int8;
    model.precision.largest.ones(2, 2);
    return choose_precision(model, run).precision;
  };
  const bool fast = has_fast_reduced_precision();
  EXPECT_EQ(chosen({0.001, 0.019}, {0.001, 0.03}),
            fast ? NetworkPrecision::bfloat16 : NetworkPrecision::float32);
  EXPECT_EQ(chosen({0.001, 0.019}, {-0.05, 0.01}),
            fast ? NetworkPrecision::int8 : NetworkPrecision::float32);
  EXPECT_EQ(chosen({0.02, 0.0}, {0.02, 0.0}), NetworkPrecision::float32);
  run.engine = NetworkEngine::torch;
  EXPECT_EQ(chosen({0.0, 0.0}, {0.0, 0.0}), NetworkPrecision::float32);
  run.precision = NetworkPrecision::bfloat16;
  EXPECT_EQ(chosen({9.0, 9.0}, {9.0, 9.0}), NetworkPrecision::bfloat16);
}

TEST(Precision, IsMeasuredAndKeptByTheModelFile) {
  NetworkModel model = model_of(4, 4, "chest:hidden=5-4");
  model.precision = losses_of(model);
  EXPECT_EQ(model.precision.snr_db.front(), -15.0);
  EXPECT_EQ(model.precision.snr_db.back(), 40.0);
  EXPECT_EQ(model.precision.largest.n_rows, 2U);
  const TemporaryFolder folder;
  save(folder / "model.h5", model);
  const NetworkModel again = load_network_model(folder / "model.h5");
  EXPECT_TRUE(arma::approx_equal(again.precision.int8, model.precision.int8, "absdiff", 0.0));
  EXPECT_TRUE(arma::approx_equal(again.precision.largest, model.precision.largest, "absdiff", 0.0));
  model.precision.largest(0, 0) = 0.0;
  save(folder / "damaged.h5", model);
  EXPECT_THROW(load_network_model(folder / "damaged.h5"), Error);
  EXPECT_THROW(measure_precision(model, samples_in_memory(arma::cx_mat(6, 2), 3, 2), 1, 1), Error);
}

TEST(Precision, IsThatOfPlannedEstimatorsToo) {
  NetworkModel model = model_of(16, 4, "chest:hidden=12-7");
  model.precision = losses_of(model);
  const arma::cx_mat P(4, 4, arma::fill::eye);
  const arma::cx_fmat y = arma::conv_to<arma::cx_fmat>::from(channels(model, 1));
  std::vector<arma::cx_fmat> estimates;
  for (const NetworkPrecision precision :
       {NetworkPrecision::float32, NetworkPrecision::bfloat16, NetworkPrecision::int8}) {
    const auto planned = make_planned_dmse(P, 16, model, precision);
    EXPECT_TRUE(planned->allocates_nothing());
    const auto work = planned->make_work();
    arma::cx_fmat h(64, 1);
    planned->estimate(y.memptr(), 0.1, *work, h.memptr());
    estimates.push_back(h);
  }
  const float off_by_half = arma::norm(estimates[1] - estimates[0], "fro");
  const float off_by_byte = arma::norm(estimates[2] - estimates[0], "fro");
  EXPECT_GT(off_by_half, 0.0F);
  EXPECT_GT(off_by_byte, off_by_half);
  EXPECT_LT(off_by_byte, 0.1F * arma::norm(estimates[0], "fro"));
}

}  // namespace
}  // namespace chest
