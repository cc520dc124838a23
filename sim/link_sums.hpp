#pragma once

#include <armadillo>

#include <chest/sim/statistics.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// The sums of one series of a link run behind its ErrorSums, as a view.
struct LinkSums {
  LinkSums(const double* all, arma::uword n_streams_in)
      : values(all + ErrorSums::count), n_streams(n_streams_in) {}

  static constexpr arma::uword count(arma::uword n_streams) {
    return ErrorSums::count + 3 + n_streams;
  }
  double symbol_errors() const { return values[0]; }
  double bit_errors() const { return values[1]; }
  /// Sum over channels of the squared number of bit errors in a channel.
  double bit_errors_squared() const { return values[2]; }
  /// Sum of bit_loss over all bits of a stream.
  double loss(arma::uword i_stream) const { return values[3 + i_stream]; }

  const double* values;
  arma::uword n_streams;
};

struct LinkFigures {
  double ser, ber;
  Interval ber_interval;
  double rate;  ///< bits per channel use, all streams
};
LinkFigures link_figures(const LinkSums& sums, double n_channels, double symbols_per_channel,
                         unsigned bits_per_symbol);

}  // namespace sim
}  // namespace v0
}  // namespace chest
