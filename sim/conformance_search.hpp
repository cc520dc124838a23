#pragma once

#include <armadillo>
#include <cstdint>
#include <functional>
#include <optional>

#include <chest/sim/conformance.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// The throughput that passes, of the greatest.
inline constexpr double required_throughput = 0.7;
/// Transport blocks that are estimated together.
inline constexpr arma::uword conformance_group = 8;
/// Half the width of a 95 % interval in standard errors.
inline constexpr double two_sided_95 = 1.959963984540054;

/// Blocks of the coarse part of the search: an eighth of all.
arma::uword few_slots(arma::uword n_slots);
/// Thousandths of a dB, by which SNRs are told apart.
std::int64_t milli(double snr_db);

/// The sums of the first n transport blocks at an SNR; empty: not known.
using AskSums = std::function<std::optional<BlockSums>(double snr_db, arma::uword n)>;

/// Looks for the SNR of 70 % throughput of one row. What is asked for follows from the answers alone.
/// @param row  cell and estimator are set; the rest is filled
/// @return     false if an answer is not known
bool find_snr(arma::uword n_slots, const AskSums& ask, ConformanceRow& row);

/// Answers from the looks that are complete.
AskSums known_sums(const ConformanceResults& results, arma::uword i_row);
/// A row before its search.
ConformanceRow empty_row(const ConformanceResults& results, arma::uword i_row);
/// Fills `rows` and `finished` from the looks.
void find_rows(ConformanceResults& results);

}  // namespace sim
}  // namespace v0
}  // namespace chest
