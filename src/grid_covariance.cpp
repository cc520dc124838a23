#include <chest/grid_covariance.hpp>

#include <algorithm>
#include <cmath>

#include <chest/covariance.hpp>
#include <chest/error.hpp>

namespace chest {
inline namespace v0 {
namespace {

const std::string covariance_group = "/grid_covariance";

arma::cx_mat joined(const std::vector<const arma::cx_mat*>& parts, arma::uword n_rows) {
  arma::uword n_cols = 0;
  for (const arma::cx_mat* part : parts) n_cols += part->n_cols;
  arma::cx_mat out(n_rows, n_cols, arma::fill::none);
  arma::uword at = 0;
  for (const arma::cx_mat* part : parts) {
    if (part->n_cols > 0) out.cols(at, at + part->n_cols - 1) = *part;
    at += part->n_cols;
  }
  return out;
}

}  // namespace

std::string GridCovariance::why_invalid() const {
  if (rx.empty() || paths.empty()) return "there are no paths";
  for (const arma::cx_mat& factor : rx) {
    if (factor.n_rows != n_rx || factor.n_cols == 0 || !factor.is_finite()) {
      return "a factor over the receive antennas has " + std::to_string(factor.n_rows) +
             " rows, expected " + std::to_string(n_rx);
    }
  }
  for (const Path& path : paths) {
    if (path.rx >= rx.size() || !(path.delay_s >= 0.0 && std::isfinite(path.delay_s)) ||
        path.tx.n_rows != n_tx * grid.n_symbols || !path.tx.is_finite()) {
      return "a path has a factor of " + std::to_string(path.tx.n_rows) +
             " rows over transmit antennas and symbols, expected " +
             std::to_string(n_tx * grid.n_symbols) + ", and a delay of 0 or more";
    }
  }
  return {};
}

GridCovariance GridCovariance::on(const GridAxes& other) const {
  GridCovariance out = *this;
  out.grid = other;
  for (Path& path : out.paths) {
    if (grid.n_symbols == 1) {
      path.tx = arma::repmat(path.tx, other.n_symbols, 1);
    } else {
      path.tx = path.tx.head_rows(n_tx * std::min(grid.n_symbols, other.n_symbols)).eval();
    }
  }
  return out;
}

GridCovariance GridCovariance::scaled(double factor) const {
  GridCovariance out = *this;
  for (Path& path : out.paths) path.tx *= factor;
  return out;
}

arma::cx_mat thin_factor(const arma::cx_mat& C) {
  arma::vec values;
  arma::cx_mat vectors;
  hermitian_eigen(C, values, vectors);
  const arma::uvec kept = arma::find(values > 1e-12 * values.max());
  return vectors.cols(kept) *
         arma::diagmat(arma::conv_to<arma::cx_vec>::from(arma::sqrt(values(kept))));
}

void save(ArchiveWriter& archive, const GridCovariance& covariance) {
  if (const std::string why = covariance.why_invalid(); !why.empty()) {
    refuse("covariance of a grid: " + why);
  }
  const std::string& in = covariance_group;
  const arma::uword n_paths = covariance.paths.size(), n_rx_factors = covariance.rx.size();
  arma::mat delays(n_paths, 1), of_path(n_paths, 2), ranks(n_rx_factors, 1);
  std::vector<const arma::cx_mat*> tx, rx;
  for (arma::uword l = 0; l < n_paths; ++l) {
    const GridCovariance::Path& path = covariance.paths[l];
    delays(l) = path.delay_s;
    of_path(l, 0) = static_cast<double>(path.rx);
    of_path(l, 1) = static_cast<double>(path.tx.n_cols);
    tx.push_back(&path.tx);
  }
  for (arma::uword i = 0; i < n_rx_factors; ++i) {
    ranks(i) = static_cast<double>(covariance.rx[i].n_cols);
    rx.push_back(&covariance.rx[i]);
  }
  archive.write(in + "/delays", delays);
  archive.write(in + "/rx_and_rank", of_path);
  archive.write(in + "/rx_ranks", ranks);
  archive.write(in + "/rx", joined(rx, covariance.n_rx));
  archive.write(in + "/tx", joined(tx, covariance.n_tx * covariance.grid.n_symbols));
  archive.attribute(in, "n_tx", static_cast<std::int64_t>(covariance.n_tx));
  archive.attribute(in, "meaning",
                    std::string("E h h^H = sum over paths of rx rx^H over receive antennas, "
                                "tx tx^H over transmit antennas and symbols, and the delay"));
}

GridCovariance load_grid_covariance(const ArchiveReader& archive) {
  const std::string& in = covariance_group;
  const auto damaged = [&] {
    return Error(ErrorKind::format,
                 archive.file().string() + ": the group " + in + " is damaged; leave genie out");
  };
  const arma::mat delays = archive.read_mat(in + "/delays");
  const arma::mat of_path = archive.read_mat(in + "/rx_and_rank");
  const arma::mat ranks = archive.read_mat(in + "/rx_ranks");
  const arma::cx_mat rx = archive.read_cx_mat(in + "/rx"), tx = archive.read_cx_mat(in + "/tx");
  GridCovariance out;
  out.n_rx = rx.n_rows;
  out.n_tx = static_cast<arma::uword>(
      std::max<std::int64_t>(archive.integer_attribute(in, "n_tx").value_or(0), 0));
  if (out.n_tx == 0 || tx.n_rows % out.n_tx != 0 || of_path.n_cols != 2 ||
      of_path.n_rows != delays.n_elem) {
    throw damaged();
  }
  out.grid.n_symbols = tx.n_rows / out.n_tx;
  // The next columns of a matrix, as many as a number of the file says.
  const auto take = [&](const arma::cx_mat& from, double count, arma::uword& at) {
    if (!(count >= 1.0 && count <= static_cast<double>(from.n_cols - at))) throw damaged();
    const arma::uword first = at;
    at += static_cast<arma::uword>(count);
    return arma::cx_mat(from.cols(first, at - 1));
  };
  arma::uword at = 0;
  for (const double rank : ranks) out.rx.push_back(take(rx, rank, at));
  at = 0;
  for (arma::uword l = 0; l < delays.n_elem; ++l) {
    const double i_rx = of_path(l, 0);
    if (!(i_rx >= 0.0 && i_rx < static_cast<double>(out.rx.size()))) throw damaged();
    out.paths.push_back({delays(l), static_cast<arma::uword>(i_rx), take(tx, of_path(l, 1), at)});
  }
  if (!out.why_invalid().empty()) throw damaged();
  return out;
}

}  // namespace v0
}  // namespace chest
