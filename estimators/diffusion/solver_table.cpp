#include <chest/estimators/diffusion/solver_table.hpp>

#include <utility>

#include <chest/angular.hpp>
#include <chest/metrics.hpp>

namespace chest {
inline namespace v0 {
namespace {

/// What solvers see of pilots: squared singular values and energies per angle, both sorted.
arma::vec features(const arma::cx_mat& P) {
  arma::vec singular = arma::square(arma::svd(P));
  singular.resize(P.n_rows);
  const arma::vec energies =
      arma::sort(arma::sum(arma::square(arma::abs(dft_matrix(P.n_rows) * P)), 1).eval(), "descend");
  return arma::join_cols(singular, energies);
}

}  // namespace

const std::string& SolverChoice::at(double sigma2) const {
  return solvers[arma::index_min(arma::abs(snr_db + to_db(sigma2)))];
}

const SolverChoice* SolverTable::nearest(const arma::cx_mat& P) const {
  const SolverChoice* found = nullptr;
  double least = arma::datum::inf;
  const arma::vec wanted = features(P);
  for (const SolverChoice& choice : choices) {
    if (choice.P.n_rows != P.n_rows) continue;
    const double distance = arma::norm(features(choice.P) - wanted);
    if (distance < least) {
      least = distance;
      found = &choice;
    }
  }
  return found;
}

void SolverTable::put(SolverChoice choice) {
  for (SolverChoice& each : choices) {
    if (each.P.n_rows == choice.P.n_rows && each.P.n_cols == choice.P.n_cols &&
        arma::approx_equal(each.P, choice.P, "absdiff", 0.0)) {
      each = std::move(choice);
      return;
    }
  }
  choices.push_back(std::move(choice));
}

std::string SolverTable::why_invalid() const {
  for (const SolverChoice& choice : choices) {
    const arma::uword n = choice.snr_db.n_elem;
    if (n == 0 || choice.solvers.size() != n || choice.mse.n_elem != n) {
      return "solvers for " + choice.pilots + ": " + std::to_string(n) + " SNRs, " +
             std::to_string(choice.solvers.size()) + " solvers and " +
             std::to_string(choice.mse.n_elem) + " errors, the numbers must be equal";
    }
    if (!choice.snr_db.is_finite() || !choice.snr_db.is_sorted("strictascend")) {
      return "solvers for " + choice.pilots + ": the SNRs do not ascend";
    }
    if (choice.P.is_empty() || !choice.P.is_finite()) {
      return "solvers for " + choice.pilots + ": the pilots are empty or not finite";
    }
  }
  return {};
}

const SolverTable* TunedMethods::find(const std::string& method, TuningBudget budget) const {
  for (const TunedMethod& each : methods) {
    if (each.method == method && each.budget == budget) return &each.table;
  }
  return nullptr;
}

SolverTable& TunedMethods::at(const std::string& method, TuningBudget budget) {
  for (TunedMethod& each : methods) {
    if (each.method == method && each.budget == budget) return each.table;
  }
  methods.push_back({method, budget, {}});
  return methods.back().table;
}

}  // namespace v0
}  // namespace chest
