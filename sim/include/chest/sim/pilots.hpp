#pragma once

#include <armadillo>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <chest/grid.hpp>
#include <chest/observation.hpp>
#include <chest/pilot_pattern.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// Which pilots are sent: Y = H P + N with P [n_tx, n_pilots].
enum class PilotKind {
  identity,    ///< P = I: y = h + n, the convention of the DMSE papers
  dft,         ///< rows (n_pilots >= n_tx) or spread columns (n_pilots < n_tx) of a DFT matrix
  hadamard,    ///< a cut of Sylvester's matrix
  zadoff_chu,  ///< cyclic shifts of one root sequence, constant modulus
  qpsk,        ///< random QPSK from the seed; qpsk:8 is the first half of qpsk:16
  file,        ///< a matrix stored in an HDF5 file, or what is sent on a grid; taken as it is
  comb,        ///< on a grid: every K-th subcarrier of some symbols, a comb per port
  block,       ///< on a grid: all subcarriers of some symbols, which the ports take in turn
  dmrs         ///< on a grid: the demodulation reference signals of 5G (chest/sim/dmrs.hpp)
};

/// A choice of pilots as written on the command line.
struct PilotSpec {
  PilotKind kind = PilotKind::identity;
  arma::uword n_pilots = 0;    ///< pilot slots; 0: n_tx
  std::filesystem::path file;  ///< for PilotKind::file
  std::string dataset;         ///< inside the file; empty: the only complex matrix there
  std::string text;            ///< of pilots on a grid, as given: "comb:4,symbols=2-11"

  bool is_grid() const {
    return kind == PilotKind::comb || kind == PilotKind::block || kind == PilotKind::dmrs;
  }
};

/// Reads "dft", "dft:16", "hadamard:16", "zadoff-chu:17", "qpsk:8", "identity", "file=P.h5",
/// "file=P.h5:dataset", or pilots of a grid, "comb:4,symbols=2-11".
/// @throws Error(invalid_argument) naming the nearest kind, or the number of pilots that is not in
///         1 .. 4096
PilotSpec parse_pilots(const std::string& text);
/// Splits "dft:4,file=a.h5" at its commas; "key=value" belongs to the item before it. A comma inside a file name is seen where there is such a
/// file, and in quotes: file="a,b.h5".
/// @throws Error(invalid_argument) as parse_pilots()
std::vector<PilotSpec> parse_pilots_list(const std::string& text);

/// Pilots in use, with the name that results carry.
struct Pilots {
  std::string name;       ///< "dft:16"
  bool identity = false;  ///< A = I exactly
  arma::cx_mat P;         ///< [n_tx, n_pilots]; on a grid PilotPattern::x
  std::shared_ptr<const PilotPattern> pattern = {};  ///< of a grid; else null

  arma::uword n_pilots() const { return P.n_cols; }
  /// Mean squared singular value of A: ||P||_F^2 / n_tx, the pilot energy that each transmit
  /// antenna sends. The effective SNR is gain() / sigma2: for n_pilots >= n_tx orthogonal pilots of
  /// unit power the decorrelated observation h + n' has the noise variance sigma2 n_tx / n_pilots
  /// = sigma2 / gain(); for other pilots it is the mean over all directions of h. On a grid
  /// PilotPattern::energy().
  double gain() const;
};

/// Pilots on a grid: kind and options, "comb:4,symbols=2-11".
///
///   comb:K[,symbols=S-S..][,offset=N]  port t on subcarriers offset + t + i K, K >= n_tx
///   block[:symbols=S-S..]              port t on all subcarriers of the t-th, (t + n_tx)-th .. symbol
///   dmrs[:type=1|2][,length=1|2][,symbols=S-S.. | ,position=2|3,additional=N,duration=N]
///       [,ports=P-P..][,groups=N][,id=N][,scid=N][,slot=N][,start=RB]  as DmrsOptions
///   file=P.h5[:DATASET]                what every port sends, [n_tx, n_subcarriers, n_symbols], 0:
///                                      silent; each element is a group of its own
///
/// Symbols are counted from 0 (default 0; of dmrs: position 2). Pilots of combs and blocks are QPSK from
/// the seed. All have the energy `pilot_energy`, times `groups` of dmrs; those of a file are multiplied
/// by its root.
/// @throws Error(invalid_argument) if they do not fit the grid;  Error(io), Error(format) from the file
Pilots make_grid_pilots(const PilotSpec& spec, arma::uword n_tx, const GridAxes& grid,
                        std::uint64_t seed, double pilot_energy = 1.0);

/// Builds P with columns of power `pilot_power`. For n_pilots >= n_tx the rows of dft and
/// zadoff-chu, and those of hadamard when n_pilots is a power of two, are orthogonal: P P^H =
/// gain() I. A matrix from a file is multiplied by sqrt(pilot_power) and otherwise left as it is.
///
/// @param seed  of qpsk pilots: Rng(seed, Purpose::pilots)
/// @throws Error(invalid_argument) if a stored matrix has not n_tx rows, identity has a number of
///         pilots other than n_tx, or the power is not positive;  Error(io), Error(format) from the
///         file
Pilots make_pilots(const PilotSpec& spec, arma::uword n_tx, std::uint64_t seed,
                   double pilot_power = 1.0);

/// A = P^T kron I_{n_rx}; the identity observation for identity pilots; that of the pattern on a
/// grid.
std::unique_ptr<ObservationOperator> make_observation(const Pilots& pilots, arma::uword n_rx);

}  // namespace sim
}  // namespace v0
}  // namespace chest
