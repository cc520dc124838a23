#include "calibration.hpp"

#include <iomanip>
#include <ostream>

#include <chest/metrics.hpp>

namespace chest::cli {

void print(const Calibration& calibration, std::ostream& out) {
  const auto flags = out.flags();
  const auto precision = out.precision();
  out << std::fixed << std::setprecision(2);
  for (arma::uword i = 0; i < calibration.snr_db.n_elem; ++i) {
    out << "  " << std::setw(6) << calibration.snr_db(i) << " dB: " << calibration.n_steps(i)
        << " calls, NMSE " << to_db(calibration.mse(i)) << " dB";
    if (!calibration.mse_ratio.is_empty()) {
      out << ", measured / predicted error " << calibration.mse_ratio(i);
    }
    out << '\n';
  }
  out.flags(flags);
  out.precision(precision);
}

}  // namespace chest::cli
