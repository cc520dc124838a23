#pragma once

#include <armadillo>
#include <cstdint>
#include <vector>

#include <chest/grid.hpp>
#include <chest/pilot_pattern.hpp>
#include <chest/sim/coding/scrambling.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// Demodulation reference signals of 5G: PUSCH without transform precoding and, in all that is said
/// here, PDSCH. Symbols and ports are counted from 0; a port is the standard's less 1000.
struct DmrsOptions {
  /// 1: port on every second subcarrier, 4 ports per symbol; 2: on two of six, 6 ports per symbol.
  arma::uword type = 1;
  /// Symbols in a row; 2 doubles the ports.
  arma::uword length = 1;
  /// The first symbol of each row, ascending; empty: from position, additional and duration by the
  /// tables for mapping type A, in every slot of 14 symbols.
  std::vector<arma::uword> symbols;
  arma::uword position = 2;    ///< of the first row: 2 or 3
  arma::uword additional = 0;  ///< rows behind the first, at most; 0 .. 3, in double rows 0 .. 1
  arma::uword duration = 0;    ///< symbols of a slot that are sent, 4 .. 14; 0: those of the grid
  /// The port of each transmit antenna; empty: 0, 1, 2 ...
  std::vector<arma::uword> ports;
  /// Code-division groups that carry no data, 1 .. 3 (type 1: 1 .. 2): the power that they leave goes
  /// to the pilots, 0, 3 or 4.77 dB. 0: not said, no more power.
  arma::uword groups = 0;
  arma::uword n_id = 0;    ///< N_ID, 0 .. 65535
  arma::uword n_scid = 0;  ///< n_SCID, 0 .. 1
  arma::uword slot = 0;    ///< number of the grid's first slot in its frame
  arma::uword start = 0;   ///< common resource block of the grid's first subcarrier
};

/// The pattern of these signals on a grid: in element (k, l) port p sends
///
///   sqrt(energy groups) w_f(k') w_t(l') r(2 n + k'),   k = 4 n + 2 k' + D (type 1), 6 n + k' + D (type 2)
///
/// with the QPSK sequence r of the symbol l. Elements k' = 0, 1 of a pair, in both symbols of a double
/// row, are one group of PilotPattern::group. Pairs that the grid cuts are left out.
/// @param energy  per resource element and port, before `groups`
/// @throws Error(invalid_argument) if an option is out of its range, there are more antennas than
///         ports, or symbols are outside the grid
/// Source: 3GPP TS 38.211, 6.4.1.1 (PUSCH), 7.4.1.1 (PDSCH); power: TS 38.214, table 6.2.2-1
PilotPattern make_dmrs_pattern(const DmrsOptions& options, arma::uword n_tx, const GridAxes& grid,
                               double energy = 1.0);

}  // namespace sim
}  // namespace v0
}  // namespace chest
