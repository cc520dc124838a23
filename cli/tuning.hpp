#pragma once

#include <armadillo>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <chest/estimators/diffusion/solver_table.hpp>

namespace chest {
inline namespace v0 {
namespace cli {

/// One parameter of a method, or several that belong together, and the values to try, the first to start with. Each is
/// written as options: "walk=fresh,zeta=0.3"; empty: the method's own default.
struct Parameter {
  std::vector<std::string> values;
  /// Of one number: after the list, values between its neighbours are tried as well.
  bool refine = false;
};

/// What is searched of one method at one budget.
struct TuningGrid {
  std::vector<Parameter> parameters;
};

/// TuningBudget::ours: what dmse's own candidates keep to.
constexpr arma::uword most_calls_of_ours = 50;

/// The methods that can be tuned.
std::vector<std::string> tunable_methods();
/// @throws Error(invalid_argument) if the method cannot be tuned
TuningGrid tuning_grid(const std::string& method, TuningBudget budget);

/// Errors of estimators that are written as on the command line, in their order; the less, the better.
using Trial = std::function<std::vector<double>(const std::vector<std::string>& estimators)>;

/// The best that a search found: twice all parameters one after the other, each with the best of the others, then those
/// marked `refine` at 1.6 times and 1 / 1.6 of the best value.
/// @return  the estimator and its error
std::pair<std::string, double> tune(const std::string& method, const TuningGrid& grid,
                                    const Trial& trial);

}  // namespace cli
}  // namespace v0
}  // namespace chest
