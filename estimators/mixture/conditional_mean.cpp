#include <chest/estimators/mixture/conditional_mean.hpp>

#include <cmath>
#include <utility>

namespace chest {
inline namespace v0 {
namespace {

// Components that count less than this leave no trace in double precision.
constexpr double negligible_posterior = 1e-17;

}  // namespace

arma::rowvec normalise_log_weights(arma::mat& columns) {
  arma::rowvec log_sums(columns.n_cols, arma::fill::none);
  for (arma::uword j = 0; j < columns.n_cols; ++j) {
    auto column = columns.col(j);
    const double largest = column.max();
    column = arma::exp(column - largest);
    const double sum = arma::accu(column);
    column /= sum;
    log_sums(j) = largest + std::log(sum);
  }
  return log_sums;
}

Responsibilities responsibilities(const GmmLevel& level, const arma::vec& log_weights,
                                  const arma::cx_mat& y) {
  Responsibilities out;
  if (y.n_cols == 0) {  // a matrix without columns has no rows to write to
    out.shares.set_size(log_weights.n_elem, 0);
    return out;
  }
  out.shares = level.log_densities(y);
  out.shares.each_col() += log_weights;
  out.log_density = normalise_log_weights(out.shares);
  out.shares.clean(negligible_posterior);
  return out;
}

arma::uvec members_of(arma::uword k, const arma::mat& shares) {
  if (shares.n_cols == 0) return {};
  arma::uvec columns(shares.n_cols, arma::fill::none);
  arma::uword n = 0;
  for (arma::uword j = 0; j < shares.n_cols; ++j) {
    if (!(shares(k, j) <= 0.0)) columns(n++) = j;
  }
  return columns.head(n);
}

arma::rowvec conditional_mean(const GmmLevel& level, const arma::vec& log_weights,
                              const arma::cx_mat& y, const arma::vec& errors, arma::cx_mat& h,
                              arma::vec& mse) {
  Responsibilities of = responsibilities(level, log_weights, y);
  mse.zeros(errors.is_empty() ? 0 : y.n_cols);
  // Components are added one by one to the mean and to the spread about it: one h_k is held at a
  // time, and no large number is subtracted from another.  Source: [West1979]
  arma::rowvec so_far(y.n_cols, arma::fill::zeros);
  bool first = true;
  for_members(level, of.shares, y,
              [&](arma::uword k, const arma::uvec& columns, const arma::cx_mat& h_k) {
                if (first) h.zeros(h_k.n_rows, y.n_cols);
                first = false;
                for (arma::uword i = 0; i < columns.n_elem; ++i) {
                  const arma::uword j = columns(i);
                  const double share = of.shares(k, j), total = so_far(j) + share;
                  const arma::cx_double* from = h_k.colptr(i);
                  arma::cx_double* mean = h.colptr(j);
                  double distance = 0.0;
                  for (arma::uword row = 0; row < h_k.n_rows; ++row) {
                    const arma::cx_double step = from[row] - mean[row];
                    distance += std::norm(step);
                    mean[row] += (share / total) * step;
                  }
                  if (!mse.is_empty()) {
                    mse(j) += share * (errors(k) + so_far(j) / total * distance);
                  }
                  so_far(j) = total;
                }
              });
  return std::move(of.log_density);
}

}  // namespace v0
}  // namespace chest
