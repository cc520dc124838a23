#pragma once

#include <armadillo>
#include <string>
#include <utility>
#include <vector>

namespace chest {
inline namespace v0 {

/// The solver that validation channels found best, per SNR, for one pilot matrix.
struct SolverChoice {
  std::string pilots;                ///< name, for messages: "qpsk:8"
  arma::cx_mat P;                    ///< [n_tx, n_pilots]
  arma::vec snr_db;                  ///< ascending
  std::vector<std::string> solvers;  ///< as they are written on the command line, one per SNR
  arma::vec mse;                     ///< E||h_hat - h||^2 / n_h seen there

  /// The solver at a noise level: that of the nearest SNR.
  const std::string& at(double sigma2) const;
};

/// Choices for several pilot matrices.
struct SolverTable {
  std::vector<SolverChoice> choices;

  bool empty() const { return choices.empty(); }
  /// The choice for the pilots most like P, null when there is none for as many transmit antennas.
  /// Alike are pilots with near singular values, and near energies in the directions of the angular
  /// domain: another draw of random pilots is, another number of them is not.
  const SolverChoice* nearest(const arma::cx_mat& P) const;
  /// Adds a choice, or replaces that of the same pilots.
  void put(SolverChoice choice);
  /// Empty when usable; otherwise one sentence naming what does not fit.
  std::string why_invalid() const;
};

/// How many calls a method may make while its parameters are chosen.
enum class TuningBudget {
  ours,      ///< at most the 50 calls that dmse's own choice makes
  published  ///< as many as where the method was published
};
inline constexpr std::pair<TuningBudget, const char*> tuning_budget_names[] = {
    {TuningBudget::ours, "ours"}, {TuningBudget::published, "published"}};

/// A method with the parameters that validation channels found best, per pilots and SNR.
struct TunedMethod {
  std::string method;  ///< its name in the catalog: "pigdm"
  TuningBudget budget = TuningBudget::ours;
  SolverTable table;  ///< its solvers are the method with options
};

/// Tuned methods, one for each name and budget.
struct TunedMethods {
  std::vector<TunedMethod> methods;

  /// Null when it was not tuned.
  const SolverTable* find(const std::string& method, TuningBudget budget) const;
  /// The table of a method, empty when it was not tuned.
  SolverTable& at(const std::string& method, TuningBudget budget);
};

}  // namespace v0
}  // namespace chest
