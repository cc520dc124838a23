#include <chest/estimators/catalog/catalog.hpp>

#include <algorithm>
#include <functional>
#include <utility>

#include <nlohmann/json.hpp>

#include <chest/error.hpp>
#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/diffusion/dmse.hpp>
#include <chest/estimators/grid/grid_lmmse.hpp>
#include <chest/estimators/grid/plane_estimator.hpp>
#include <chest/text.hpp>

#include "rows.hpp"

namespace chest {
inline namespace v0 {
namespace {

/// An estimator under the name that the user gave it.
class Named final : public Estimator {
 public:
  Named(std::string name, std::unique_ptr<Estimator> estimator)
      : name_(std::move(name)), estimator_(std::move(estimator)) {}

  std::string name() const override { return name_; }
  const ObservationOperator& A() const override { return estimator_->A(); }
  bool predicts_mse(double sigma2) const override { return estimator_->predicts_mse(sigma2); }
  bool reads_sigma2() const override { return estimator_->reads_sigma2(); }
  std::string warning(double sigma2) const override { return estimator_->warning(sigma2); }
  std::string method(double sigma2) const override { return estimator_->method(sigma2); }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    estimator_->estimate(observation, out);
  }

  std::string name_;
  std::unique_ptr<Estimator> estimator_;
};

/// Linear MMSE in place of planes that a model is not for.
class LinearInstead final : public Estimator {
 public:
  explicit LinearInstead(std::unique_ptr<Estimator> linear) : linear_(std::move(linear)) {}

  std::string name() const override { return linear_->name(); }
  const ObservationOperator& A() const override { return linear_->A(); }
  bool predicts_mse(double sigma2) const override { return linear_->predicts_mse(sigma2); }
  std::string method(double) const override { return "lmmse"; }

 private:
  void do_estimate(const Observation& observation, Estimate& out) const override {
    linear_->estimate(observation, out);
  }

  std::unique_ptr<Estimator> linear_;
};

/// Whether pilots on this raster are those of the model's planes, or planes that it serves as well.
bool serves(const GridStatistics& grid, const PilotRaster& raster, double ratio) {
  const double step = raster.step * ratio;
  if (grid.most_step == 0) return step == static_cast<double>(grid.plane_step);
  return step >= static_cast<double>(grid.least_step) &&
         step <= static_cast<double>(grid.most_step);
}

void check_options(const NamedOptions& spec, const CatalogEntry& entry,
                   const std::vector<std::string>& estimators) {
  std::vector<std::string> options;
  for (const OptionInfo& option : entry.options) options.push_back(option.name);
  for (const auto& [option, value] : spec.options) {
    if (std::find(options.begin(), options.end(), option) != options.end()) continue;
    std::vector<std::string> candidates = options;
    // "dmse:published,lmmmse": a single word may have been meant as the next estimator.
    if (value.empty()) candidates.insert(candidates.end(), estimators.begin(), estimators.end());
    refuse(spec.text + ": option '" + option + "' of " + spec.name + " is unknown" +
           did_you_mean(option, candidates));
  }
  if (!spec.file.empty() && entry.model.empty()) {
    refuse(spec.text + ": " + spec.name + " takes no model file");
  }
}

}  // namespace

void Catalog::add(CatalogRow row) {
  if (row.entry.name.empty() || !row.make) refuse("catalog: a row needs a name and a maker");
  for (const CatalogRow& each : rows_) {
    if (each.entry.name == row.entry.name) {
      refuse("catalog: there is an estimator " + row.entry.name + " already");
    }
  }
  if (row.takes_snr) row.entry.options.push_back(snr_option());
  rows_.push_back(std::move(row));
}

std::vector<CatalogEntry> Catalog::entries() const {
  std::vector<CatalogEntry> out;
  for (const CatalogRow& row : rows_) out.push_back(row.entry);
  return out;
}

std::vector<std::string> Catalog::names() const {
  std::vector<std::string> out;
  for (const CatalogRow& row : rows_) out.push_back(row.entry.name);
  return out;
}

const CatalogRow& Catalog::find(const std::string& name) const {
  for (const CatalogRow& row : rows_) {
    if (row.entry.name == name) return row;
  }
  const bool is_file = name.find_first_of("./\\") != std::string::npos;
  refuse("estimator '" + name + "' is unknown" + did_you_mean(name, names()) +
         (is_file ? "; a comma separates estimators, a file name that holds one stands in quotes: "
                    "dmse@\"a,b.h5\""
                  : ""));
}

const CatalogEntry& Catalog::entry(const std::string& name) const { return find(name).entry; }

std::vector<NamedOptions> Catalog::parse(const std::string& list) const {
  return parse_named_options_list(list, names());
}

std::string Catalog::options_json(const NamedOptions& spec) const {
  const auto quoted = [](const std::string& text) { return nlohmann::json(text).dump(); };
  std::string out;
  for (const OptionInfo& option : find(spec.name).entry.options) {
    const auto it = spec.options.find(option.name);
    const bool given = it != spec.options.end();
    const bool is_switch = option.placeholder.empty();
    const std::string value = is_switch ? (given ? "on" : "off")
                              : given   ? it->second
                                        : option.default_text;
    out += (out.empty() ? "" : ", ") + quoted(option.name) + ": " + quoted(value);
  }
  return "{" + out + "}";
}

std::unique_ptr<Estimator> Catalog::make_from(const CatalogRow& found, const Maker& maker) const {
  const EstimatorContext& context = maker.context();
  const bool is_grid = context.A->pattern() != nullptr;
  for (const OptionInfo& option : found.entry.options) {
    if (!option.on_grid || is_grid || !maker.spec().has(option.name)) continue;
    refuse(maker.spec().text + ": " + option.name +
           " is for the pilots of a grid, these channels are matrices");
  }
  if (is_grid && !found.make_on_grid) return make_of_planes(found, maker);
  std::unique_ptr<Estimator> estimator = is_grid ? found.make_on_grid(maker) : found.make(maker);
  if (maker.spec().has(snr_option().name)) {
    estimator = with_other_snr(maker, std::move(estimator));
  }
  return estimator;
}

std::unique_ptr<Estimator> Catalog::make_of_planes(const CatalogRow& found,
                                                   const Maker& maker) const {
  const EstimatorContext& context = maker.context();
  const auto planes = std::make_shared<const PilotPlanes>(maker.spec().text, context.A);
  std::shared_ptr<const GridStatistics> statistics = maker.grid_statistics(found.entry.model);
  if (!statistics) {
    statistics =
        std::make_shared<const GridStatistics>(unfitted_statistics(context.n_rx, context.grid));
  }
  // Of the model's subcarriers, in whose steps it counts, to one of the grid.
  double ratio = 1.0;
  if (!found.entry.model.empty()) {
    if (const std::string file = maker.find_model(found.entry.model); !file.empty()) {
      ratio = static_cast<double>(
          maker.models().look_at(file).grid->spacing_ratio(context.grid.spacing_hz));
    }
  }
  // Channels that do not say what their antennas are have those of the model.
  GridStatistics known = *statistics;
  const PlaneOptions options = maker.options(plane_options);
  if (options.knows_doppler) known.r_t = doppler_lags(options.doppler_hz, context.grid);
  if (found.entry.model.empty()) known.R_rx.eye(context.n_rx, context.n_rx);
  const arma::uword n_rx = known.R_rx.n_rows;
  if (known.plane_step == 0 || found.entry.model.empty()) known.rx_panel = context.rx_panel;
  NamedOptions inner_spec = maker.spec();
  for (const OptionInfo& option : plane_options.describe()) inner_spec.options.erase(option.name);
  const bool has_sparse = found.takes_sparse && inner_spec.has("sparse");
  const double told_weight = has_sparse ? maker.options(sparse_part_options).weight : 0.0;
  if (has_sparse) inner_spec.options.erase("sparse");
  const PilotRaster raster = raster_of(planes->port(0).subcarriers);
  // A choice between the network and linear MMSE is for who leaves it to the model.
  bool may_choose = found.chooses_linear && !inner_spec.has("prior") && !has_sparse;
  for (const OptionInfo& option : dmse_options.describe()) {
    may_choose = may_choose && !inner_spec.has(option.name);
  }
  if (!may_choose) known.linear_ratio.reset();
  if (may_choose && known.plane_step > 0 && !serves(known, raster, ratio)) {
    if (known.r_t.n_elem == 1) known.r_t.ones(context.grid.n_symbols);
    return std::make_unique<LinearInstead>(make_grid_lmmse(context.A, known));
  }
  const auto make_inner = [&](std::shared_ptr<const ObservationOperator> A) {
    EstimatorContext inner = maker.shared_context();
    inner.n_rx = n_rx;
    inner.rx_panel = known.rx_panel;
    inner.grid.n_subcarriers = inner.grid.n_symbols = 1;
    inner.A = std::move(A);
    inner.n_tx = raster.step > 0.0 ? raster.positions.n_elem : planes->port(0).subcarriers.n_elem;
    inner.plane_step = raster.step * ratio;
    inner.grid.spacing_hz /= ratio;
    std::shared_ptr<const Estimator> estimator = make_from(found, Maker(*this, inner_spec, inner));
    std::function<double(double)> weight;
    // The time of sbl grows with the square of the pilots.
    const bool is_short = inner.n_tx <= GridStatistics::most_sparse_columns;
    if (told_weight > 0.0) {
      weight = [told_weight](double) { return told_weight; };
    } else if (may_choose && is_short && !known.sparse_weight.is_empty() &&
               !inner_spec.has(snr_option().name)) {
      const double band = static_cast<double>(inner.n_tx) * std::max(raster.step, 1.0);
      weight = [known, step = raster.step, band](double sigma2) {
        return known.sparse_weight_at(sigma2, step, band);
      };
    }
    return weight ? with_sparse(estimator, inner, weight) : estimator;
  };
  return make_plane_estimator(planes, known, make_inner, found.has_linear_differences);
}

std::unique_ptr<Estimator> Catalog::make(const NamedOptions& spec,
                                         const EstimatorContext& context) const {
  const CatalogRow& found = find(spec.name);
  check_options(spec, found.entry, names());
  check_given(spec.name, context.A.get());
  if (context.A->n_h() != context.n_rx * context.n_tx * context.grid.n_elements()) {
    refuse(spec.name + ": the channels are " + size_text(context.n_rx, context.n_tx, context.grid) +
           ", A (" + context.A->name() + ") is for n_h = " + std::to_string(context.A->n_h()));
  }
  const Maker maker(*this, spec, context);
  return std::make_unique<Named>(spec.text, make_from(found, maker));
}

Catalog built_in() {
  Catalog catalog;
  add_fitted_rows(catalog);
  add_dmse_row(catalog);
  add_solver_rows(catalog);
  return catalog;
}

std::unique_ptr<Estimator> make_estimator(const NamedOptions& spec,
                                          const EstimatorContext& context) {
  static const Catalog catalog = built_in();
  return catalog.make(spec, context);
}

}  // namespace v0
}  // namespace chest
