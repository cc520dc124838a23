#pragma once

#include <armadillo>
#include <memory>
#include <string>
#include <vector>

#include <chest/archive.hpp>
#include <chest/observation.hpp>

namespace chest {

/// tests/golden/estimators.h5, written by the NumPy script beside it.
struct EstimatorsGolden {
  ArchiveReader archive{std::string(CHEST_SOURCE_DIR) + "/tests/golden/estimators.h5"};
  static constexpr arma::uword n_rx = 5, n_tx = 4;
  const std::vector<std::string> pilot_cases{"identity", "dft", "few", "many"};
  const arma::vec sigma2{archive.read_all<double>("/sigma2")};

  arma::cx_mat cx(const std::string& name) const { return archive.read_cx_mat(name); }
  arma::vec real(const std::string& name) const {
    return arma::vec(archive.read_all<double>(name));
  }
  std::shared_ptr<const ObservationOperator> observation(const std::string& name) const {
    if (name == "identity") return make_identity_observation(n_rx, n_tx);
    if (name == "dense") return make_dense_observation(cx("/dense/A"));
    return make_kronecker_observation(cx("/" + name + "/P"), n_rx);
  }
};

}  // namespace chest
