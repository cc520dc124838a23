// chest as a module in a frame loop of AFF3CT's shape: source -> channel -> estimator -> monitor, n_frames at a time,
// float I/Q in flat arrays, a clone of the chain for each thread.
//
//   c++ -std=c++20 aff3ct_loop.cpp $(pkg-config --cflags --libs chest) -pthread -o aff3ct_loop
//   ./aff3ct_loop scm_16x4.h5 chest
#include <algorithm>
#include <chest.hpp>
#include <cmath>
#include <cstdio>
#include <exception>
#include <thread>

#include "aff3ct_module.hpp"
#include "program.h"

namespace {

using frames::module;

/// Estimates channels: Y_N (real and imaginary parts in turn) and the noise variance of each frame in, H_N and the
/// predicted error variance of each frame out.
class estimator_chest : public module {
 public:
  estimator_chest(const chest_c::Model& model, std::size_t n_frames)
      : module(n_frames), model_(model), session_(model) {
    const std::size_t n = 2 * std::size_t{model.info().n_rx} * model.info().n_tx;
    create_socket_in("estimate::Y_N", n);
    create_socket_in("estimate::CP", 1);
    create_socket_out("estimate::H_N", n);
    create_socket_out("estimate::ERR", 1);
    create_codelet("estimate", [this] { estimate(); });
  }
  // Models are shared; every thread has a session.
  std::unique_ptr<module> clone() const override {
    return std::make_unique<estimator_chest>(model_, n_frames());
  }

 private:
  void estimate() {
    const chest_info& info = session_.info();
    const auto frames = static_cast<std::int64_t>(n_frames());
    const auto dims = {frames, std::int64_t{info.n_rx}, std::int64_t{info.n_tx}};
    const chest_tensor y = chest_c::view(CHEST_CF32, (*this)["estimate::Y_N"].data(), dims);
    const chest_tensor noise = chest_c::view((*this)["estimate::CP"].data(), {frames});
    chest_tensor h = chest_c::view(CHEST_CF32, (*this)["estimate::H_N"].data(), dims);
    chest_tensor errors = chest_c::view((*this)["estimate::ERR"].data(), {frames});
    session_.estimate(y, &noise, h, &errors);
  }

  chest_c::Model model_;
  chest_c::Session session_;
};

/// Hands out stored channels, and adds noise to them.
class source : public module {
 public:
  source(const std::vector<float>& h, std::size_t n_h, float sigma2, std::uint64_t seed,
         std::size_t n_frames)
      : module(n_frames), h_(h), n_h_(n_h), sigma2_(sigma2), rng_{seed} {
    create_socket_out("generate::H_N", 2 * n_h);
    create_socket_out("generate::Y_N", 2 * n_h);
    create_socket_out("generate::CP", 1);
    create_codelet("generate", [this] { generate(); });
  }
  std::unique_ptr<module> clone() const override {
    return std::make_unique<source>(h_, n_h_, sigma2_, rng_.state + 1, n_frames());
  }
  void start_at(std::size_t frame) { next_ = frame; }

 private:
  void generate() {
    const std::size_t n = 2 * n_h_ * n_frames();
    float* h = (*this)["generate::H_N"].data();
    std::copy_n(h_.data() + 2 * n_h_ * next_, n, h);
    add_noise(&rng_, h, static_cast<int>(n / 2), sigma2_, (*this)["generate::Y_N"].data());
    std::fill_n((*this)["generate::CP"].data(), n_frames(), sigma2_);
    next_ += n_frames();
  }

  const std::vector<float>& h_;
  std::size_t n_h_;
  float sigma2_;
  rng rng_;
  std::size_t next_ = 0;
};

/// Sums errors.
class monitor : public module {
 public:
  monitor(std::size_t n_h, std::size_t n_frames) : module(n_frames), n_h_(n_h) {
    create_socket_in("check::H_N", 2 * n_h);
    create_socket_in("check::H_HAT", 2 * n_h);
    create_socket_in("check::ERR", 1);
    create_codelet("check", [this] { check(); });
  }
  std::unique_ptr<module> clone() const override {
    return std::make_unique<monitor>(n_h_, n_frames());
  }
  double error = 0.0, power = 0.0, predicted = 0.0;

 private:
  void check() {
    const float *h = (*this)["check::H_N"].data(), *h_hat = (*this)["check::H_HAT"].data(),
                *err_var = (*this)["check::ERR"].data();
    for (std::size_t i = 0; i < 2 * n_h_ * n_frames(); ++i) {
      error += std::pow(h_hat[i] - h[i], 2);
      power += std::pow(h[i], 2);
    }
    for (std::size_t k = 0; k < n_frames(); ++k)
      predicted += err_var[k] * static_cast<double>(n_h_);
  }
  std::size_t n_h_;
};

int run(const char* model_path, const char* program) {
  constexpr std::size_t n_frames = 16, n_threads = 2, n_calls = 32;
  constexpr std::size_t n = n_frames * n_threads * n_calls;
  const double snr_db = 10.0;
  const chest_c::Model model(model_path);
  const std::size_t n_rx = model.info().n_rx, n_tx = model.info().n_tx, n_h = n_rx * n_tx;
  std::vector<float> h(2 * n * n_h);
  rng r = {11};
  draw_channels(&r, static_cast<int>(n), static_cast<int>(n_rx), static_cast<int>(n_tx), h.data());

  // One chain, and clones of it for the other threads.
  struct chain {
    std::unique_ptr<module> source, estimator, monitor;
  };
  std::vector<chain> chains(1);
  chains[0] = {std::make_unique<source>(h, n_h, static_cast<float>(std::pow(10.0, -0.1 * snr_db)),
                                        1, n_frames),
               std::make_unique<estimator_chest>(model, n_frames),
               std::make_unique<monitor>(n_h, n_frames)};
  while (chains.size() < n_threads) {
    chains.push_back(
        {chains[0].source->clone(), chains[0].estimator->clone(), chains[0].monitor->clone()});
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < n_threads; ++i) {
    chain& c = chains[i];
    static_cast<source&>(*c.source).start_at(i * n / n_threads);
    (*c.estimator)["estimate::Y_N"].bind((*c.source)["generate::Y_N"]);
    (*c.estimator)["estimate::CP"].bind((*c.source)["generate::CP"]);
    (*c.monitor)["check::H_N"].bind((*c.source)["generate::H_N"]);
    (*c.monitor)["check::H_HAT"].bind((*c.estimator)["estimate::H_N"]);
    (*c.monitor)["check::ERR"].bind((*c.estimator)["estimate::ERR"]);
    threads.emplace_back([&c] {
      for (std::size_t call = 0; call < n_calls; ++call) {
        c.source->exec("generate");
        c.estimator->exec("estimate");
        c.monitor->exec("check");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  double error = 0.0, power = 0.0, predicted = 0.0;
  for (const chain& c : chains) {
    const auto& m = static_cast<const monitor&>(*c.monitor);
    error += m.error;
    power += m.power;
    predicted += m.predicted;
  }
  const double found = 10.0 * std::log10(error / power);
  const double of_program = program_nmse_db(program, model_path, h.data(), static_cast<int>(n),
                                            static_cast<int>(n_rx), static_cast<int>(n_tx), snr_db);
  std::printf(
      "%zu frames in %zu threads: module %.2f dB (predicted %.2f dB), chest sweep %.2f dB\n", n,
      n_threads, found, 10.0 * std::log10(predicted / power), of_program);
  const bool right = std::abs(found - of_program) < 0.1;
  if (!right) std::fprintf(stderr, "aff3ct_loop: expected the NMSE of chest sweep\n");
  return right ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: aff3ct_loop MODEL CHEST\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "aff3ct_loop: %s\n", error.what());
    return 1;
  }
}
