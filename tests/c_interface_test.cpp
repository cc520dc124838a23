#include <gtest/gtest.h>

#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/inference/engine_denoiser.hpp>
#include <chest/estimators/inference/precision.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/network/layout.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/observation.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>
#include <chest/samples.hpp>
#include <chest/sim/pilots.hpp>
#include <map>

#include "bindings/c/chest.h"
#include "bindings/c/chest.hpp"
#include "tests/support/network.hpp"
#include "tests/support/scene.hpp"
#include "tests/support/structured_covariance.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

constexpr arma::uword n_rx = 8, n_tx = 4;
constexpr std::int64_t n = 5;

using Values = std::vector<std::complex<float>>;

class CInterface : public testing::Test {
 protected:
  void SetUp() override {
    save(file("dmse.h5"), network());
    LmmseModel lmmse;
    lmmse.n_rx = n_rx;
    lmmse.n_tx = n_tx;
    Rng rng = test_rng(3);
    lmmse.C = random_covariance(n_rx * n_tx, rng);
    save(file("lmmse.h5"), lmmse);
    for (const CovarianceKind kind :
         {CovarianceKind::kronecker, CovarianceKind::toeplitz, CovarianceKind::dft}) {
      lmmse.kind = kind;
      lmmse.C = structured_covariance(kind, n_rx, n_tx, rng);
      save(file(std::string(to_string(kind)) + ".h5"), lmmse);
    }
    const arma::cx_mat h = Rng(4, {Purpose::test}).cx_normal(n_rx * n_tx, n);
    for (std::int64_t k = 0; k < n; ++k) {
      for (arma::uword r = 0; r < n_rx; ++r) {
        for (arma::uword t = 0; t < n_tx; ++t) {
          y_.push_back(std::complex<float>(h(t * n_rx + r, static_cast<arma::uword>(k))));
        }
      }
    }
  }

  static NetworkModel network() {
    NetworkModel model = random_network_model(n_rx, n_tx, parse_network("chest:hidden=6-7"));
    model.calibration = {arma::vec{-10.0, 10.0}, arma::uvec{2, 1}, arma::vec{0.9, 0.1}, {}};
    return model;
  }

  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  chest_c::Session session(const std::string& model, const chest_options* options = nullptr) const {
    return chest_c::Session(chest_c::Model(model == "ls" ? "ls:8x4" : file(model)), options);
  }
  static chest_tensor y_view(const Values& y) { return chest_c::view(y.data(), {n, n_rx, n_tx}); }
  static chest_tensor h_view(Values& h) {
    h.assign(static_cast<std::size_t>(n) * n_rx * n_tx, {});
    return chest_c::view(h.data(), {n, n_rx, n_tx});
  }

  TemporaryFolder folder_;
  Values y_;
};

TEST_F(CInterface, EstimatesAsTheEstimatorsDo) {
  const double sigma2 = 0.2;
  std::shared_ptr<const ObservationOperator> A = make_identity_observation(n_rx, n_tx);
  DmseOptions options;
  options.calibration = network().calibration;
  const auto dmse = make_dmse(A, make_engine_denoiser(network()), options);
  const auto lmmse = make_lmmse(A, load_lmmse_model(file("lmmse.h5")).C);
  std::map<std::string, std::shared_ptr<const Estimator>> structured;
  for (const char* kind : {"kronecker.h5", "toeplitz.h5", "dft.h5"}) {
    structured[kind] = make_lmmse(A, load_lmmse_model(file(kind)).C);
  }
  for (const auto& [model, estimator] :
       {std::pair<std::string, const Estimator*>{"dmse.h5", dmse.get()},
        {"lmmse.h5", lmmse.get()},
        {"kronecker.h5", structured["kronecker.h5"].get()},
        {"toeplitz.h5", structured["toeplitz.h5"].get()},
        {"dft.h5", structured["dft.h5"].get()}}) {
    Observation observation;
    observation.sigma2 = sigma2;
    observation.y.set_size(n_rx * n_tx, n);
    for (arma::uword k = 0; k < n; ++k) {
      for (arma::uword r = 0; r < n_rx; ++r) {
        for (arma::uword t = 0; t < n_tx; ++t) {
          observation.y(t * n_rx + r, k) = y_[(k * n_rx + r) * n_tx + t];
        }
      }
    }
    const Estimate expected = estimator->estimate(observation);
    Values h(y_.size());
    std::vector<float> errors(n);
    chest_c::Session s = session(model);
    s.estimate(y_.data(), n, static_cast<float>(sigma2), h.data(), errors.data());
    for (arma::uword k = 0; k < n; ++k) {
      for (arma::uword r = 0; r < n_rx; ++r) {
        for (arma::uword t = 0; t < n_tx; ++t) {
          const std::complex<double> found(h[(k * n_rx + r) * n_tx + t]);
          ASSERT_LT(std::abs(found - expected.h(t * n_rx + r, k)), 2e-5) << model;
        }
      }
      EXPECT_NEAR(errors[k] * n_rx * n_tx / expected.mse(k), 1.0, 1e-4) << model;
    }
    EXPECT_EQ(s.stats().items, static_cast<std::uint64_t>(n));
    EXPECT_EQ(s.stats().allocates, 0U);
  }
}

TEST_F(CInterface, TakesAnyOrderOfStridesToTheBit) {
  chest_c::Session s = session("dmse.h5");
  Values packed, strided(2 * n * n_rx * n_tx), out(3 * n * n_rx * n_tx);
  chest_tensor h = h_view(packed);
  const float noise = 0.2F;
  const chest_tensor noise_var = chest_c::view(&noise, {});
  s.estimate(y_view(y_), &noise_var, h);
  // Antennas fastest, batch in the middle, every second element, backwards.
  chest_tensor y = y_view(strided);
  y.stride[1] = -2;
  y.stride[0] = 2 * n_rx;
  y.stride[2] = 2 * n_rx * n;
  y.data = strided.data() + 2 * (n_rx - 1);
  chest_tensor to = chest_c::view(CHEST_CF32, out.data(), {n, n_rx, n_tx});
  to.stride[0] = 3;
  to.stride[1] = 3 * n;
  to.stride[2] = 3 * n * n_rx;
  const auto at = [](const chest_tensor& view, std::int64_t k, std::int64_t r, std::int64_t t) {
    return static_cast<std::complex<float>*>(view.data) + k * view.stride[0] + r * view.stride[1] +
           t * view.stride[2];
  };
  const auto every = [&](const auto& visit) {
    for (std::int64_t k = 0; k < n; ++k) {
      for (std::int64_t r = 0; r < std::int64_t(n_rx); ++r) {
        for (std::int64_t t = 0; t < std::int64_t(n_tx); ++t) visit(k, r, t);
      }
    }
  };
  chest_tensor from = y_view(y_);
  every([&](auto k, auto r, auto t) { *at(y, k, r, t) = *at(from, k, r, t); });
  s.estimate(y, &noise_var, to);
  every([&](auto k, auto r, auto t) { EXPECT_EQ(*at(to, k, r, t), *at(h, k, r, t)); });
}

TEST_F(CInterface, TakesEveryTypeOfNumber) {
  chest_c::Session s = session("dmse.h5");
  Values expected;
  chest_tensor h = h_view(expected);
  const float noise = 0.2F;
  const chest_tensor noise_var = chest_c::view(&noise, {});
  s.estimate(y_view(y_), &noise_var, h);
  double power = 0.0;
  for (const auto& value : expected) power += std::norm(std::complex<double>(value));

  const std::size_t n_all = y_.size();
  const auto compare = [&](chest_dtype type, void* in, void* out, float scale, const auto& get,
                           double most) {
    chest_tensor from = chest_c::view(type, in, {n, n_rx, n_tx});
    chest_tensor to = chest_c::view(type, out, {n, n_rx, n_tx});
    from.scale = to.scale = scale;
    s.estimate(from, &noise_var, to);
    double error = 0.0;
    for (std::size_t i = 0; i < n_all; ++i) {
      error += std::norm(get(i) - std::complex<double>(expected[i]));
    }
    EXPECT_LT(error / power, most) << type;
  };
  std::vector<std::complex<double>> wide(y_.begin(), y_.end()), wide_out(n_all);
  compare(
      CHEST_CF64, wide.data(), wide_out.data(), 0.0F, [&](std::size_t i) { return wide_out[i]; },
      1e-12);
  // 12 bits of int16: half a step of 2^-9 in and out.
  std::vector<std::int16_t> fixed, fixed_out(2 * n_all);
  const float step = 1.0F / 512.0F;
  for (const auto& value : y_) {
    fixed.push_back(static_cast<std::int16_t>(std::lrint(value.real() / step)));
    fixed.push_back(static_cast<std::int16_t>(std::lrint(value.imag() / step)));
  }
  compare(
      CHEST_CI16, fixed.data(), fixed_out.data(), step,
      [&](std::size_t i) {
        return std::complex<double>(step * fixed_out[2 * i], step * fixed_out[2 * i + 1]);
      },
      4.0 * step * step);
  std::vector<std::uint16_t> half, half_out(2 * n_all);
  const auto bits = [](float value) {
    std::uint32_t all;
    std::memcpy(&all, &value, sizeof all);
    return static_cast<std::uint16_t>((all + 0x8000U) >> 16);
  };
  const auto value_of = [](std::uint16_t bfloat) {
    const std::uint32_t all = static_cast<std::uint32_t>(bfloat) << 16;
    float value;
    std::memcpy(&value, &all, sizeof value);
    return static_cast<double>(value);
  };
  for (const auto& value : y_) {
    half.push_back(bits(value.real()));
    half.push_back(bits(value.imag()));
  }
  compare(
      CHEST_CBF16, half.data(), half_out.data(), 0.0F,
      [&](std::size_t i) {
        return std::complex<double>(value_of(half_out[2 * i]), value_of(half_out[2 * i + 1]));
      },
      std::pow(2.0, -14));
}

TEST_F(CInterface, TakesNoiseOfEachItemAndFindsTheUnknown) {
  chest_c::Session s = session("lmmse.h5");
  const std::vector<float> noise{0.1F, NAN, 1.0F, 0.3F, NAN};
  Values together;
  chest_tensor h = h_view(together);
  std::vector<float> entries(together.size());
  chest_tensor errors = chest_c::view(entries.data(), {n, n_rx, n_tx});
  chest_tensor noise_var = chest_c::view(noise.data(), {n});
  s.estimate(y_view(y_), &noise_var, h, &errors);
  for (std::int64_t k = 0; k < n; ++k) {
    const std::size_t at = static_cast<std::size_t>(k) * n_rx * n_tx;
    Values alone(n_rx * n_tx);
    float error = 0.0F;
    s.estimate(y_.data() + at, 1, noise[static_cast<std::size_t>(k)], alone.data(), &error);
    for (std::size_t i = 0; i < alone.size(); ++i) {
      EXPECT_EQ(alone[i], together[at + i]);
      EXPECT_EQ(error, entries[at + i]);
    }
    EXPECT_GT(error, 0.0F);
  }
}

TEST_F(CInterface, FindsThePowerOfTheChannels) {
  chest_options options{};
  options.struct_size = sizeof options;
  options.flags = CHEST_POWER_SCALE;
  chest_c::Session scaled = session("lmmse.h5", &options);
  Values large(y_), h(y_.size());
  for (auto& value : large) value *= 1000.0F;
  scaled.estimate(large.data(), n, 0.01F * 1e6F, h.data());
  EXPECT_NEAR(scaled.stats().last_scale, 1e-3, 2e-4);
  double error = 0.0;
  for (std::size_t i = 0; i < h.size(); ++i) error += std::norm(h[i] - large[i]);
  // Without the scale, noise of 10^4 against channels of power 1 would leave nothing of y.
  EXPECT_LT(error / static_cast<double>(h.size()), 0.1 * 1e6);
  EXPECT_THROW(scaled.estimate(large.data(), n, NAN, h.data()), chest_c::Error);
}

TEST_F(CInterface, TakesPilotsAndKeepsTheOldOnesOnFailure) {
  chest_c::Session s = session("dmse.h5");
  const arma::cx_mat F = arma::cx_mat(arma::fft(arma::eye(n_tx, n_tx)));
  Values P(n_tx * n_tx);
  for (arma::uword t = 0; t < n_tx; ++t) {
    for (arma::uword p = 0; p < n_tx; ++p) P[t * n_tx + p] = std::complex<float>(F(t, p));
  }
  Values received(y_.size()), h(y_.size()), direct(y_.size());
  for (std::size_t row = 0; row < y_.size(); row += n_tx) {
    for (arma::uword p = 0; p < n_tx; ++p) {
      for (arma::uword t = 0; t < n_tx; ++t) received[row + p] += y_[row + t] * P[t * n_tx + p];
    }
  }
  s.estimate(y_.data(), n, 0.1F, direct.data());
  s.pilots(P.data(), n_tx);
  s.estimate(received.data(), n, 0.4F, h.data());
  for (std::size_t i = 0; i < h.size(); ++i) EXPECT_LT(std::abs(h[i] - direct[i]), 1e-5F);
  // One pilot: the network needs a solver that takes any pilots, without gradients.
  Values bad(P);
  bad[0] = NAN;
  EXPECT_THROW(s.pilots(bad.data(), n_tx), chest_c::Error);
  s.estimate(received.data(), n, 0.4F, direct.data());
  EXPECT_EQ(h, direct);
  EXPECT_EQ(s.stats().allocates, 0U);
}

// Many threads, one model: no session sees another.
TEST_F(CInterface, SharesAModelBetweenThreads) {
  const chest_c::Model model(file("dmse.h5"));
  Values expected(y_.size());
  chest_c::Session(model).estimate(y_.data(), n, 0.1F, expected.data());
  std::vector<Values> found(6, Values(y_.size()));
  parallel_for(found.size(), 6, [&](std::size_t i) {
    chest_c::Session own(model);
    for (int k = 0; k < 3; ++k) {
      own.estimate(y_.data(), n, 1.0F, found[i].data());
      own.estimate(y_.data(), n, 0.1F, found[i].data());
    }
  });
  for (const Values& h : found) EXPECT_EQ(h, expected);
}

TEST_F(CInterface, ComputesInThePrecisionThatIsAskedFor) {
  NetworkModel calibrated = network();
  calibrated.precision = measure_precision(
      calibrated, samples_in_memory(Rng(6, {Purpose::test}).cx_normal(n_rx * n_tx, 3), n_rx, n_tx),
      1, 1);
  save(file("calibrated.h5"), calibrated);
  chest_options options{};
  options.struct_size = sizeof options;
  Values exact(y_.size());
  options.flags = CHEST_FLOAT32;
  chest_c::Session(chest_c::Model(file("calibrated.h5"), &options))
      .estimate(y_.data(), n, 0.1F, exact.data());
  for (const auto& [flag, name] :
       {std::pair{CHEST_FLOAT32, "onednn float32"}, std::pair{CHEST_BFLOAT16, "onednn bfloat16"},
        std::pair{CHEST_INT8, "onednn int8"}}) {
    options.flags = static_cast<std::uint32_t>(flag);
    const chest_c::Model model(file("calibrated.h5"), &options);
    EXPECT_STREQ(model.info().engine, name);
    chest_c::Session s(model);
    Values h(y_.size());
    s.estimate(y_.data(), n, 0.1F, h.data());
    EXPECT_EQ(s.stats().allocates, 0U);
    double difference = 0.0;
    for (std::size_t i = 0; i < h.size(); ++i) {
      difference = std::max(difference, static_cast<double>(std::abs(h[i] - exact[i])));
    }
    EXPECT_LT(difference, flag == CHEST_INT8 ? 0.1 : 0.01) << name;
  }
  EXPECT_THROW(chest_c::Model(file("dmse.h5"), &options), chest_c::Error)
      << "int8 without a calibration";
  options.flags = CHEST_BFLOAT16 | CHEST_FLOAT32;
  EXPECT_THROW(chest_c::Model(file("dmse.h5"), &options), chest_c::Error);
}

TEST_F(CInterface, CallsTheNetworkOnceWhereThatIsAskedFor) {
  NetworkModel calibrated = network();
  calibrated.calibration = {
      arma::vec{0.0, 10.0}, arma::uvec{3, 2}, arma::vec{0.5, 0.1}, {}, {2, 2}};
  save(file("often.h5"), calibrated);
  calibrated.calibration.n_steps = {1, 1};
  calibrated.calibration.n_spins.reset();
  save(file("once.h5"), calibrated);
  chest_options options{};
  options.struct_size = sizeof options;
  options.flags = CHEST_ONE_CALL;
  const auto estimate = [&](const char* name, const chest_options* with, std::uint32_t calls) {
    const chest_c::Model model(file(name), with);
    EXPECT_EQ(model.info().steps, calls == 1 ? 1u : 6u);  // the most of any SNR
    chest_c::Session s(model);
    Values h(y_.size());
    s.estimate(y_.data(), n, 0.1F, h.data());
    EXPECT_EQ(s.stats().last_steps, calls);
    EXPECT_EQ(s.stats().allocates, 0U);
    return h;
  };
  const Values often = estimate("often.h5", nullptr, 4), once = estimate("once.h5", nullptr, 1);
  EXPECT_EQ(estimate("often.h5", &options, 1), once);
  EXPECT_NE(often, once);
}

// Views in any order of strides; what is sent by name and as an array; the estimator of the catalog.
TEST_F(CInterface, EstimatesGridsAsTheLibraryDoes) {
  constexpr std::int64_t n_r = 2, n_t = 2, n_f = 24, n_s = 3, n_items = 3;
  chest_grid grid{};
  grid.n_rx = n_r;
  grid.n_tx = n_t;
  grid.n_subcarriers = n_f;
  grid.n_symbols = n_s;
  grid.spacing_hz = 30e3;
  grid.pilots = "comb:2,symbols=1";
  GridAxes axes;
  axes.n_subcarriers = n_f;
  axes.n_symbols = n_s;
  axes.spacing_hz = 30e3;
  const PilotPattern pattern =
      *sim::make_grid_pilots(sim::parse_pilots(grid.pilots), n_t, axes, 1).pattern;
  EstimatorContext context;
  context.n_rx = n_r;
  context.n_tx = n_t;
  context.grid = axes;
  context.A = make_grid_observation(pattern, n_r);
  context.models = std::make_shared<ModelStore>();
  const auto estimator = built_in().make(parse_named_options("ls"), context);

  // y [batch, rx, subcarrier, symbol], the antennas fastest.
  const arma::cx_mat y = Rng(8, {Purpose::test}).cx_normal(n_r * n_f * n_s, n_items);
  Observation observation;
  observation.sigma2 = 0.1;
  observation.per_element = true;
  observation.y.set_size(context.A->n_obs(), n_items);
  for (std::int64_t k = 0; k < n_items; ++k) {
    for (arma::uword p = 0; p < pattern.n(); ++p) {
      for (std::int64_t r = 0; r < n_r; ++r) {
        observation.y(p * n_r + static_cast<arma::uword>(r), static_cast<arma::uword>(k)) =
            y(static_cast<arma::uword>(r +
                                       n_r * (static_cast<std::int64_t>(pattern.subcarrier(p)) +
                                              n_f * static_cast<std::int64_t>(pattern.symbol(p)))),
              static_cast<arma::uword>(k));
      }
    }
  }
  const Estimate expected = estimator->estimate(observation);

  Values copy;
  for (const auto& value : y) copy.emplace_back(value);
  chest_tensor y_tensor = chest_c::view(copy.data(), {n_items, n_r, n_f, n_s});
  y_tensor.stride[0] = n_r * n_f * n_s;
  y_tensor.stride[1] = 1;
  y_tensor.stride[2] = n_r;
  y_tensor.stride[3] = n_r * n_f;
  const float noise_value = 0.1F;
  const chest_tensor noise = chest_c::view(&noise_value, {});
  Values sent(static_cast<std::size_t>(n_t * n_f * n_s));
  for (arma::uword p = 0; p < pattern.n(); ++p) {
    for (arma::uword t = 0; t < n_t; ++t) {
      sent[(t * n_f + pattern.subcarrier(p)) * n_s + pattern.symbol(p)] =
          std::complex<float>(pattern.x(t, p));
    }
  }
  const chest_tensor x = chest_c::view(sent.data(), {n_t, n_f, n_s});
  for (const bool by_name : {true, false}) {
    chest_c::Session s(chest_c::Model("ls:2x2"));
    chest_grid asked = grid;
    if (!by_name) asked.pilots = nullptr;
    s.grid(asked, by_name ? nullptr : &x);
    EXPECT_EQ(s.stats().allocates, 1U);
    Values h(static_cast<std::size_t>(n_items * n_r * n_t * n_f * n_s));
    std::vector<float> errors(h.size());
    chest_tensor to = chest_c::view(CHEST_CF32, h.data(), {n_items, n_r, n_t, n_f, n_s});
    chest_tensor err = chest_c::view(CHEST_F32, errors.data(), {n_items, n_r, n_t, n_f, n_s});
    s.estimate(y_tensor, &noise, to, &err);
    for (std::int64_t k = 0; k < n_items; ++k) {
      for (std::int64_t r = 0; r < n_r; ++r) {
        for (std::int64_t t = 0; t < n_t; ++t) {
          for (std::int64_t f = 0; f < n_f; ++f) {
            for (std::int64_t m = 0; m < n_s; ++m) {
              const auto at =
                  static_cast<std::size_t>((((k * n_r + r) * n_t + t) * n_f + f) * n_s + m);
              const auto row = static_cast<arma::uword>(r + n_r * (t + n_t * (f + n_f * m)));
              const auto column = static_cast<arma::uword>(k);
              ASSERT_NEAR(std::abs(std::complex<double>(h[at]) - expected.h(row, column)), 0.0,
                          1e-5);
              ASSERT_NEAR(static_cast<double>(errors[at]), expected.element_mse(row / n_r, column),
                          1e-5);
            }
          }
        }
      }
    }
    // One item without a batch, and the mean of its errors.
    chest_tensor one = y_tensor;
    one.rank = 3;
    for (unsigned i = 0; i < 3; ++i) {
      one.dim[i] = y_tensor.dim[i + 1];
      one.stride[i] = y_tensor.stride[i + 1];
    }
    Values first(h.size() / n_items);
    float mean = 0.0F;
    chest_tensor to_one = chest_c::view(CHEST_CF32, first.data(), {n_r, n_t, n_f, n_s});
    chest_tensor mean_view = chest_c::view(CHEST_F32, &mean, {});
    s.estimate(one, &noise, to_one, &mean_view);
    EXPECT_TRUE(std::equal(first.begin(), first.end(), h.begin()));
    EXPECT_NEAR(static_cast<double>(mean), arma::mean(expected.element_mse.col(0)), 1e-6);
    // What does not fit is a status.
    EXPECT_THROW(s.estimate(one, &noise, to), chest_c::Error);
    const std::complex<float> identity[] = {1.0F, 0.0F, 0.0F, 1.0F};
    s.pilots(identity, 2);  // matrices again
    s.estimate(copy.data(), 1, 0.1F, first.data());
    EXPECT_EQ(first[0], copy[0]);
    EXPECT_THROW(s.estimate(one, &noise, to_one), chest_c::Error);
    s.grid(asked, by_name ? nullptr : &x);
    asked.n_rx = 3;
    EXPECT_THROW(s.grid(asked, by_name ? nullptr : &x), chest_c::Error);
    asked = grid;
    EXPECT_THROW(s.grid(asked, &x), chest_c::Error) << "both";
    s.estimate(y_tensor, &noise, to, &err);
  }
}

TEST_F(CInterface, OpensAModelOfManyArraysForOneOfThem) {
  const std::string file = CHEST_SOURCE_DIR "/models/scm_arrays.h5";
  const chest_c::Model model(file + ":24x7");
  EXPECT_EQ(model.info().n_rx, 24U);
  EXPECT_EQ(model.info().n_tx, 7U);
  EXPECT_EQ(chest_c::Model(file).info().n_rx, 128U);
  chest_c::Session s(model);
  // One path along both broadsides, in noise of its own power.
  Values y(24 * 7), h(y.size());
  Rng rng(4, {Purpose::test, 0});
  for (auto& value : y) value = std::complex<float>(1.0 + rng.cx_normal());
  s.estimate(y.data(), 1, 1.0F, h.data());
  double error = 0.0;
  for (const auto& value : h) error += std::norm(std::complex<double>(value) - 1.0);
  EXPECT_LT(error / static_cast<double>(h.size()), 0.2);
  for (const char* wrong : {":129x7", ":24x33", ":7x1", ":24x0", ":24"}) {
    EXPECT_THROW(chest_c::Model(file + wrong), chest_c::Error) << wrong;
  }
}

TEST_F(CInterface, RunsAModelOfGrids) {
  const chest_c::Model model(CHEST_SOURCE_DIR "/models/umi_16x624.h5");
  EXPECT_STREQ(model.info().kind, "dmse");
  chest_c::Session s(model);
  constexpr std::int64_t n_r = 16, n_f = 96;
  Values y(static_cast<std::size_t>(n_r * n_f), {1.0F, 0.0F}), h(y.size());
  const chest_tensor from = chest_c::view(y.data(), {n_r, n_f, 1});
  chest_tensor to = chest_c::view(CHEST_CF32, h.data(), {n_r, 1, n_f, 1});
  const float noise_value = 0.01F;
  const chest_tensor noise = chest_c::view(&noise_value, {});
  EXPECT_THROW(s.estimate(from, &noise, to), chest_c::Error) << "no grid so far";
  chest_grid grid{};
  grid.n_rx = n_r;
  grid.n_tx = 1;
  grid.n_subcarriers = n_f;
  grid.n_symbols = 1;
  grid.spacing_hz = 30e3;
  // Ones at every fourth subcarrier: the channel that is 1 everywhere.
  Values sent(n_f);
  for (std::size_t f = 0; f < sent.size(); f += 4) sent[f] = 1.0F;
  const chest_tensor x = chest_c::view(sent.data(), {1, n_f, 1});
  s.grid(grid, &x);
  s.estimate(from, &noise, to);
  double error = 0.0;
  for (const auto& value : h) error += std::norm(std::complex<double>(value) - 1.0);
  EXPECT_LT(error / static_cast<double>(h.size()), 0.01);
  EXPECT_GT(s.stats().nfe, 0U);
  grid.spacing_hz = 7.0;
  EXPECT_THROW(s.grid(grid, &x), chest_c::Error);
}

TEST_F(CInterface, OutlivesItsModelAndSaysWhatItIs) {
  std::unique_ptr<chest_c::Session> s;
  {
    const chest_c::Model model(file("dmse.h5"));
    const chest_info info = model.info();
    EXPECT_EQ(info.n_rx, n_rx);
    EXPECT_EQ(info.n_tx, n_tx);
    EXPECT_EQ(info.steps, 2U);
    EXPECT_STREQ(info.kind, "dmse");
    EXPECT_STREQ(info.engine, "onednn float32");
    EXPECT_EQ(info.snr_high_db, 40.0);
    s = std::make_unique<chest_c::Session>(model);
  }
  Values h(y_.size());
  s->estimate(y_.data(), n, 0.1F, h.data());
  EXPECT_EQ(s->stats().calls, 1U);
  EXPECT_EQ(s->stats().last_steps, 1U);
  EXPECT_GT(s->stats().seconds, 0.0);
}

TEST_F(CInterface, AnswersEveryMisuseWithAStatus) {
  chest_c::Session good = session("ls");
  chest_model* model = nullptr;
  chest_session* s = nullptr;
  EXPECT_EQ(chest_model_open(nullptr, nullptr, &model), CHEST_E_ARG);
  EXPECT_EQ(chest_model_open("no/such.h5", nullptr, &model), CHEST_E_IO);
  EXPECT_EQ(chest_model_open(CHEST_SOURCE_DIR "/README.md", nullptr, &model), CHEST_E_FORMAT);
  EXPECT_EQ(chest_model_open("ls:0x4", nullptr, &model), CHEST_E_ARG);
  EXPECT_EQ(chest_model_open("ls:8x4", nullptr, nullptr), CHEST_E_ARG);
  EXPECT_STRNE(chest_last_error(), "");
  EXPECT_EQ(chest_session_create(nullptr, nullptr, &s), CHEST_E_ARG);
  ASSERT_EQ(chest_model_open("ls:8x4", nullptr, &model), CHEST_OK);
  chest_options options{};
  options.device = 1;
  EXPECT_EQ(chest_session_create(model, &options, &s), CHEST_E_DEVICE);
  options = {};
  options.threads = 4;
  EXPECT_EQ(chest_session_create(model, &options, &s), CHEST_E_ARG);
  options = {};
  options.flags = 1U << 20;
  EXPECT_EQ(chest_session_create(model, &options, &s), CHEST_E_ARG);
  options = {};
  options.struct_size = 4;
  EXPECT_EQ(chest_session_create(model, &options, &s), CHEST_E_VERSION);
  options = {};
  options.max_batch = 2;
  ASSERT_EQ(chest_session_create(model, &options, &s), CHEST_OK);
  Values out;
  chest_tensor y = y_view(y_), h = h_view(out);
  const float noise = 0.1F, none = 0.0F;
  chest_tensor noise_var = chest_c::view(&noise, {}), zero = chest_c::view(&none, {});
  EXPECT_EQ(chest_estimate(s, &y, &noise_var, &h, nullptr, nullptr), CHEST_E_SHAPE);  // of 2
  chest_session_destroy(s);
  ASSERT_EQ(chest_session_create(model, nullptr, &s), CHEST_OK);
  const auto fails = [&](chest_status status, const chest_tensor* from,
                         const chest_tensor* variance, chest_tensor to,
                         chest_tensor* errors = nullptr) {
    EXPECT_EQ(chest_estimate(s, from, variance, &to, errors, nullptr), status)
        << chest_session_error(s);
    EXPECT_STRNE(chest_session_error(s), "");
  };
  EXPECT_EQ(chest_estimate(nullptr, &y, &noise_var, &h, nullptr, nullptr), CHEST_E_ARG);
  EXPECT_EQ(chest_estimate(s, &y, &noise_var, nullptr, nullptr, nullptr), CHEST_E_ARG);
  EXPECT_EQ(chest_estimate(s, &y, &noise_var, &h, nullptr, &out), CHEST_E_DEVICE);
  fails(CHEST_E_ARG, nullptr, &noise_var, h);
  fails(CHEST_E_ARG, &y, &zero, h);
  fails(CHEST_E_STATE, &y, nullptr, h);  // ls does not find noise
  const auto changed = [](chest_tensor view, const auto& change) {
    change(view);
    return view;
  };
  const auto bad = [&](chest_status status, const auto& change) {
    const chest_tensor from = changed(y, change);
    fails(status, &from, &noise_var, h);
    fails(status, &y, &noise_var, changed(h, change));
  };
  bad(CHEST_E_DTYPE, [](chest_tensor& v) { v.dtype = CHEST_F32; });
  bad(CHEST_E_DTYPE, [](chest_tensor& v) { v.dtype = 77; });
  bad(CHEST_E_DEVICE, [](chest_tensor& v) { v.space = CHEST_CUDA; });
  bad(CHEST_E_SHAPE, [](chest_tensor& v) { v.rank = 7; });
  bad(CHEST_E_SHAPE, [](chest_tensor& v) { v.rank = 2; });
  bad(CHEST_E_SHAPE, [](chest_tensor& v) { v.dim[1] = 9; });
  bad(CHEST_E_SHAPE, [](chest_tensor& v) { v.dim[0] = -1; });
  bad(CHEST_E_ARG, [](chest_tensor& v) { v.data = nullptr; });
  bad(CHEST_E_ARG, [](chest_tensor& v) { v.scale = NAN; });
  bad(CHEST_E_VERSION, [](chest_tensor& v) { v.struct_size = 8; });
  fails(CHEST_E_ARG, &y, &noise_var, changed(h, [](chest_tensor& v) { v.stride[2] = 0; }));
  std::vector<float> errors(n);
  chest_tensor too_few = chest_c::view(errors.data(), {n - 1});
  fails(CHEST_E_SHAPE, &y, &noise_var, h, &too_few);
  fails(CHEST_E_SHAPE, &y, &too_few, h);
  for (const auto& value : out) EXPECT_EQ(value, std::complex<float>());  // untouched

  chest_tensor P = chest_c::view(y_.data(), {n_tx + 1, 2});
  EXPECT_EQ(chest_session_pilots(s, &P), CHEST_E_SHAPE);
  EXPECT_EQ(chest_session_pilots(nullptr, &P), CHEST_E_ARG);
  EXPECT_EQ(chest_estimate(s, &y, &noise_var, &h, nullptr, nullptr), CHEST_OK);
  EXPECT_EQ(out, y_);
  chest_session_destroy(s);
  chest_session_destroy(nullptr);
  chest_model_close(model);
  chest_model_close(nullptr);
}

// What is not finite, zero or too large becomes NaN; the other items are estimated.
TEST_F(CInterface, MarksItemsThatCannotBeEstimated) {
  for (const std::string model : {"ls", "lmmse.h5", "dmse.h5"}) {
    chest_c::Session s = session(model);
    Values good(y_.size()), h(y_.size());
    s.estimate(y_.data(), n, 0.1F, good.data());
    Values bad = y_;
    const std::size_t item = n_rx * n_tx;
    bad[3] = {NAN, 0.0F};
    std::fill(bad.begin() + item, bad.begin() + 2 * item, std::complex<float>());
    bad[2 * item] = {1e30F, 0.0F};
    std::vector<float> errors(n);
    try {
      s.estimate(bad.data(), n, 0.1F, h.data(), errors.data());
      FAIL() << model;
    } catch (const chest_c::Error& error) {
      EXPECT_EQ(error.status(), CHEST_E_NUMERIC);
    }
    for (std::size_t i = 0; i < h.size(); ++i) {
      if (i < 3 * item) {
        EXPECT_TRUE(std::isnan(h[i].real()) && std::isnan(errors[i / item])) << model;
      } else {
        EXPECT_EQ(h[i], good[i]) << model;
      }
    }
    // Denormal numbers are numbers.
    for (auto& value : bad) value = {1e-40F, -1e-40F};
    s.estimate(bad.data(), n, 1e-30F, h.data());
    for (const auto& value : h) EXPECT_TRUE(std::isfinite(value.real()));
  }
}

}  // namespace
}  // namespace chest
