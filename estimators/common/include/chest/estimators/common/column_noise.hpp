#pragma once

#include <armadillo>
#include <cmath>
#include <cstdint>
#include <vector>

#include <chest/estimators/common/estimator.hpp>
#include <chest/random.hpp>

namespace chest {
inline namespace v0 {

/// Random numbers for each column of an observation, keyed by its seed and the column's sample number:
/// a batch is its columns one by one, and another rounding of y draws the same.
class ColumnNoise {
 public:
  /// @param run  tells apart several draws for one observation
  explicit ColumnNoise(const Observation& observation, std::uint64_t run = 0) {
    rngs_.reserve(observation.y.n_cols);
    for (arma::uword k = 0; k < observation.y.n_cols; ++k) {
      rngs_.emplace_back(observation.seed, Stream{Purpose::estimator, observation.sample(k), run});
    }
  }

  Rng& of(arma::uword k) { return rngs_[k]; }
  arma::uword size() const { return rngs_.size(); }

  /// z.col(k) += sqrt(variance) CN(0, I).
  void add_to(arma::cx_mat& z, double variance) {
    const double scale = std::sqrt(variance);
    for (arma::uword k = 0; k < z.n_cols; ++k) {
      for (arma::cx_double& value : z.col(k)) value += scale * rngs_[k].cx_normal();
    }
  }

 private:
  std::vector<Rng> rngs_;
};

}  // namespace v0
}  // namespace chest
