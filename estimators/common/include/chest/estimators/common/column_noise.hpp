#pragma once

#include <armadillo>
#include <cmath>
#include <cstdint>
#include <vector>

#include <chest/random.hpp>

namespace chest {

/// Random numbers for each column of an observation that depend on the column itself, so that a
/// batch is its columns one by one.
class ColumnNoise {
 public:
  ColumnNoise(std::uint64_t seed, const arma::cx_mat& y, std::uint64_t run) {
    rngs_.reserve(y.n_cols);
    for (arma::uword k = 0; k < y.n_cols; ++k) {
      rngs_.emplace_back(seed, Stream{Purpose::estimator, hash(y, k), run});
    }
  }

  Rng& of(arma::uword k) { return rngs_[k]; }

  /// z.col(k) += sqrt(variance) CN(0, I).
  void add_to(arma::cx_mat& z, double variance) {
    const double scale = std::sqrt(variance);
    for (arma::uword k = 0; k < z.n_cols; ++k) {
      for (arma::cx_double& value : z.col(k)) value += scale * rngs_[k].cx_normal();
    }
  }

 private:
  // FNV-1a over the column's bytes.
  static std::uint64_t hash(const arma::cx_mat& y, arma::uword k) {
    std::uint64_t h = 1469598103934665603u;
    const auto* bytes = reinterpret_cast<const unsigned char*>(y.colptr(k));
    for (std::size_t i = 0; i < y.n_rows * sizeof(arma::cx_double); ++i) {
      h = (h ^ bytes[i]) * 1099511628211u;
    }
    return h;
  }

  std::vector<Rng> rngs_;
};

}  // namespace chest
