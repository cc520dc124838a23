#pragma once

#include <armadillo>
#include <string>
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

}  // namespace v0
}  // namespace chest
