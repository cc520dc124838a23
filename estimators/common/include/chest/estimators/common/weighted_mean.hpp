#pragma once

#include <functional>
#include <memory>

#include <chest/estimators/common/estimator.hpp>

namespace chest {
inline namespace v0 {

/// (1 - w) a + w b of the estimates of two estimators whose errors differ: with e_a and e_b the squared
/// errors and d = ||h_a - h_b||^2, that of the mean is (1 - w) e_a + w e_b - w (1 - w) d for any h, least at
/// w = (e_a - e_b + d) / 2 d.
///
/// The predicted error is (1 - w) e_a + w e_b of what both predict, an upper bound where these are right. At
/// w = 0 only a runs, at 1 only b.
///
/// @param weight  w of b, 0 .. 1, by sigma2
/// @throws Error(invalid_argument) if a or b is null or their A differ in size
std::unique_ptr<Estimator> make_weighted_mean(std::shared_ptr<const Estimator> a,
                                              std::shared_ptr<const Estimator> b,
                                              std::function<double(double)> weight);

}  // namespace v0
}  // namespace chest
