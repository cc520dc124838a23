#include <chest/channels/generator.hpp>

#include <cmath>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/random.hpp>
#include <chest/text.hpp>

#include "kronecker_draw.hpp"

namespace chest {
inline namespace v0 {

arma::cx_mat toeplitz_factor(const arma::cx_vec& t) {
  arma::cx_mat C = toeplitz(t);
  arma::cx_mat L;
  C.diag() += 1e-12 * std::abs(t[0]);
  if (!arma::chol(L, C, "lower")) L = covariance_factor(toeplitz(t));
  return L;
}

arma::cx_mat draw_kronecker(Rng& rng, const arma::cx_mat& L_rx, const arma::cx_mat& L_tx) {
  return L_rx * rng.cx_normal(L_rx.n_cols, L_tx.n_cols) * L_tx.st();
}

namespace {

std::string why_bad_size(arma::uword n_rx, arma::uword n_tx) {
  return n_rx == 0 || n_tx == 0 ? "n_rx and n_tx must be at least 1" : "";
}

/// Picks the component of a mixture: the first whose cumulated weight is above u.
arma::uword pick(const arma::vec& weights, double u) {
  arma::uword k = 0;
  for (double sum = weights[0]; k + 1 < weights.n_elem && u >= sum; sum += weights[++k]) {
  }
  return k;
}

class Rayleigh final : public ChannelGenerator {
 public:
  Rayleigh(arma::uword n_rx, arma::uword n_tx) : n_rx_(n_rx), n_tx_(n_tx) {}

  arma::uword n_rx() const override { return n_rx_; }
  arma::uword n_tx() const override { return n_tx_; }

  std::string describe() const override {
    return nlohmann::json{{"generator", "rayleigh"}, {"n_rx", n_rx_}, {"n_tx", n_tx_}}.dump();
  }

  ChannelBlock generate(std::uint64_t seed, std::uint64_t first, arma::uword count) const override {
    ChannelBlock block;
    block.h.set_size(n_rx_ * n_tx_, count);
    for (arma::uword k = 0; k < count; ++k)
      Rng(seed, {Purpose::channel, 0, first + k}).fill_cx_normal(block.h.colptr(k), n_rx_ * n_tx_);
    block.covariances.t_rx.zeros(n_rx_, count);
    block.covariances.t_tx.zeros(n_tx_, count);
    // First columns of I; row(0) of no columns at all would not do.
    for (arma::uword k = 0; k < count; ++k) {
      block.covariances.t_rx(0, k) = block.covariances.t_tx(0, k) = 1.0;
    }
    return block;
  }

  std::optional<GaussianMixture> prior() const override {
    const arma::uword n_h = n_rx_ * n_tx_;
    return GaussianMixture{arma::vec(1, arma::fill::ones),
                           arma::cx_mat(n_h, 1, arma::fill::zeros),
                           {arma::cx_mat(n_h, n_h, arma::fill::eye)}};
  }

 private:
  arma::uword n_rx_, n_tx_;
};

/// Component k is CN(0, C_tx,k kron C_rx,k): one component for kronecker, several for clusters.
class KroneckerMixture final : public ChannelGenerator {
 public:
  struct Component {
    arma::cx_vec t_rx, t_tx;  // first columns of the Toeplitz covariances
    arma::cx_mat L_rx, L_tx;
  };

  KroneckerMixture(std::string description, arma::vec weights, std::vector<Component> components)
      : description_(std::move(description)),
        weights_(std::move(weights)),
        components_(std::move(components)) {
    for (Component& component : components_) {
      component.L_rx = toeplitz_factor(component.t_rx);
      component.L_tx = toeplitz_factor(component.t_tx);
    }
  }

  arma::uword n_rx() const override { return components_[0].t_rx.n_elem; }
  arma::uword n_tx() const override { return components_[0].t_tx.n_elem; }
  std::string describe() const override { return description_; }

  ChannelBlock generate(std::uint64_t seed, std::uint64_t first, arma::uword count) const override {
    ChannelBlock block;
    block.h.set_size(n_rx() * n_tx(), count);
    block.covariances.t_rx.set_size(n_rx(), count);
    block.covariances.t_tx.set_size(n_tx(), count);
    for (arma::uword k = 0; k < count; ++k) {
      Rng rng(seed, {Purpose::channel, 0, first + k});
      const Component& component = components_[pick(weights_, rng.uniform())];
      block.h.col(k) = arma::vectorise(draw_kronecker(rng, component.L_rx, component.L_tx));
      block.covariances.t_rx.col(k) = component.t_rx;
      block.covariances.t_tx.col(k) = component.t_tx;
    }
    return block;
  }

  std::optional<GaussianMixture> prior() const override {
    GaussianMixture prior;
    prior.weights = weights_;
    prior.means.zeros(n_rx() * n_tx(), weights_.n_elem);
    for (const Component& component : components_)
      prior.covariances.push_back(arma::kron(toeplitz(component.t_tx), toeplitz(component.t_rx)));
    return prior;
  }

 private:
  std::string description_;
  arma::vec weights_;
  std::vector<Component> components_;
};

class Mixture final : public ChannelGenerator {
 public:
  Mixture(const GaussianMixture& prior, arma::uword n_rx, arma::uword n_tx)
      : prior_(prior), n_rx_(n_rx), n_tx_(n_tx) {
    for (arma::uword k = 0; k < prior.n_components(); ++k) {
      factors_.push_back(covariance_factor(prior.covariance(k)));
    }
  }

  arma::uword n_rx() const override { return n_rx_; }
  arma::uword n_tx() const override { return n_tx_; }

  std::string describe() const override {
    return nlohmann::json{{"generator", "mixture"},
                          {"n_rx", n_rx_},
                          {"n_tx", n_tx_},
                          {"n_components", prior_.n_components()}}
        .dump();
  }

  ChannelBlock generate(std::uint64_t seed, std::uint64_t first, arma::uword count) const override {
    ChannelBlock block;
    block.h.set_size(n_rx_ * n_tx_, count);
    for (arma::uword k = 0; k < count; ++k) {
      Rng rng(seed, {Purpose::channel, 0, first + k});
      const arma::uword i = pick(prior_.weights, rng.uniform());
      block.h.col(k) = prior_.means.col(i) + factors_[i] * rng.cx_normal(factors_[i].n_cols, 1);
    }
    return block;
  }

  std::optional<GaussianMixture> prior() const override { return prior_; }

 private:
  GaussianMixture prior_;
  arma::uword n_rx_, n_tx_;
  std::vector<arma::cx_mat> factors_;
};

arma::cx_vec exponential_correlation(double rho, arma::uword n) {
  arma::cx_vec t(n);
  for (arma::uword k = 0; k < n; ++k) t[k] = std::pow(rho, static_cast<double>(k));
  return t;
}

}  // namespace

std::unique_ptr<ChannelGenerator> make_rayleigh(arma::uword n_rx, arma::uword n_tx) {
  if (const std::string why = why_bad_size(n_rx, n_tx); !why.empty())
    throw Error(ErrorKind::invalid_argument, "rayleigh: " + why);
  return std::make_unique<Rayleigh>(n_rx, n_tx);
}

std::string KroneckerOptions::why_invalid() const {
  if (const std::string why = why_bad_size(n_rx, n_tx); !why.empty()) return why;
  for (const auto& [name, rho] : {std::pair{"rho_rx", rho_rx}, std::pair{"rho_tx", rho_tx}})
    if (!(rho >= 0.0 && rho < 1.0))
      return std::string(name) + " is " + number_text(rho) + ", it must be in 0 .. < 1";
  return {};
}

std::unique_ptr<ChannelGenerator> make_kronecker(const KroneckerOptions& options) {
  if (const std::string why = options.why_invalid(); !why.empty())
    throw Error(ErrorKind::invalid_argument, "kronecker: " + why);
  const std::string description = nlohmann::json{
      {"generator", "kronecker"},
      {"n_rx", options.n_rx},
      {"n_tx", options.n_tx},
      {"rho_rx", options.rho_rx},
      {"rho_tx", options.rho_tx}}.dump();
  KroneckerMixture::Component component;
  component.t_rx = exponential_correlation(options.rho_rx, options.n_rx);
  component.t_tx = exponential_correlation(options.rho_tx, options.n_tx);
  return std::make_unique<KroneckerMixture>(description, arma::vec(1, arma::fill::ones),
                                            std::vector{component});
}

std::string ClusterMixtureOptions::why_invalid() const {
  if (n_components == 0) return "n_components is 0, it must be at least 1";
  ScmOptions sides;
  sides.n_rx = n_rx;
  sides.n_tx = n_tx;
  sides.spread_rx_deg = spread_rx_deg;
  sides.spread_tx_deg = spread_tx_deg;
  return sides.why_invalid();
}

std::unique_ptr<ChannelGenerator> make_cluster_mixture(const ClusterMixtureOptions& options) {
  if (const std::string why = options.why_invalid(); !why.empty())
    throw Error(ErrorKind::invalid_argument, "gmm: " + why);
  const std::string description = nlohmann::json{
      {"generator", "gmm"},
      {"n_rx", options.n_rx},
      {"n_tx", options.n_tx},
      {"n_components", options.n_components},
      {"spread_rx_deg", options.spread_rx_deg},
      {"spread_tx_deg", options.spread_tx_deg},
      {"mixture_seed", options.seed}}.dump();
  Rng rng(options.seed, {Purpose::channel, 1, 0});
  arma::vec weights(options.n_components);
  // Unequal, so that a denoiser that forgets them is caught, and none so small that it never
  // occurs.
  weights.imbue([&] { return 0.5 + rng.uniform(); });
  weights /= arma::accu(weights);
  std::vector<KroneckerMixture::Component> components(options.n_components);
  const arma::vec one_path(1, arma::fill::ones);
  for (KroneckerMixture::Component& component : components) {
    const arma::vec angle_rx{180.0 * rng.uniform() - 90.0};
    const arma::vec angle_tx{180.0 * rng.uniform() - 90.0};
    component.t_rx = scm_covariance(one_path, angle_rx, options.spread_rx_deg, options.n_rx);
    component.t_tx = scm_covariance(one_path, angle_tx, options.spread_tx_deg, options.n_tx);
  }
  return std::make_unique<KroneckerMixture>(description, weights, std::move(components));
}

std::unique_ptr<ChannelGenerator> make_mixture(const GaussianMixture& prior, arma::uword n_rx,
                                               arma::uword n_tx) {
  if (const std::string why = prior.why_invalid(); !why.empty())
    throw Error(ErrorKind::invalid_argument, "mixture: " + why);
  if (n_rx == 0 || n_tx == 0 || prior.n_h() != n_rx * n_tx)
    throw Error(ErrorKind::invalid_argument,
                "mixture: means have " + std::to_string(prior.n_h()) +
                    " rows, expected n_rx n_tx = " + std::to_string(n_rx) + " x " +
                    std::to_string(n_tx));
  return std::make_unique<Mixture>(prior, n_rx, n_tx);
}

}  // namespace v0
}  // namespace chest
