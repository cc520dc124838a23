#pragma once

#include <cmath>
#include <optional>
#include <sstream>
#include <string>

#include <chest/error.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/metrics.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

/// @throws Error(invalid_argument) if A is null
inline void check_given(const std::string& who, const ObservationOperator* A) {
  if (A == nullptr) throw Error(ErrorKind::invalid_argument, who + ": A is not given");
}

/// For estimators that know the arrays behind the entries of h.
/// @throws Error(invalid_argument) if A is null or not for channels [n_rx, n_tx]
inline void check_arrays(const std::string& who, const ObservationOperator* A, arma::uword n_rx,
                         arma::uword n_tx) {
  check_given(who, A);
  const bool fits = A->pilots() == nullptr || A->pilots()->n_rows == n_tx;
  if (n_rx == 0 || n_tx == 0 || A->n_h() != n_rx * n_tx || !fits) {
    throw Error(ErrorKind::invalid_argument, who + ": the channels are " + std::to_string(n_rx) +
                                                 "x" + std::to_string(n_tx) + ", A (" + A->name() +
                                                 ") is not for such channels");
  }
}

/// The pilots of a grid.
/// @throws Error(invalid_argument) if A is null or not the observation of a grid
inline const PilotPattern& pattern_of(const std::string& who, const ObservationOperator* A) {
  check_given(who, A);
  if (const PilotPattern* pattern = A->pattern()) return *pattern;
  throw Error(ErrorKind::invalid_argument,
              who + ": A (" + A->name() + ") is not the observation of a grid");
}

/// c of A^H A = c I.
/// @throws Error(invalid_argument) if A is null or A^H A is not a multiple of I
inline double decorrelation_gain(const std::string& who, const ObservationOperator* A) {
  check_given(who, A);
  if (const std::optional<double> gain = A->gram_scale()) return *gain;
  const std::string n_tx = A->pilots() ? std::to_string(A->pilots()->n_rows) : std::string("n_tx");
  throw Error(ErrorKind::invalid_argument,
              who + ": A (" + A->name() +
                  ") does not decorrelate, A^H A must be a multiple of I: " + "use " + n_tx +
                  " or more orthogonal pilots (dft, hadamard, zadoff-chu), or the " +
                  "estimator lmmse, which takes any pilots");
}

/// Empty, or the warning that a noise level lies outside the range that a prior was fitted for.
inline std::string outside_fitted_range(double sigma2, double lowest, double highest) {
  // The ends of a schedule are rounded values of round SNRs: 40 dB lies inside "40 dB".
  constexpr double slack = 1.01;
  if (sigma2 * slack >= lowest && sigma2 <= highest * slack) return {};
  const auto db_text = [](double level) {
    std::ostringstream text;
    text.precision(3);
    text << -to_db(level) << " dB";
    return text.str();
  };
  return "the effective SNR of " + db_text(sigma2) + " lies outside the " + db_text(highest) +
         " to " + db_text(lowest) + " that the prior was fitted for: expect a larger error";
}

}  // namespace v0
}  // namespace chest
