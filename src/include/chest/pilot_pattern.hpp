#pragma once

#include <armadillo>
#include <memory>
#include <string>

#include <chest/grid.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

/// Which resource elements of a grid carry pilots, and what every port (transmit antenna) sends
/// there. In position p the receiver sees y_p = H(:, :, f_p, s_p) x(:, p) + n.
struct PilotPattern {
  GridAxes grid;
  /// Of each position, ascending by symbol, then by subcarrier; no element is there twice. [n]
  arma::uvec subcarrier, symbol;
  arma::cx_mat x;  ///< [n_tx, n]; 0: the port is silent there
  /// Positions with the same number hold the same code-division group (38.211: CDM group): ports
  /// that share them are told apart by orthogonal covers over the group. [n]
  arma::uvec group;
  /// Elements, symbol n_subcarriers + subcarrier, that are kept free of data beside the pilots' own (38.211:
  /// CDM groups without data); those of pilots may be among them.
  arma::uvec silent = {};

  arma::uword n_tx() const { return x.n_rows; }
  arma::uword n() const { return x.n_cols; }
  /// Mean |x|^2 of a port where it sends: the pilot energy per resource element.
  double energy() const;
  /// Empty when usable; otherwise one sentence.
  std::string why_invalid() const;
};

/// The pattern of ports that share no element.
/// @param x  what every port sends, [n_tx, n_subcarriers n_symbols], subcarriers fastest; 0: silent
/// @throws Error(invalid_argument) if x does not fit the grid or no pattern is usable
PilotPattern sent_pattern(const arma::cx_mat& x, const GridAxes& grid);

/// The observation of a pattern for n_rx receive antennas: y is [n_rx, n], a column per position
/// with n_rx fastest. Its pattern() is `pattern`.
/// @throws Error(invalid_argument) if the pattern is not usable or n_rx is 0
std::unique_ptr<ObservationOperator> make_grid_observation(const PilotPattern& pattern,
                                                           arma::uword n_rx,
                                                           const std::string& name = "pilots");

}  // namespace v0
}  // namespace chest
