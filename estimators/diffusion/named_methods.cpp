#include <chest/estimators/diffusion/named_methods.hpp>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {
namespace {

using OperatorPtr = std::shared_ptr<const ObservationOperator>;
using DenoiserPtr = std::shared_ptr<const Denoiser>;

template <class Options>
void check(const char* who, const Options& options) {
  if (const std::string why = options.why_invalid(); !why.empty()) {
    refuse(std::string(who) + ": " + why);
  }
}

/// What is wrong with the own options or else with the walk.
template <class Table, class Options>
std::string why_invalid_walk(const Table& table, const Options& options) {
  if (const std::string why = table.why_invalid(options); !why.empty()) return why;
  if (options.walk.update == WalkUpdate::langevin) return "walk=langevin is the method score";
  return options.walk.why_invalid();
}

bool uses_derivative(VarianceKind kind) {
  return kind == VarianceKind::tweedie || kind == VarianceKind::tweedie_proper;
}

std::unique_ptr<Estimator> proximal_walk(OperatorPtr A, DenoiserPtr denoiser,
                                         const ProximalOptions& proximal, const WalkOptions& walk) {
  return make_walk(make_proximal_guidance(std::move(A), std::move(denoiser), proximal), walk);
}

}  // namespace

WalkOptions walk_of(WalkUpdate update, arma::uword n_levels) {
  WalkOptions walk;
  walk.update = update;
  walk.n_levels = n_levels;
  return walk;
}

std::string DiffpirOptions::why_invalid() const { return why_invalid_walk(diffpir_options, *this); }
std::unique_ptr<Estimator> make_diffpir(OperatorPtr A, DenoiserPtr denoiser,
                                        const DiffpirOptions& options) {
  check("diffpir", options);
  ProximalOptions proximal;
  proximal.variance.lambda = options.lambda;
  return proximal_walk(std::move(A), std::move(denoiser), proximal, options.walk);
}

std::string DdnmOptions::why_invalid() const { return why_invalid_walk(ddnm_options, *this); }
std::unique_ptr<Estimator> make_ddnm(OperatorPtr A, DenoiserPtr denoiser,
                                     const DdnmOptions& options) {
  check("ddnm", options);
  ProximalOptions proximal;
  proximal.noise_free = !options.plus;
  proximal.noise_aware = options.plus;
  return proximal_walk(std::move(A), std::move(denoiser), proximal, options.walk);
}

std::string DdsOptions::why_invalid() const { return why_invalid_walk(dds_options, *this); }
std::unique_ptr<Estimator> make_dds(OperatorPtr A, DenoiserPtr denoiser,
                                    const DdsOptions& options) {
  check("dds", options);
  ProximalOptions proximal;
  proximal.dds_steps = options.cg_steps;
  proximal.dds_gamma = options.gamma;
  return proximal_walk(std::move(A), std::move(denoiser), proximal, options.walk);
}

std::string DmpsOptions::why_invalid() const { return why_invalid_walk(dmps_options, *this); }
std::unique_ptr<Estimator> make_dmps(OperatorPtr A, DenoiserPtr denoiser,
                                     const DmpsOptions& options) {
  check("dmps", options);
  return make_walk(make_flat_guidance(std::move(A), std::move(denoiser)), options.walk);
}

std::string PigdmOptions::why_invalid() const { return why_invalid_walk(pigdm_options, *this); }
std::unique_ptr<Estimator> make_pigdm(OperatorPtr A, DenoiserPtr denoiser,
                                      const PigdmOptions& options) {
  check("pigdm", options);
  GradientOptions gradient;
  gradient.legacy_weight = options.legacy_weight;
  return make_walk(make_gradient_guidance(std::move(A), std::move(denoiser), gradient),
                   options.walk);
}

std::string DpsOptions::why_invalid() const { return why_invalid_walk(dps_options, *this); }
std::unique_ptr<Estimator> make_dps(OperatorPtr A, DenoiserPtr denoiser,
                                    const DpsOptions& options) {
  check("dps", options);
  return make_walk(make_dps_guidance(std::move(A), std::move(denoiser), options.step),
                   options.walk);
}

std::string OpcOptions::why_invalid() const { return why_invalid_walk(opc_options, *this); }
std::unique_ptr<Estimator> make_opc(OperatorPtr A, DenoiserPtr denoiser,
                                    const OpcOptions& options) {
  check("opc", options);
  VarianceModel variance;
  variance.kind = options.variance;
  variance.lambda = options.lambda;
  if (options.above) {
    variance.above = *options.above;
    variance.switch_tau2 = options.switch_tau2;
  }
  variance.errors = options.errors;
  variance.n_rx = options.n_rx;
  variance.n_tx = options.n_tx;
  const bool fitted = denoiser && denoiser->sigma2_range().has_value();
  const bool derivative = uses_derivative(options.variance) ||
                          (options.above.has_value() && uses_derivative(*options.above));
  variance.cg_steps = options.cg_steps == 0 && fitted && derivative ? 5 : options.cg_steps;
  if (options.type == OpcType::gradient) {
    GradientOptions gradient;
    gradient.variance = variance;
    return make_walk(make_gradient_guidance(std::move(A), std::move(denoiser), gradient),
                     options.walk);
  }
  ProximalOptions proximal;
  proximal.variance = variance;
  return proximal_walk(std::move(A), std::move(denoiser), proximal, options.walk);
}

std::string FlowchefOptions::why_invalid() const {
  return why_invalid_walk(flowchef_options, *this);
}
std::unique_ptr<Estimator> make_flowchef(OperatorPtr A, DenoiserPtr denoiser,
                                         const FlowchefOptions& options) {
  check("flowchef", options);
  return make_walk(make_skip_gradient_guidance(std::move(A), std::move(denoiser), options.step),
                   options.walk);
}

std::string ScoreOptions::why_invalid() const { return score_options.why_invalid(*this); }
std::unique_ptr<Estimator> make_score(OperatorPtr A, DenoiserPtr denoiser,
                                      const ScoreOptions& options) {
  check("score", options);
  constexpr arma::uword published_levels = 2311, published_inner = 3;
  WalkOptions walk =
      walk_of(WalkUpdate::langevin, options.published ? published_levels : options.n_levels);
  walk.inner = options.published ? published_inner : options.inner;
  walk.langevin_step = options.step;
  walk.langevin_noise = options.noise;
  walk.n_runs = options.n_runs;
  return make_walk(make_flat_guidance(std::move(A), std::move(denoiser), true), walk);
}

}  // namespace v0
}  // namespace chest
