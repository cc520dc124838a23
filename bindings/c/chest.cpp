#include "bindings/c/chest.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <complex>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <chest/error.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/catalog/model_store.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/inference/engine_denoiser.hpp>
#include <chest/estimators/inference/planned_estimator.hpp>
#include <chest/estimators/inference/precision.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/run_options.hpp>
#include <chest/metrics.hpp>
#include <chest/newer_file.hpp>
#include <chest/observation.hpp>
#include <chest/spec.hpp>

#include "grid_session.hpp"
#include "views.hpp"

// The C interface: arguments are checked here, the work is done by planned estimators.

namespace {

using chest::PlannedEstimator;
using chest::PlannedWork;
using namespace chest_views;  // NOLINT(google-build-using-namespace)

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
/// Planned mixtures that would take more are estimated by the estimators of the library.
constexpr double most_planned_bytes = 1024.0 * 1024.0 * 1024.0;
/// Noise outside this range, over the power of a channel's entry, counts as its ends.
constexpr double least_sigma2 = 1e-12, most_sigma2 = 1e12;
constexpr std::size_t text_length = 512;

thread_local char last_error[text_length] = "";

__attribute__((format(printf, 2, 3))) void say(char (&text)[text_length], const char* format, ...) {
  va_list values;
  va_start(values, format);
  std::vsnprintf(text, text_length, format, values);
  va_end(values);
}

chest_status status_of(chest::ErrorKind kind) {
  switch (kind) {
    case chest::ErrorKind::invalid_argument:
      return CHEST_E_ARG;
    case chest::ErrorKind::io:
      return CHEST_E_IO;
    case chest::ErrorKind::format:
      return CHEST_E_FORMAT;
    case chest::ErrorKind::numeric:
      return CHEST_E_NUMERIC;
    default:
      return CHEST_E_INTERNAL;
  }
}

/// Runs `work`; what it throws becomes a status and a sentence.
template <class Work>
chest_status guarded(char (&text)[text_length], Work&& work) noexcept {
  try {
    return work();
  } catch (const chest::NewerFile& error) {
    say(text, "%s", error.what());
    return CHEST_E_VERSION;
  } catch (const chest::Error& error) {
    say(text, "%s", error.what());
    return status_of(error.kind());
  } catch (const std::bad_alloc&) {
    say(text, "memory ran out");
    return CHEST_E_NOMEM;
  } catch (const std::exception& error) {
    say(text, "%s", error.what());
    return CHEST_E_INTERNAL;
  } catch (...) {
    say(text, "an error without a name");
    return CHEST_E_INTERNAL;
  }
}

/// Whether a struct of the caller has at least the fields of version 1; 0 is taken for that.
template <class Struct>
bool known_size(const Struct& of_caller) {
  return of_caller.struct_size == 0 || of_caller.struct_size >= sizeof(Struct);
}

/// A model and what was planned from it.
class Loaded {
 public:
  std::string kind, path;
  arma::uword n_rx = 0, n_tx = 0;
  bool is_grid = false;  ///< a model of channels on a grid
  /// Models of grids, with what their estimators prepare.
  std::shared_ptr<chest::ModelStore> store;
  std::shared_ptr<const chest::NetworkModel> network;
  chest::NetworkPrecision precision = chest::NetworkPrecision::float32;  ///< of the network
  bool one_call = false;
  std::optional<chest::GaussianMixture> mixture;

  /// For these pilots; sessions with the same share it.
  std::shared_ptr<const PlannedEstimator> planned(const arma::cx_mat& P) const {
    const std::lock_guard lock(mutex_);
    for (const std::weak_ptr<const PlannedEstimator>& each : planned_) {
      const std::shared_ptr<const PlannedEstimator> known = each.lock();
      if (known && arma::size(known->P()) == arma::size(P) &&
          arma::approx_equal(known->P(), P, "absdiff", 0.0)) {
        return known;
      }
    }
    std::shared_ptr<const PlannedEstimator> made = plan(P);
    planned_.erase(std::remove_if(planned_.begin(), planned_.end(),
                                  [](const auto& each) { return each.expired(); }),
                   planned_.end());
    planned_.push_back(made);
    return made;
  }

 private:
  std::unique_ptr<PlannedEstimator> plan(const arma::cx_mat& P) const {
    if (kind == "ls") return chest::make_planned_ls(P, n_rx);
    if (mixture && chest::planned_mixture_bytes(P, n_rx, *mixture) <= most_planned_bytes) {
      return chest::make_planned_mixture(P, n_rx, *mixture);
    }
    std::shared_ptr<const chest::ObservationOperator> A =
        chest::make_kronecker_observation(P, n_rx);
    if (network && network->P.is_empty() && A->gram_scale())
      return chest::make_planned_dmse(P, n_rx, *network, precision);
    if (mixture) return chest::make_planned(chest::make_gmm(A, *mixture), n_rx);
    chest::EstimatorContext context;
    context.A = std::move(A);
    context.n_rx = n_rx;
    context.n_tx = n_tx;
    context.engine = chest::NetworkEngine::onednn;
    context.models = std::make_shared<chest::ModelStore>(std::vector<std::filesystem::path>{path});
    chest::NamedOptions spec = chest::parse_named_options(kind);
    if (network) spec.options["precision"] = chest::to_string(precision);
    return chest::make_planned(chest::make_estimator(spec, context), n_rx);
  }

  mutable std::mutex mutex_;
  mutable std::vector<std::weak_ptr<const PlannedEstimator>> planned_;
};

/// "ls:64x16".
std::shared_ptr<Loaded> load_ls(const std::string& path) {
  unsigned n_rx = 0, n_tx = 0;
  char rest = 0;
  if (std::sscanf(path.c_str(), "ls:%ux%u%c", &n_rx, &n_tx, &rest) != 2 || n_rx == 0 || n_tx == 0 ||
      n_rx > 65536 || n_tx > 65536) {
    throw chest::Error(chest::ErrorKind::invalid_argument,
                       "'" + path + "': expected the antennas of either side, as in ls:64x16");
  }
  auto loaded = std::make_shared<Loaded>();
  loaded->kind = "ls";
  loaded->n_rx = n_rx;
  loaded->n_tx = n_tx;
  return loaded;
}

/// "model.h5:32x8": a model for arrays of many sizes, and the size.
std::string split_size(const std::string& path, arma::uword& n_rx, arma::uword& n_tx) {
  const std::size_t colon = path.rfind(':');
  std::error_code ignored;
  if (colon == std::string::npos || std::filesystem::exists(path, ignored)) return path;
  unsigned rx = 0, tx = 0;
  char rest = 0;
  if (std::sscanf(path.c_str() + colon, ":%ux%u%c", &rx, &tx, &rest) != 2) return path;
  n_rx = rx;
  n_tx = tx;
  return path.substr(0, colon);
}

std::shared_ptr<Loaded> load(const std::string& name, const chest::NetworkRunOptions& run,
                             bool one_call) {
  if (name.rfind("ls:", 0) == 0) return load_ls(name);
  arma::uword n_rx = 0, n_tx = 0;
  const std::string path = split_size(name, n_rx, n_tx);
  chest::ModelStore::Info info = chest::ModelStore().look_at(path);
  if (n_rx > 0 || n_tx > 0) {
    if (!info.serves(n_rx, n_tx)) {
      throw chest::Error(chest::ErrorKind::invalid_argument,
                         name + ": the model is for " + info.sizes() + " channels");
    }
    info.n_rx = n_rx;
    info.n_tx = n_tx;
  }
  auto loaded = std::make_shared<Loaded>();
  loaded->kind = info.kind;
  loaded->path = path;
  loaded->n_rx = info.n_rx;
  loaded->n_tx = info.n_tx;
  loaded->is_grid = info.grid != nullptr;
  if (info.kind == "dmse") {
    chest::NetworkModel network =
        chest::for_array(chest::load_network_model(path), info.n_rx, info.n_tx);
    if (network.network.side) {
      throw chest::Error(chest::ErrorKind::invalid_argument,
                         path +
                             ": is told a side matrix of each channel, which this interface "
                             "does not take; use the program, Python or C++");
    }
    if (one_call) network.calibration = network.calibration.of_one_call();
    loaded->one_call = one_call;
    loaded->network = std::make_shared<const chest::NetworkModel>(std::move(network));
    loaded->precision = chest::choose_precision(*loaded->network, run).precision;
    // Refused here what a session could not run.
    if (loaded->precision == chest::NetworkPrecision::int8) {
      chest::make_engine_denoiser(*loaded->network, run);
    }
  } else if (loaded->is_grid && (info.kind == "lmmse" || info.kind == "gmm")) {
    // Read when a grid asks for it.
  } else if (info.kind == "lmmse") {
    const chest::ChannelCovariance C = chest::load_lmmse_model(path).C;
    // A larger block-Toeplitz one is estimated with by its structure.
    if (C.kind() != chest::CovarianceKind::toeplitz || C.n_h() <= chest::most_formed_entries) {
      loaded->mixture = chest::gaussian_prior(C);
    }
  } else if (info.kind == "gmm") {
    loaded->mixture = chest::load_gmm_model(path).prior;
  } else {
    throw chest::Error(
        chest::ErrorKind::invalid_argument,
        path + ": is a model of kind " + info.kind + "; expected dmse, gmm or lmmse");
  }
  if (loaded->is_grid) {
    loaded->store = std::make_shared<chest::ModelStore>(std::vector<std::filesystem::path>{path});
  }
  return loaded;
}

}  // namespace

struct chest_model {
  std::shared_ptr<const Loaded> loaded;
};

struct chest_session {
  std::shared_ptr<const Loaded> loaded;
  std::shared_ptr<const PlannedEstimator> planned;
  std::unique_ptr<PlannedWork> work;
  std::unique_ptr<chest_c_grid::GridSession>
      grid;  ///< in place of `planned`, after chest_session_grid()
  std::vector<std::complex<float>> y, h;
  std::uint32_t max_batch = 0, flags = 0;
  double pilot_power = 1.0;  ///< power of a received entry over that of a channel's
  chest_stats stats{};
  char error[text_length] = "";
};

namespace {

using View = chest_tensor;

/// Checks of a call, each a sentence in the session and a status.
class Call {
 public:
  explicit Call(chest_session& session) : session_(session) {}

  chest_status check(const View* y, const View* noise, const View* h, const View* err,
                     const void* stream) {
    if (stream)
      return refuse(CHEST_E_DEVICE, "cuda_stream is not NULL: this is a build for the processor");
    if (chest_status s = check_view("y", y, true, false); s != CHEST_OK) return s;
    if (chest_status s = check_view("h_hat", h, true, true); s != CHEST_OK) return s;
    if (noise) {
      if (chest_status s = check_view("noise_var", noise, false, false); s != CHEST_OK) return s;
    }
    if (err) {
      if (chest_status s = check_view("err_var", err, false, true); s != CHEST_OK) return s;
    }
    if (session_.grid) return check_grid(*y, noise, *h, err);
    if (!session_.planned) {
      return refuse(CHEST_E_STATE, "%s is a model of grids: chest_session_grid comes first",
                    session_.loaded->path.c_str());
    }
    if (y->rank != 2 && y->rank != 3) {
      return refuse(CHEST_E_SHAPE, "y has rank %u; expected [batch, rx, pilot] or [rx, pilot]",
                    y->rank);
    }
    if (h->rank != y->rank) {
      return refuse(CHEST_E_SHAPE, "h_hat has rank %u and y rank %u; expected the same", h->rank,
                    y->rank);
    }
    n_items = y->rank == 3 ? y->dim[0] : 1;
    const PlannedEstimator& planned = *session_.planned;
    const unsigned first = y->rank - 2;
    if (chest_status s = check_dims("y", *y, first, planned.n_rx(), planned.n_pilots(), "pilot");
        s != CHEST_OK) {
      return s;
    }
    if (chest_status s = check_dims("h_hat", *h, first, planned.n_rx(), planned.n_tx(), "tx");
        s != CHEST_OK) {
      return s;
    }
    if (y->rank == 3 && h->dim[0] != n_items) {
      return refuse(CHEST_E_SHAPE, "h_hat has %lld items, y has %lld",
                    static_cast<long long>(h->dim[0]), static_cast<long long>(n_items));
    }
    if (session_.max_batch > 0 && n_items > static_cast<std::int64_t>(session_.max_batch)) {
      return refuse(CHEST_E_SHAPE, "y has %lld items, the session takes %u",
                    static_cast<long long>(n_items), session_.max_batch);
    }
    if (err && !(err->rank == 0 && n_items == 1) && !(err->rank == 1 && err->dim[0] == n_items) &&
        !(err->rank == 3 && err->dim[0] == n_items &&
          err->dim[1] == static_cast<std::int64_t>(planned.n_rx()) &&
          err->dim[2] == static_cast<std::int64_t>(planned.n_tx()))) {
      return refuse(CHEST_E_SHAPE,
                    "err_var does not fit %lld items; expected [batch] or [batch, rx, tx]",
                    static_cast<long long>(n_items));
    }
    return check_noise(noise);
  }

  chest_status check_view(const char* name, const View* view, bool complex, bool written) {
    if (!view) return refuse(CHEST_E_ARG, "%s is NULL", name);
    if (!known_size(*view)) {
      return refuse(CHEST_E_VERSION, "%s: struct_size is %u, expected %zu", name, view->struct_size,
                    sizeof(View));
    }
    if (complex ? !is_complex(view->dtype) : !is_real(view->dtype)) {
      return refuse(
          CHEST_E_DTYPE, "%s: dtype %u is not taken; expected %s", name, view->dtype,
          complex ? "CHEST_CF32, CHEST_CF64, CHEST_CI16 or CHEST_CBF16" : "CHEST_F32 or CHEST_F64");
    }
    if (view->space != CHEST_HOST) {
      return refuse(CHEST_E_DEVICE, "%s: space %u; expected CHEST_HOST", name, view->space);
    }
    if (view->rank > 6)
      return refuse(CHEST_E_SHAPE, "%s has rank %u; expected 0 to 6", name, view->rank);
    if (!std::isfinite(view->scale) || view->scale < 0.0F) {
      return refuse(CHEST_E_ARG, "%s: scale is %g; expected 0 or more", name,
                    static_cast<double>(view->scale));
    }
    bool empty = false;
    for (std::uint32_t i = 0; i < view->rank; ++i) {
      if (view->dim[i] < 0) {
        return refuse(CHEST_E_SHAPE, "%s: dimension %u is %lld", name, i,
                      static_cast<long long>(view->dim[i]));
      }
      empty = empty || view->dim[i] == 0;
      if (written && view->dim[i] > 1 && view->stride[i] == 0) {
        return refuse(CHEST_E_ARG, "%s: stride %u is 0, its elements would be written over", name,
                      i);
      }
    }
    if (!view->data && !empty) return refuse(CHEST_E_ARG, "%s: data is NULL", name);
    return CHEST_OK;
  }

  std::int64_t n_items = 0;

 private:
  template <class... Values>
  chest_status refuse(chest_status status, const char* format, Values... values) {
    if constexpr (sizeof...(values) == 0) {
      std::snprintf(session_.error, text_length, "%s", format);
    } else {
      std::snprintf(session_.error, text_length, format, values...);
    }
    return status;
  }

  chest_status check_dims(const char* name, const View& view, unsigned first, arma::uword n_rx,
                          arma::uword n_last, const char* last) {
    if (view.dim[first] == static_cast<std::int64_t>(n_rx) &&
        view.dim[first + 1] == static_cast<std::int64_t>(n_last)) {
      return CHEST_OK;
    }
    return refuse(CHEST_E_SHAPE, "%s is [rx = %lld, %s = %lld]; expected [%llu, %llu]", name,
                  static_cast<long long>(view.dim[first]), last,
                  static_cast<long long>(view.dim[first + 1]),
                  static_cast<unsigned long long>(n_rx), static_cast<unsigned long long>(n_last));
  }

  chest_status check_grid(const View& y, const View* noise, const View& h, const View* err) {
    const std::string why = session_.grid->why_not(y, noise, h, err);
    if (!why.empty()) return refuse(CHEST_E_SHAPE, "%s", why.c_str());
    n_items = chest_c_grid::GridSession::n_items(y);
    if (session_.max_batch > 0 && n_items > static_cast<std::int64_t>(session_.max_batch)) {
      return refuse(CHEST_E_SHAPE, "y has %lld items, the session takes %u",
                    static_cast<long long>(n_items), session_.max_batch);
    }
    return check_noise(noise);
  }

  chest_status check_noise(const View* noise) {
    // Of grids the estimator says so itself.
    const bool finds_noise = session_.grid || session_.planned->finds_noise();
    if (noise && noise->rank > 1) {
      return refuse(CHEST_E_SHAPE, "noise_var has rank %u; expected 0 or 1", noise->rank);
    }
    if (noise && noise->rank == 1 && noise->dim[0] != n_items) {
      return refuse(CHEST_E_SHAPE, "noise_var has %lld items, y has %lld",
                    static_cast<long long>(noise->dim[0]), static_cast<long long>(n_items));
    }
    for (std::int64_t k = 0; k < n_items; ++k) {
      const double value =
          noise ? real_at(*noise, noise->rank == 1 ? k * noise->stride[0] : 0) : unknown;
      if (std::isnan(value)) {
        if (!finds_noise) {
          return refuse(CHEST_E_STATE, "noise_var: %s cannot find it; give it",
                        session_.loaded->kind.c_str());
        }
        if (session_.flags & CHEST_POWER_SCALE) {
          return refuse(CHEST_E_STATE, "noise_var: CHEST_POWER_SCALE needs it");
        }
      } else if (!(value > 0.0) || !std::isfinite(value)) {
        return refuse(CHEST_E_ARG, "noise_var is %g at item %lld; expected > 0, or NaN to find it",
                      value, static_cast<long long>(k));
      }
      if (!noise || noise->rank == 0) break;
    }
    return CHEST_OK;
  }

  chest_session& session_;
};

/// 1 / sqrt(power of a channel's entry), from all of a call's input.
double power_scale(const chest_session& session, const View& y, const View& noise,
                   std::int64_t n_items, std::vector<std::complex<float>>& item) {
  const PlannedEstimator& planned = *session.planned;
  double received = 0.0, noises = 0.0;
  const unsigned first = y.rank - 2;
  for (std::int64_t k = 0; k < n_items; ++k) {
    gather(y, k * (y.rank == 3 ? y.stride[0] : 0), static_cast<std::int64_t>(planned.n_rx()),
           y.stride[first], static_cast<std::int64_t>(planned.n_pilots()), y.stride[first + 1],
           scale_of(y), item.data());
    double sum = 0.0;
    for (const std::complex<float>& value : item) {
      const std::complex<double> wide(value);
      sum += std::norm(wide);
    }
    if (!std::isfinite(sum)) continue;
    received += sum / static_cast<double>(item.size());
    noises += real_at(noise, noise.rank == 1 ? k * noise.stride[0] : 0);
  }
  // Noise that explains all of the power leaves a channel that is as weak as the noise.
  const double signal = std::max(received - noises, 0.01 * noises) / session.pilot_power;
  return signal > 0.0 ? std::sqrt(static_cast<double>(n_items) / signal) : 1.0;
}

chest_status bad_items(chest_session& session, std::int64_t n_items, std::int64_t n_bad,
                       std::int64_t first_bad) {
  if (n_bad == 0) return CHEST_OK;
  std::snprintf(
      session.error, text_length,
      "%lld of %lld items are zero, not finite or too large, item %lld first; they are NaN",
      static_cast<long long>(n_bad), static_cast<long long>(n_items),
      static_cast<long long>(first_bad));
  return CHEST_E_NUMERIC;
}

chest_status estimate_all(chest_session& session, const View& y, const View* noise, View& h,
                          View* err, std::int64_t n_items) {
  const PlannedEstimator& planned = *session.planned;
  const auto n_rx = static_cast<std::int64_t>(planned.n_rx());
  const auto n_tx = static_cast<std::int64_t>(planned.n_tx());
  const auto n_pilots = static_cast<std::int64_t>(planned.n_pilots());
  const unsigned first = y.rank - 2;
  const double scale =
      session.flags & CHEST_POWER_SCALE ? power_scale(session, y, *noise, n_items, session.y) : 1.0;
  std::int64_t n_bad = 0, first_bad = 0;
  for (std::int64_t k = 0; k < n_items; ++k) {
    const std::int64_t item = y.rank == 3 ? k : 0;
    gather(y, item * (y.rank == 3 ? y.stride[0] : 0), n_rx, y.stride[first], n_pilots,
           y.stride[first + 1], scale_of(y) * scale, session.y.data());
    double power = 0.0;
    for (const std::complex<float>& value : session.y)
      power += std::norm(std::complex<double>(value));
    double sigma2 =
        noise ? scale * scale * real_at(*noise, noise->rank == 1 ? k * noise->stride[0] : 0)
              : unknown;
    PlannedEstimator::Outcome outcome{unknown, unknown, 0};
    bool good = can_be_estimated(power);
    if (good) {
      if (!std::isnan(sigma2)) sigma2 = std::clamp(sigma2, least_sigma2, most_sigma2);
      outcome = planned.estimate(session.y.data(), sigma2, *session.work, session.h.data());
      double size = 0.0;
      for (const std::complex<float>& value : session.h) {
        size += static_cast<double>(std::norm(value));
      }
      good = std::isfinite(size);
    }
    if (!good) {
      if (n_bad++ == 0) first_bad = k;
      outcome.mse = unknown;
      std::fill(session.h.begin(), session.h.end(),
                std::complex<float>(static_cast<float>(unknown), static_cast<float>(unknown)));
    }
    scatter(h, item * (h.rank == 3 ? h.stride[0] : 0), n_rx, h.stride[first], n_tx,
            h.stride[first + 1], 1.0 / (scale * scale_of(h)), session.h.data());
    if (err) {
      const double value = outcome.mse / static_cast<double>(n_rx * n_tx) / (scale * scale);
      if (err->rank < 3) {
        put_real(*err, err->rank == 1 ? k * err->stride[0] : 0, value);
      } else {
        for (std::int64_t r = 0; r < n_rx; ++r) {
          for (std::int64_t t = 0; t < n_tx; ++t) {
            put_real(*err, k * err->stride[0] + r * err->stride[1] + t * err->stride[2], value);
          }
        }
      }
    }
    session.stats.items += 1;
    session.stats.nfe += outcome.nfe;
    session.stats.last_steps = outcome.nfe;
    session.stats.last_sigma2 = outcome.sigma2 / (scale * scale);
  }
  session.stats.last_scale = scale;
  return bad_items(session, n_items, n_bad, first_bad);
}

chest_status estimate_grids(chest_session& session, const View& y, const View* noise, const View& h,
                            const View* err, std::int64_t n_items) {
  const chest_c_grid::GridOutcome out = session.grid->estimate(y, noise, h, err);
  session.stats.items += static_cast<std::uint64_t>(n_items);
  session.stats.nfe += out.nfe;
  session.stats.last_steps = out.last_nfe;
  session.stats.last_sigma2 = out.last_sigma2;
  return bad_items(session, n_items, out.n_bad, out.first_bad);
}

void plan_session(chest_session& session, const arma::cx_mat& P) {
  std::shared_ptr<const PlannedEstimator> planned = session.loaded->planned(P);
  std::unique_ptr<PlannedWork> work = planned->make_work();
  std::vector<std::complex<float>> y(planned->n_rx() * planned->n_pilots());
  std::vector<std::complex<float>> h(planned->n_rx() * planned->n_tx());
  session.pilot_power = arma::accu(arma::square(arma::abs(P))) / static_cast<double>(P.n_cols);
  session.stats.allocates = planned->allocates_nothing() ? 0 : 1;
  // The first estimate of all: what a library sets up when it is first used is set up now.
  if (planned->allocates_nothing()) {
    y[0] = 1.0F;
    planned->estimate(y.data(), 1.0, *work, h.data());
  }
  session.grid.reset();
  session.planned = std::move(planned);
  session.work = std::move(work);
  session.y = std::move(y);
  session.h = std::move(h);
}

constexpr std::uint32_t precision_flags = CHEST_FLOAT32 | CHEST_BFLOAT16 | CHEST_INT8;

chest::NetworkRunOptions run_options(const chest_options* options) {
  chest::NetworkRunOptions run;
  run.engine = chest::NetworkEngine::onednn;
  const std::uint32_t flags = options ? options->flags : 0;
  if (flags & CHEST_FLOAT32) run.precision = chest::NetworkPrecision::float32;
  if (flags & CHEST_BFLOAT16) run.precision = chest::NetworkPrecision::bfloat16;
  if (flags & CHEST_INT8) run.precision = chest::NetworkPrecision::int8;
  return run;
}

chest_status check_options(const chest_options* options) {
  if (!options) return CHEST_OK;
  if (!known_size(*options)) {
    say(last_error, "options: struct_size is %u, expected %zu", options->struct_size,
        sizeof(chest_options));
    return CHEST_E_VERSION;
  }
  if (options->device != 0) {
    say(last_error, "options: device is %d; expected 0, the processor", options->device);
    return CHEST_E_DEVICE;
  }
  if (options->threads > 1) {
    say(last_error, "options: threads is %u; a session is one thread's, make one for each",
        options->threads);
    return CHEST_E_ARG;
  }
  if (options->flags & ~static_cast<std::uint32_t>(CHEST_DETERMINISTIC | CHEST_POWER_SCALE |
                                                   CHEST_ONE_CALL | precision_flags)) {
    say(last_error, "options: flags are %#x; expected those of chest.h", options->flags);
    return CHEST_E_ARG;
  }
  const std::uint32_t precisions = options->flags & precision_flags;
  if (precisions & (precisions - 1)) {
    say(last_error, "options: flags are %#x, which name more than one precision", options->flags);
    return CHEST_E_ARG;
  }
  if (options->alloc) {
    say(last_error, "options: alloc is reserved; expected NULL");
    return CHEST_E_ARG;
  }
  return CHEST_OK;
}

void log(const chest_options* options, int level, const std::string& text) {
  if (options && options->log) options->log(options->log_ctx, level, text.c_str());
}

}  // namespace

extern "C" {

uint32_t chest_abi_version(void) { return CHEST_ABI_VERSION; }

const char* chest_version(void) { return CHEST_VERSION_TEXT; }

const char* chest_status_str(chest_status status) {
  switch (status) {
    case CHEST_OK:
      return "done";
    case CHEST_E_ARG:
      return "an argument is missing, out of range or not known";
    case CHEST_E_SHAPE:
      return "dimensions do not fit";
    case CHEST_E_DTYPE:
      return "a type of array that is not taken there";
    case CHEST_E_IO:
      return "a file cannot be read";
    case CHEST_E_FORMAT:
      return "a file is not a model, or is damaged";
    case CHEST_E_VERSION:
      return "newer than this library";
    case CHEST_E_DEVICE:
      return "the device is not there";
    case CHEST_E_NOMEM:
      return "memory ran out";
    case CHEST_E_STATE:
      return "not possible with this model, or in this order";
    case CHEST_E_NUMERIC:
      return "values are not finite, or too large";
    case CHEST_E_INTERNAL:
      return "a bug of chest";
  }
  return "an unknown status";
}

const char* chest_last_error(void) { return last_error; }

chest_status chest_model_open(const char* path, const chest_options* options, chest_model** model) {
  last_error[0] = '\0';
  if (!model) {
    say(last_error, "model is NULL");
    return CHEST_E_ARG;
  }
  *model = nullptr;
  if (!path) {
    say(last_error, "path is NULL");
    return CHEST_E_ARG;
  }
  if (const chest_status status = check_options(options); status != CHEST_OK) return status;
  return guarded(last_error, [&] {
    auto made = std::make_unique<chest_model>();
    made->loaded = load(path, run_options(options), options && (options->flags & CHEST_ONE_CALL));
    log(options, 2,
        std::string(path) + ": " + made->loaded->kind + " for channels " +
            std::to_string(made->loaded->n_rx) + "x" + std::to_string(made->loaded->n_tx));
    *model = made.release();
    return CHEST_OK;
  });
}

chest_status chest_model_info(const chest_model* model, chest_info* info) {
  if (!model || !info) return CHEST_E_ARG;
  if (!known_size(*info)) return CHEST_E_VERSION;
  return guarded(last_error, [&] {
    const Loaded& loaded = *model->loaded;
    chest_info out{};
    out.struct_size = sizeof(chest_info);
    out.n_rx = static_cast<std::uint32_t>(loaded.n_rx);
    out.n_tx = static_cast<std::uint32_t>(loaded.n_tx);
    out.snr_low_db = out.snr_high_db = unknown;
    out.predicts_error = 1;
    out.finds_noise = loaded.kind == "ls" ? 0 : 1;
    std::snprintf(out.kind, sizeof out.kind, "%s", loaded.kind.c_str());
    if (loaded.network) {
      const chest::NetworkModel& network = *loaded.network;
      const auto [lowest, highest] = network.sigma2_range();
      out.snr_low_db = -chest::to_db(highest);
      out.snr_high_db = -chest::to_db(lowest);
      out.n_parameters = static_cast<std::uint64_t>(network.network.n_parameters());
      out.steps = static_cast<std::uint32_t>(network.calibration.empty()
                                                 ? chest::DmseOptions{}.n_steps
                                                 : network.calibration.most_calls());
      out.predicts_error = network.network.variance || !network.calibration.empty() ? 1 : 0;
      out.finds_noise = out.predicts_error;
      std::snprintf(out.engine, sizeof out.engine, "onednn %s", chest::to_string(loaded.precision));
    } else if (loaded.mixture) {
      out.n_parameters = loaded.mixture->n_parameters();
    }
    std::snprintf(out.target, sizeof out.target, "%s", chest::engine_target());
    *info = out;
    return CHEST_OK;
  });
}

void chest_model_close(chest_model* model) { delete model; }

chest_status chest_session_create(const chest_model* model, const chest_options* options,
                                  chest_session** session) {
  last_error[0] = '\0';
  if (!model || !session) {
    say(last_error, "%s is NULL", model ? "session" : "model");
    return CHEST_E_ARG;
  }
  *session = nullptr;
  if (const chest_status status = check_options(options); status != CHEST_OK) return status;
  return guarded(last_error, [&] {
    auto made = std::make_unique<chest_session>();
    made->loaded = model->loaded;
    made->stats.struct_size = sizeof(chest_stats);
    made->stats.last_sigma2 = unknown;
    made->stats.last_scale = 1.0;
    if (options) {
      made->max_batch = options->max_batch;
      made->flags = options->flags;
    }
    if (!model->loaded->is_grid) {
      plan_session(*made, arma::cx_mat(model->loaded->n_tx, model->loaded->n_tx, arma::fill::eye));
    }
    *session = made.release();
    return CHEST_OK;
  });
}

chest_status chest_session_pilots(chest_session* session, const chest_tensor* p) {
  if (!session) return CHEST_E_ARG;
  session->error[0] = '\0';
  return guarded(session->error, [&]() -> chest_status {
    const arma::uword n_tx = session->loaded->n_tx;
    if (session->loaded->is_grid) {
      say(session->error, "%s is a model of grids: chest_session_grid says what is sent",
          session->loaded->path.c_str());
      return CHEST_E_STATE;
    }
    if (!p) {
      plan_session(*session, arma::cx_mat(n_tx, n_tx, arma::fill::eye));
      return CHEST_OK;
    }
    const chest_status status =
        Call(*session).check_view("p", p, /*complex=*/true, /*written=*/false);
    if (status != CHEST_OK) return status;
    if (p->rank != 2 || p->dim[0] != static_cast<std::int64_t>(n_tx) || p->dim[1] < 1 ||
        p->dim[1] > 65536) {
      say(session->error, "p has rank %u and %lld rows; expected [tx = %llu, pilot]", p->rank,
          static_cast<long long>(p->dim[0]), static_cast<unsigned long long>(n_tx));
      return CHEST_E_SHAPE;
    }
    std::vector<std::complex<float>> values(n_tx * static_cast<std::size_t>(p->dim[1]));
    gather(*p, 0, p->dim[0], p->stride[0], p->dim[1], p->stride[1], scale_of(*p), values.data());
    arma::cx_mat P(n_tx, static_cast<arma::uword>(p->dim[1]));
    for (arma::uword i = 0; i < P.n_elem; ++i) P(i) = std::complex<double>(values[i]);
    if (!P.is_finite()) {
      say(session->error, "p has values that are not finite");
      return CHEST_E_NUMERIC;
    }
    // Orthogonal in float32 is meant as orthogonal.
    const arma::cx_mat gram = P * P.t();
    const double c = arma::trace(gram).real() / static_cast<double>(n_tx);
    arma::cx_mat off = gram;
    off.diag() -= c;
    if (c > 0.0 && arma::abs(off).max() < 1e-5 * c) {
      arma::cx_mat U, V;
      arma::vec s;
      if (arma::svd_econ(U, s, V, P)) P = std::sqrt(c) * U * V.t();
    }
    plan_session(*session, P);
    return CHEST_OK;
  });
}

chest_status chest_session_grid(chest_session* session, const chest_grid* grid,
                                const chest_tensor* x) {
  if (!session) return CHEST_E_ARG;
  session->error[0] = '\0';
  return guarded(session->error, [&]() -> chest_status {
    const Loaded& loaded = *session->loaded;
    if (!grid || (!grid->pilots && !x) || (grid->pilots && x)) {
      say(session->error, "grid: expected a grid, and pilots or x");
      return CHEST_E_ARG;
    }
    if (!known_size(*grid)) {
      say(session->error, "grid: struct_size is %u, expected %zu", grid->struct_size,
          sizeof(chest_grid));
      return CHEST_E_VERSION;
    }
    if (session->flags & CHEST_POWER_SCALE) {
      say(session->error, "grid: CHEST_POWER_SCALE is for matrices");
      return CHEST_E_STATE;
    }
    if (!loaded.is_grid && loaded.kind != "ls") {
      say(session->error, "grid: %s is a model of matrices", loaded.path.c_str());
      return CHEST_E_STATE;
    }
    if (loaded.kind == "ls" && (grid->n_rx != loaded.n_rx || grid->n_tx != loaded.n_tx)) {
      say(session->error, "grid: it is of %u receive antennas and %u ports, the model of %llux%llu",
          grid->n_rx, grid->n_tx, static_cast<unsigned long long>(loaded.n_rx),
          static_cast<unsigned long long>(loaded.n_tx));
      return CHEST_E_SHAPE;
    }
    arma::cx_mat sent;
    if (x) {
      const chest_status status = Call(*session).check_view("x", x, true, false);
      if (status != CHEST_OK) return status;
      const std::int64_t n_f = grid->n_subcarriers, n_s = grid->n_symbols;
      if (x->rank != 3 || x->dim[0] != grid->n_tx || x->dim[1] != n_f || x->dim[2] != n_s) {
        say(session->error, "x: expected [tx = %u, subcarrier = %u, symbol = %u]", grid->n_tx,
            grid->n_subcarriers, grid->n_symbols);
        return CHEST_E_SHAPE;
      }
      sent.set_size(grid->n_tx, static_cast<arma::uword>(n_f * n_s));
      std::vector<std::complex<float>> values(static_cast<std::size_t>(grid->n_tx * n_f));
      for (std::int64_t s = 0; s < n_s; ++s) {
        gather(*x, s * x->stride[2], grid->n_tx, x->stride[0], n_f, x->stride[1], scale_of(*x),
               values.data());
        for (std::size_t i = 0; i < values.size(); ++i) {
          sent(static_cast<arma::uword>(s) * values.size() + i) = std::complex<double>(values[i]);
        }
      }
      if (!sent.is_finite()) {
        say(session->error, "x has values that are not finite");
        return CHEST_E_NUMERIC;
      }
    }
    chest::NamedOptions spec = chest::parse_named_options(loaded.kind);
    if (loaded.network) spec.options["precision"] = chest::to_string(loaded.precision);
    if (loaded.one_call) spec.options["steps"] = "1";
    auto models = loaded.store ? loaded.store : std::make_shared<chest::ModelStore>();
    session->grid = std::make_unique<chest_c_grid::GridSession>(spec, models, *grid, sent);
    session->stats.allocates = 1;
    return CHEST_OK;
  });
}

chest_status chest_estimate(chest_session* session, const chest_tensor* y,
                            const chest_tensor* noise_var, chest_tensor* h_hat,
                            chest_tensor* err_var, void* cuda_stream) {
  if (!session) return CHEST_E_ARG;
  session->error[0] = '\0';
  const auto start = std::chrono::steady_clock::now();
  Call call(*session);
  chest_status status = call.check(y, noise_var, h_hat, err_var, cuda_stream);
  if (status != CHEST_OK) return status;
  status = guarded(session->error, [&] {
    return session->grid ? estimate_grids(*session, *y, noise_var, *h_hat, err_var, call.n_items)
                         : estimate_all(*session, *y, noise_var, *h_hat, err_var, call.n_items);
  });
  if (status == CHEST_OK) session->stats.calls += 1;
  session->stats.seconds +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return status;
}

chest_status chest_session_stats(const chest_session* session, chest_stats* stats) {
  if (!session || !stats) return CHEST_E_ARG;
  if (!known_size(*stats)) return CHEST_E_VERSION;
  *stats = session->stats;
  return CHEST_OK;
}

const char* chest_session_error(const chest_session* session) {
  return session ? session->error : "session is NULL";
}

void chest_session_destroy(chest_session* session) { delete session; }

}  // extern "C"
