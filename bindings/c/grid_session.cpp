#include "grid_session.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <chest/error.hpp>
#include <chest/grid.hpp>
#include <chest/sim/pilots.hpp>

#include "views.hpp"

namespace chest_c_grid {
namespace {

using chest::Error;
using chest::ErrorKind;

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
/// Items of one noise level that are estimated together.
constexpr std::int64_t most_together = 16;

chest::PanelShape panel_of(const chest_grid& grid) {
  const bool any = grid.panel[0] > 0 || grid.panel[1] > 0 || grid.panel[2] > 0;
  if (!any) return {};
  const std::string text = std::to_string(grid.panel[0]) + "x" + std::to_string(grid.panel[1]) +
                           "x" + std::to_string(grid.panel[2]);
  const auto shape = chest::panel_from_text(text);
  if (shape && shape->n() == grid.n_rx) return *shape;
  throw Error(ErrorKind::invalid_argument, "grid: the panel is " + text +
                                               " (rows x columns x polarisations), n_rx is " +
                                               std::to_string(grid.n_rx));
}

}  // namespace

GridSession::GridSession(const chest::NamedOptions& spec, std::shared_ptr<chest::ModelStore> models,
                         const chest_grid& grid, const arma::cx_mat& x)
    : spec_(spec) {
  if (grid.n_rx == 0 || grid.n_tx == 0 || grid.n_subcarriers == 0 || grid.n_symbols == 0) {
    throw Error(ErrorKind::invalid_argument,
                "grid: it has no elements; expected n_rx, n_tx, n_subcarriers and n_symbols of 1 "
                "and more");
  }
  context_.n_rx = grid.n_rx;
  context_.n_tx = grid.n_tx;
  context_.grid.n_subcarriers = grid.n_subcarriers;
  context_.grid.n_symbols = grid.n_symbols;
  context_.grid.spacing_hz = grid.spacing_hz;
  context_.rx_panel = panel_of(grid);
  context_.engine = chest::NetworkEngine::onednn;
  context_.models = std::move(models);
  if (!context_.grid.is_grid()) {
    throw Error(ErrorKind::invalid_argument,
                "grid: one element is a matrix; estimate it without chest_session_grid");
  }
  if (!x.is_empty()) {
    pattern_ = chest::sent_pattern(x, context_.grid);
  } else {
    const double energy = grid.pilot_energy > 0.0F ? static_cast<double>(grid.pilot_energy) : 1.0;
    constexpr std::uint64_t seed = 1;
    pattern_ = *chest::sim::make_grid_pilots(chest::sim::parse_pilots(grid.pilots), grid.n_tx,
                                             context_.grid, seed, energy)
                    .pattern;
  }
  context_.A = chest::make_grid_observation(pattern_, grid.n_rx);
  estimator_ = chest::built_in().make(spec_, context_);
  values_.resize(std::max<std::size_t>(context_.A->n_h(), context_.A->n_obs()));
}

std::string GridSession::why_not(const chest_tensor& y, const chest_tensor* noise,
                                 const chest_tensor& h, const chest_tensor* err) const {
  const auto n_rx = static_cast<std::int64_t>(context_.n_rx),
             n_tx = static_cast<std::int64_t>(context_.n_tx),
             n_f = static_cast<std::int64_t>(context_.grid.n_subcarriers),
             n_s = static_cast<std::int64_t>(context_.grid.n_symbols);
  const std::string sizes = "rx = " + std::to_string(n_rx) + ", tx = " + std::to_string(n_tx) +
                            ", subcarrier = " + std::to_string(n_f) +
                            ", symbol = " + std::to_string(n_s);
  const unsigned b = y.rank == 4 ? 1 : 0;
  if ((y.rank != 3 && y.rank != 4) || y.dim[b] != n_rx || y.dim[b + 1] != n_f ||
      y.dim[b + 2] != n_s) {
    return "y does not fit; expected [batch, rx, subcarrier, symbol] or without the batch, " +
           sizes;
  }
  const std::int64_t n = n_items(y);
  const auto is_grid = [&](const chest_tensor& view) {
    return view.rank == 4 + b && (b == 0 || view.dim[0] == n) && view.dim[b] == n_rx &&
           view.dim[b + 1] == n_tx && view.dim[b + 2] == n_f && view.dim[b + 3] == n_s;
  };
  if (!is_grid(h)) {
    return "h_hat does not fit; expected [batch, rx, tx, subcarrier, symbol], the batch as y has "
           "it, " +
           sizes;
  }
  if (err && !is_grid(*err) && !(err->rank == 0 && n == 1) &&
      !(err->rank == 1 && err->dim[0] == n)) {
    return "err_var does not fit " + std::to_string(n) +
           " items; expected [batch] or the axes of h_hat, " + sizes;
  }
  if (noise && noise->rank == 1 && noise->dim[0] != n) {
    return "noise_var has " + std::to_string(noise->dim[0]) + " items, y has " + std::to_string(n);
  }
  return {};
}

const chest::Estimator& GridSession::estimator_for(double sigma2) {
  if (!std::isnan(sigma2)) return *estimator_;
  if (!blind_) {
    chest::NamedOptions spec = spec_;
    spec.options.emplace("snr", "unknown");
    blind_ = chest::built_in().make(spec, context_);
  }
  return *blind_;
}

GridOutcome GridSession::estimate(const chest_tensor& y, const chest_tensor* noise,
                                  const chest_tensor& h, const chest_tensor* err) {
  using chest_views::scale_of;
  GridOutcome out;
  const std::int64_t n = n_items(y);
  const unsigned b = y.rank == 4 ? 1 : 0;
  const auto n_rx = static_cast<std::int64_t>(context_.n_rx);
  const auto noise_of = [&](std::int64_t k) {
    return noise ? chest_views::real_at(*noise, noise->rank == 1 ? k * noise->stride[0] : 0)
                 : unknown;
  };
  for (std::int64_t first = 0, end = 0; first < n; first = end) {
    const double sigma2 = noise_of(first);
    for (end = first + 1; end < n && end - first < most_together; ++end) {
      const double next = noise_of(end);
      if (next != sigma2 && !(std::isnan(next) && std::isnan(sigma2))) break;
    }
    observation_.sigma2 = std::isnan(sigma2) ? 1.0 : sigma2;
    observation_.per_element = err != nullptr;
    observation_.y.set_size(context_.A->n_obs(), static_cast<arma::uword>(end - first));
    std::vector<bool> good(static_cast<std::size_t>(end - first));
    for (std::int64_t k = first; k < end; ++k) {
      std::complex<double>* column = observation_.y.colptr(static_cast<arma::uword>(k - first));
      const std::int64_t item = b == 1 ? k * y.stride[0] : 0;
      double power = 0.0;
      for (arma::uword p = 0; p < pattern_.n(); ++p) {
        const std::int64_t at =
            item + static_cast<std::int64_t>(pattern_.subcarrier(p)) * y.stride[b + 1] +
            static_cast<std::int64_t>(pattern_.symbol(p)) * y.stride[b + 2];
        chest_views::gather(y, at, n_rx, y.stride[b], 1, 0, scale_of(y), values_.data());
        for (std::int64_t r = 0; r < n_rx; ++r) {
          *column = std::complex<double>(values_[static_cast<std::size_t>(r)]);
          power += std::norm(*column++);
        }
      }
      good[static_cast<std::size_t>(k - first)] = chest_views::can_be_estimated(power);
      if (!chest_views::can_be_estimated(power)) {
        observation_.y.col(static_cast<arma::uword>(k - first)).ones();
      }
    }
    estimator_for(sigma2).estimate(observation_, found_);
    for (std::int64_t k = first; k < end; ++k) {
      const auto column = static_cast<arma::uword>(k - first);
      const bool fine = good[column] && found_.h.col(column).is_finite();
      if (!fine && out.n_bad++ == 0) out.first_bad = k;
      put(h, err, k, column, fine);
    }
    out.nfe += found_.nfe * static_cast<std::uint64_t>(end - first);
    out.last_nfe = static_cast<unsigned>(found_.nfe);
    out.last_sigma2 = found_.sigma2.is_empty() ? sigma2 : found_.sigma2.back();
  }
  return out;
}

void GridSession::put(const chest_tensor& h, const chest_tensor* err, std::int64_t item,
                      arma::uword column, bool good) {
  using chest_views::scale_of;
  const unsigned b = h.rank == 5 ? 1 : 0;
  const auto n_rx = static_cast<std::int64_t>(context_.n_rx),
             n_tx = static_cast<std::int64_t>(context_.n_tx);
  const arma::uword n_f = context_.grid.n_subcarriers, n_s = context_.grid.n_symbols;
  const std::int64_t base = b == 1 ? item * h.stride[0] : 0;
  const arma::uword n_pairs = context_.n_rx * context_.n_tx;
  for (arma::uword e = 0; e < n_f * n_s; ++e) {
    for (arma::uword i = 0; i < n_pairs; ++i) {
      const std::complex<double> value =
          good ? found_.h(e * n_pairs + i, column) : std::complex<double>(unknown, unknown);
      values_[i] = std::complex<float>(value);
    }
    const std::int64_t at = base + static_cast<std::int64_t>(e % n_f) * h.stride[b + 2] +
                            static_cast<std::int64_t>(e / n_f) * h.stride[b + 3];
    chest_views::scatter(h, at, n_rx, h.stride[b], n_tx, h.stride[b + 1], 1.0 / scale_of(h),
                         values_.data());
  }
  if (!err) return;
  const bool known = good && !found_.element_mse.is_empty();
  if (err->rank < 4) {
    const double mean = known ? arma::mean(found_.element_mse.col(column)) : unknown;
    chest_views::put_real(*err, err->rank == 1 ? item * err->stride[0] : 0, mean);
    return;
  }
  const std::int64_t err_base = b == 1 ? item * err->stride[0] : 0;
  for (arma::uword e = 0; e < n_f * n_s; ++e) {
    for (std::int64_t t = 0; t < n_tx; ++t) {
      const double value =
          known ? found_.element_mse(e * context_.n_tx + static_cast<arma::uword>(t), column)
                : unknown;
      for (std::int64_t r = 0; r < n_rx; ++r) {
        chest_views::put_real(*err,
                              err_base + r * err->stride[b] + t * err->stride[b + 1] +
                                  static_cast<std::int64_t>(e % n_f) * err->stride[b + 2] +
                                  static_cast<std::int64_t>(e / n_f) * err->stride[b + 3],
                              value);
      }
    }
  }
}

}  // namespace chest_c_grid
