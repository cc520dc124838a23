#include <chest/estimators/linear/lmmse.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/metrics.hpp>

#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/common/level_cache.hpp>
#include <chest/estimators/common/model_file.hpp>

#include "structured_lmmse.hpp"

namespace chest {
inline namespace v0 {
namespace {

class Lmmse final : public Estimator {
 public:
  Lmmse(std::shared_ptr<const ObservationOperator> A, arma::cx_mat C)
      : A_(std::move(A)), gram_scale_(A_->gram_scale()), trace_(arma::trace(C).real()) {
    if (gram_scale_) {
      S_ = std::move(C);
    } else {
      AC_ = A_->apply(C);
      S_ = A_->apply(AC_.t());
    }
  }

  /// C by its structure, which A^H A = c I alone makes whole.
  Lmmse(std::shared_ptr<const ObservationOperator> A, const ChannelCovariance& C)
      : A_(std::move(A)), gram_scale_(A_->gram_scale()), trace_(C.trace()) {
    if (gram_scale_) {
      S_ = C.dense();
    } else {
      const arma::cx_mat CA =
          C.times(A_->adjoint(arma::cx_mat(A_->n_obs(), A_->n_obs(), arma::fill::eye)));
      AC_ = CA.t();
      S_ = A_->apply(CA);
    }
  }

  std::string name() const override { return "lmmse"; }
  const ObservationOperator& A() const override { return *A_; }
  bool predicts_mse(double) const override { return true; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    const auto filter =
        filters_.at(observation.sigma2, [&] { return make_filter(observation.sigma2); });
    if (gram_scale_) {
      out.h = filter->W * A_->pseudo_inverse(observation.y);
    } else {
      out.h = filter->W * observation.y;
    }
    out.mse.fill(filter->mse);
  }

  struct Filter {
    arma::cx_mat W;
    double mse = 0.0;
  };

  Filter make_filter(double sigma2) const {
    const double noise = gram_scale_ ? sigma2 / *gram_scale_ : sigma2;
    arma::cx_mat S = S_;
    S.diag() += noise;
    arma::cx_mat S_inverse;
    if (!arma::inv_sympd(S_inverse, S)) {
      throw Error(ErrorKind::numeric,
                  "lmmse: A C A^H + sigma2 I is not positive definite at sigma2 = " +
                      std::to_string(sigma2) + ": the covariance is not one, or far below it");
    }
    Filter filter;
    if (gram_scale_) {
      // C S^-1 = I - noise S^-1 with S = C + noise I, and mse = noise tr(C S^-1).
      filter.W = -noise * S_inverse;
      filter.W.diag() += 1.0;
      filter.mse = noise * arma::trace(filter.W).real();
    } else {
      filter.W = AC_.t() * S_inverse;
      filter.mse = trace_ - arma::accu(arma::real(filter.W % AC_.st()));
    }
    return filter;
  }

  std::shared_ptr<const ObservationOperator> A_;
  std::optional<double> gram_scale_;
  double trace_;     ///< tr(C)
  arma::cx_mat AC_;  ///< A C, [n_obs, n_h]; empty where A^H A = c I
  arma::cx_mat S_;   ///< A C A^H; where A^H A = c I, C
  LevelCache<Filter> filters_{4};
};

constexpr int newest_version = 2;   // a covariance kept by its structure
constexpr int version_of_full = 1;  // read by every chest
/// Entries of S and of a filter up to which they are formed.
constexpr arma::uword most_formed = 2048 * 2048;

/// rho of fit_lmmse().
double ledoit_wolf_weight(const SampleReader& samples, const arma::cx_mat& S) {
  const auto n = static_cast<double>(samples.n_samples);
  const auto n_h = static_cast<double>(samples.n_h());
  constexpr arma::uword block = 512;
  double fourth_powers = 0.0;
  for (arma::uword first = 0; first < samples.n_samples; first += block) {
    const arma::vec powers =
        squared_norms(samples.read(first, std::min(block, samples.n_samples - first)));
    fourth_powers += arma::dot(powers, powers);
  }
  const double S_squared = std::pow(arma::norm(S, "fro"), 2);
  const double b = (fourth_powers - n * S_squared) / (n * n);
  const double d = S_squared - std::pow(arma::trace(S).real(), 2) / n_h;
  return d > b ? std::max(b / d, 0.0) : 1.0;
}

}  // namespace

std::string LmmseOptions::why_invalid() const { return lmmse_options.why_invalid(*this); }

std::unique_ptr<Estimator> make_lmmse(std::shared_ptr<const ObservationOperator> A,
                                      const arma::cx_mat& C, const LmmseOptions& options) {
  check_given("lmmse", A.get());
  if (const std::string why = options.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, "lmmse: " + why);
  }
  if (C.n_rows != A->n_h() || C.n_cols != A->n_h()) {
    throw Error(ErrorKind::invalid_argument, "lmmse: C is " + std::to_string(C.n_rows) + "x" +
                                                 std::to_string(C.n_cols) +
                                                 ", A expects n_h = " + std::to_string(A->n_h()));
  }
  if (!C.is_finite()) throw Error(ErrorKind::numeric, "lmmse: C is not finite");
  arma::cx_mat hermitian = 0.5 * (C + C.t());
  hermitian.diag() +=
      options.diagonal_loading * arma::trace(hermitian).real() / static_cast<double>(C.n_rows);
  if (options.iterative) {
    return make_iterative_lmmse(std::move(A), std::move(hermitian), options.tolerance);
  }
  return std::make_unique<Lmmse>(std::move(A), std::move(hermitian));
}

std::unique_ptr<Estimator> make_lmmse(std::shared_ptr<const ObservationOperator> A,
                                      const ChannelCovariance& C, const LmmseOptions& options) {
  if (C.kind() == CovarianceKind::full) return make_lmmse(std::move(A), C.C(), options);
  check_arrays("lmmse", A.get(), C.n_rx(), C.n_tx());
  if (const std::string why = options.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, "lmmse: " + why);
  }
  if (!C.is_finite()) throw Error(ErrorKind::numeric, "lmmse: C is not finite");
  ChannelCovariance loaded = C.loaded(options.diagonal_loading);
  const arma::uword n = A->gram_scale() ? A->n_h() : A->n_obs();
  if (options.iterative) {
    return make_iterative_lmmse(std::move(A), std::move(loaded), options.tolerance);
  }
  if (A->pilots() && C.kind() != CovarianceKind::toeplitz) {
    return make_closed_form_lmmse(std::move(A), loaded);
  }
  if (n * A->n_h() <= most_formed) return std::make_unique<Lmmse>(std::move(A), loaded);
  return make_iterative_lmmse(std::move(A), std::move(loaded), options.tolerance);
}

const char* to_string(Shrinkage shrinkage) {
  switch (shrinkage) {
    case Shrinkage::none:
      return "none";
    case Shrinkage::ledoit_wolf:
      return "ledoit-wolf";
    case Shrinkage::automatic:
      break;
  }
  return "auto";
}

Shrinkage shrinkage_from_string(const std::string& text) {
  for (const Shrinkage shrinkage :
       {Shrinkage::automatic, Shrinkage::none, Shrinkage::ledoit_wolf}) {
    if (text == to_string(shrinkage)) return shrinkage;
  }
  throw Error(ErrorKind::invalid_argument,
              "shrinkage '" + text + "' is unknown: use auto, none or ledoit-wolf");
}

LmmseModel fit_lmmse(const SampleReader& samples, CovarianceKind kind, Shrinkage shrinkage) {
  const bool is_full = kind == CovarianceKind::full;
  if (shrinkage == Shrinkage::ledoit_wolf && !is_full) {
    throw Error(ErrorKind::invalid_argument,
                std::string("fit lmmse: ledoit-wolf is for a full covariance, not for ") +
                    to_string(kind) + ", which has fewer numbers to learn");
  }
  LmmseModel model;
  model.n_rx = samples.n_rx;
  model.n_tx = samples.n_tx;
  model.kind = kind;
  model.n_samples = samples.n_samples;
  if (samples.grid.is_grid()) {
    if (!is_full || shrinkage == Shrinkage::ledoit_wolf) {
      throw Error(ErrorKind::invalid_argument,
                  "fit lmmse: a covariance along each axis of the grid is fitted, " +
                      std::string(is_full ? "ledoit-wolf" : to_string(kind)) + " is for matrices");
    }
    model.grid = fit_grid_statistics(samples);
    return model;
  }
  if (!is_full) {
    model.C = fit_structured_covariance(samples, kind, &model.shrinkage);
    return model;
  }
  arma::cx_mat S = sample_covariance(samples);
  if (shrinkage == Shrinkage::ledoit_wolf ||
      (shrinkage == Shrinkage::automatic && samples.n_samples < 4 * samples.n_h())) {
    model.shrinkage = ledoit_wolf_weight(samples, S);
    const double mu = arma::trace(S).real() / static_cast<double>(samples.n_h());
    S *= 1.0 - model.shrinkage;
    S.diag() += model.shrinkage * mu;
  }
  model.C = std::move(S);
  return model;
}

void save(const std::filesystem::path& file, const LmmseModel& model) {
  ArchiveWriter archive(file);
  const bool is_full = model.C.kind() == CovarianceKind::full;
  write_model_header(archive, "lmmse", is_full ? version_of_full : newest_version,
                     header_of(model));
  archive.attribute("/", "covariance", std::string(to_string(model.kind)));
  archive.attribute("/", "n_samples", static_cast<std::int64_t>(model.n_samples));
  archive.attribute("/", "shrinkage", model.shrinkage);
  if (model.grid.empty()) save(archive, "", model.C);
  archive.commit();
}

LmmseModel load_lmmse_model(const std::filesystem::path& file) {
  const ArchiveReader archive(file);
  const ModelHeader header = read_model_header(archive, "lmmse", newest_version);
  LmmseModel model;
  set_header(model, header);
  try {
    model.kind = covariance_kind_from_string(
        archive.text_attribute("/", "covariance").value_or("(missing)"));
  } catch (const Error& error) {
    throw Error(ErrorKind::format, file.string() + ": " + error.what());
  }
  model.n_samples =
      static_cast<arma::uword>(archive.number_attribute("/", "n_samples").value_or(0.0));
  model.shrinkage = archive.number_attribute("/", "shrinkage").value_or(0.0);
  if (!model.grid.empty()) return model;
  model.C = load_channel_covariance(archive, "", model.kind);
  const ChannelCovariance& C = model.C;
  const bool fits = C.n_h() == model.n_rx * model.n_tx &&
                    (C.n_rx() == 0 || (C.n_rx() == model.n_rx && C.n_tx() == model.n_tx));
  if (!fits) {
    throw Error(ErrorKind::format, file.string() + ": the covariance is for " +
                                       std::to_string(C.n_h()) + " entries, expected " +
                                       std::to_string(model.n_rx) + "x" +
                                       std::to_string(model.n_tx) + "; fit the model again");
  }
  return model;
}

}  // namespace v0
}  // namespace chest
