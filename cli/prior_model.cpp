#include "prior_model.hpp"

#include <utility>

#include <chest/error.hpp>
#include <chest/estimators/catalog/model_store.hpp>
#include <chest/estimators/linear/lmmse.hpp>
#include <chest/estimators/mixture/gmm.hpp>
#include <chest/estimators/nn/network_denoiser.hpp>
#include <chest/estimators/prior/exact.hpp>

namespace chest {
inline namespace v0 {
namespace cli {

std::string PriorModel::text() const {
  return kind + ", " + size_text(n_rx, n_tx) +
         (grid.empty() ? ""
                       : " (planes of a grid, " + std::to_string(grid.plane_step) +
                             " subcarriers from column to column)");
}

SampleReader PriorModel::samples_of(const SampleReader& channels) const {
  if (grid.empty() && channels.grid.is_grid()) {
    refuse("the channels are grids, " + file.string() + " is a model of matrices");
  }
  if (!grid.empty() && !channels.grid.is_grid()) {
    refuse("the channels are matrices, " + file.string() + " is a model of grids");
  }
  SampleReader reader = channels;
  if (!grid.empty()) {
    reader = plane_samples(channels, grid.plane_step);
    if (reader.n_tx > n_tx) {  // the first columns of a wider band
      SampleReader wide = reader;
      reader.n_tx = n_tx;
      reader.read = [wide, n = n_rx * n_tx](arma::uword first, arma::uword count) {
        return arma::cx_mat(wide.read(first, count).head_rows(n));
      };
    }
  }
  if (reader.n_rx != n_rx || reader.n_tx != n_tx) {
    refuse("the channels are " + size_text(reader.n_rx, reader.n_tx) + ", " + file.string() +
           " is for " + size_text(n_rx, n_tx));
  }
  return reader;
}

PriorModel load_prior_model(const std::filesystem::path& file, const CommonFlags& common) {
  const ModelStore::Info info = ModelStore().look_at(file);
  PriorModel out;
  out.file = file;
  out.kind = info.kind;
  out.n_rx = info.n_rx;
  out.n_tx = info.n_tx;
  if (info.grid) out.grid = *info.grid;
  if (info.grid && (out.grid.plane_step == 0 || info.kind == "lmmse")) {
    refuse(file.string() +
           ": is a model of grids by axes, it has no prior of planes; fit gmm or dmse");
  }
  if (info.kind == "lmmse") {
    const LmmseModel model = load_lmmse_model(file);
    out.mixture = std::make_shared<const GaussianMixture>(gaussian_prior(model.C));
    out.denoiser = out.mixture->kind() == MixtureCovariance::full
                       ? make_gaussian_denoiser(out.mixture->covariances[0])
                       : make_gaussian_mixture_denoiser(*out.mixture);
  } else if (info.kind == "gmm") {
    out.mixture = std::make_shared<const GaussianMixture>(load_gmm_model(file).prior);
    out.denoiser = make_gaussian_mixture_denoiser(*out.mixture);
  } else if (info.kind == "dmse") {
    out.network = std::make_shared<const NetworkModel>(load_network_model(file));
    check_is_prior(*out.network, file.string());
    out.denoiser = make_network_denoiser(*out.network, common.network_run());
  } else {
    refuse(file.string() + ": is a model of kind " + info.kind +
           ", expected a prior: lmmse, gmm or dmse");
  }
  return out;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
