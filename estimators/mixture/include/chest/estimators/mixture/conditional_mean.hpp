#pragma once

#include <armadillo>

#include <chest/estimators/mixture/components.hpp>

namespace chest {
inline namespace v0 {

/// Columns of logarithms of weights, in place: columns of probabilities.
/// @return ln of the sums of the weights, [1, n_columns]
arma::rowvec normalise_log_weights(arma::mat& columns);

/// How much of each y is of each component: r_k(y_j) proportional to w_k CN(y_j; A m_k, S_k).
struct Responsibilities {
  arma::mat shares;          ///< r_k(y_j), [n_components, n_samples]; 0 where it leaves no trace
  arma::rowvec log_density;  ///< ln p(y_j) + n_obs ln pi, [n_samples]
};
/// @param y  as the level takes it, GmmComponents::observations()
Responsibilities responsibilities(const GmmLevel& level, const arma::vec& log_weights,
                                  const arma::cx_mat& y);

/// The columns in which component k has a share; one that is not a number is one too.
arma::uvec members_of(arma::uword k, const arma::mat& shares);

/// Calls visit(k, columns, h_k) for the columns of y that component k has a share in, [n_columns],
/// and their h_k, [n_h, n_columns]. Only where y has no columns, there are components with none.
template <class Visit>
void for_members(const GmmLevel& level, const arma::mat& shares, const arma::cx_mat& y,
                 Visit&& visit) {
  for (arma::uword k = 0; k < shares.n_rows; ++k) {
    const arma::uvec columns = members_of(k, shares);
    if (columns.is_empty() && y.n_cols > 0) continue;
    const bool all = columns.n_elem == y.n_cols;
    const arma::cx_mat some = all ? arma::cx_mat() : arma::cx_mat(y.cols(columns));
    visit(k, columns, level.conditional_means(k, all ? y : some));
  }
}

/// E[h | y] under a mixture, for estimators and denoisers (A = I) alike.
/// @param errors  level.errors(); empty: no mse is wanted
/// @param h       out: E[h | y] = sum_k r_k h_k, [n_h, n_samples], in the level's basis
/// @param mse     out: E[||h - E[h | y]||^2 | y], [n_samples], or empty
/// @return        ln p(y_j) + n_obs ln pi, [n_samples]
arma::rowvec conditional_mean(const GmmLevel& level, const arma::vec& log_weights,
                              const arma::cx_mat& y, const arma::vec& errors, arma::cx_mat& h,
                              arma::vec& mse);

}  // namespace v0
}  // namespace chest
