#pragma once

#include <complex>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/catalog/model_store.hpp>
#include <chest/estimators/common/estimator.hpp>
#include <chest/pilot_pattern.hpp>
#include <chest/spec.hpp>

#include "chest.h"

namespace chest_c_grid {

/// What a call came to.
struct GridOutcome {
  std::int64_t n_bad = 0, first_bad = 0;  ///< items that became NaN
  std::uint64_t nfe = 0;                  ///< of all items
  unsigned last_nfe = 0;
  double last_sigma2 = 0.0;
};

/// An estimator of one pilot pattern on an OFDM grid behind the views of a caller.
class GridSession {
 public:
  /// @param x  what every port sends, [n_tx, n_subcarriers n_symbols], subcarriers fastest; empty: grid.pilots
  /// @throws chest::Error
  GridSession(const chest::NamedOptions& spec, std::shared_ptr<chest::ModelStore> models,
              const chest_grid& grid, const arma::cx_mat& x);

  /// Why the views, which are well formed, do not fit; empty: they do.
  std::string why_not(const chest_tensor& y, const chest_tensor* noise, const chest_tensor& h,
                      const chest_tensor* err) const;
  static std::int64_t n_items(const chest_tensor& y) { return y.rank == 4 ? y.dim[0] : 1; }
  GridOutcome estimate(const chest_tensor& y, const chest_tensor* noise, const chest_tensor& h,
                       const chest_tensor* err);

 private:
  const chest::Estimator& estimator_for(double sigma2);
  void put(const chest_tensor& h, const chest_tensor* err, std::int64_t item, arma::uword column,
           bool good);

  chest::NamedOptions spec_;
  chest::EstimatorContext context_;
  chest::PilotPattern pattern_;
  std::shared_ptr<const chest::Estimator> estimator_, blind_;
  chest::Observation observation_;
  chest::Estimate found_;
  std::vector<std::complex<float>> values_;
};

}  // namespace chest_c_grid
