#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <chest/error.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/linear/snr_unknown.hpp>
#include <chest/text.hpp>

#include "rows.hpp"

namespace chest {
inline namespace v0 {
namespace {

/// The diffusion model that an estimator runs on, where it keeps second moments; empty otherwise.
std::string network_with_moments(const Maker& maker) {
  const NamedOptions& spec = maker.spec();
  const auto prior = spec.options.find("prior");
  const bool on_network = maker.catalog().entry(spec.name).model == "dmse" &&
                          (prior == spec.options.end() || prior->second == "network");
  const std::string file = on_network ? maker.find_model("dmse") : std::string();
  if (file.empty()) return {};
  const auto model = maker.models().get<NetworkModel>(
      file, [&] { return std::make_shared<const NetworkModel>(load_network_model(file)); });
  return model->second_moments.empty() ? std::string() : file;
}

}  // namespace

Maker::Maker(const Catalog& catalog, const NamedOptions& spec, const EstimatorContext& context)
    : catalog_(catalog), spec_(spec), context_(context), models_(context.models) {
  if (!models_) models_ = std::make_shared<ModelStore>();
}

std::string Maker::find_model(const std::string& kind) const {
  std::vector<ModelStore::Info> fitting;
  if (!spec_.file.empty()) {
    fitting = {models_->look_at(spec_.file)};
    if (fitting.front().kind != kind) {
      refuse(spec_.text + ": " + spec_.file + " is a model of kind " + fitting.front().kind +
             ", expected one of kind " + kind);
    }
  } else {
    for (const ModelStore::Info& info : models_->files()) {
      if (info.kind == kind) fitting.push_back(info);
    }
  }
  if (fitting.empty()) return {};
  if (fitting.size() > 1) {
    std::vector<std::string> names;
    for (const ModelStore::Info& info : fitting) names.push_back(info.file.string());
    refuse(spec_.text + ": " + std::to_string(names.size()) + " models of kind " + kind +
           " were given (" + enumerate(names) + "); name the one to use, as in " + spec_.text +
           "@" + names.front());
  }
  const ModelStore::Info& info = fitting.front();
  const bool on_grid = context_.A ? context_.A->pattern() != nullptr : context_.grid.is_grid();
  if (on_grid || context_.plane_step > 0.0) {
    check_grid_model(info);
    return info.file.string();
  }
  if (info.grid) {
    refuse(spec_.text + ": the model " + info.file.string() +
           " is for the grids of OFDM, these channels are matrices of " +
           size_text(context_.n_rx, context_.n_tx));
  }
  if (!info.serves(context_.n_rx, context_.n_tx)) {
    refuse(spec_.text + ": the model " + info.file.string() + " is for " + info.sizes() +
           " channels, these are " + size_text(context_.n_rx, context_.n_tx) +
           "; fit a model on such channels");
  }
  return info.file.string();
}

void Maker::check_grid_model(const ModelStore::Info& info) const {
  const std::string who = spec_.text + ": the model " + info.file.string();
  if (!info.grid) {
    refuse(who + " is for matrices, these channels are grids of " + context_.grid.text() +
           " elements; fit a model on such channels");
  }
  if (info.n_rx != context_.n_rx && info.n_rx != 1) {
    refuse(who + " is for " + std::to_string(info.n_rx) +
           " receive antennas, these channels have " + std::to_string(context_.n_rx));
  }
  if (info.grid->spacing_ratio(context_.grid.spacing_hz) == 0) {
    refuse(who + " is for subcarriers " + number_text(info.grid->spacing_hz / 1e3) +
           " kHz apart and multiples of it, these channels have " +
           number_text(context_.grid.spacing_hz / 1e3) + " kHz");
  }
  if (context_.plane_step == 0.0 || info.grid->plane_step == 0) return;
  if (info.n_rx > 1 && !context_.rx_panel.is_line() && context_.rx_panel != info.grid->rx_panel) {
    const PanelShape& panel = info.grid->rx_panel;
    refuse(who + " is for " + (panel.is_line() ? "a line of antennas" : "a panel " + panel.text()) +
           ", these channels have a panel " + context_.rx_panel.text());
  }
  if (info.grid->most_step > 0) {
    const auto least = static_cast<double>(info.grid->least_step);
    const auto most = static_cast<double>(info.grid->most_step);
    if (context_.plane_step >= least && context_.plane_step <= most) return;
    refuse(who + " is for pilots " + number_text(least) + " to " + number_text(most) +
           " subcarriers apart, these are " + number_text(context_.plane_step) + " apart");
  }
  const double step = static_cast<double>(info.grid->plane_step);
  if (step != context_.plane_step) {
    refuse(who + " is for pilots " + number_text(step) + " subcarriers apart, these are " +
           number_text(context_.plane_step) + " apart");
  }
  if (info.n_tx != context_.n_tx) {
    refuse(who + " is for " + std::to_string(info.n_tx) + " pilots over frequency, there are " +
           std::to_string(context_.n_tx));
  }
}

std::shared_ptr<const GridStatistics> Maker::at_spacing(
    const std::shared_ptr<const GridStatistics>& grid) const {
  const double here = context_.grid.spacing_hz;
  if (!grid || grid->spacing_ratio(here) == 1) return grid;
  return std::make_shared<const GridStatistics>(grid->at_spacing(here));
}

std::shared_ptr<const GridStatistics> Maker::grid_statistics(const std::string& kind) const {
  if (!kind.empty()) {
    const std::string file = find_model(kind);
    return file.empty() ? nullptr : at_spacing(models_->look_at(file).grid);
  }
  for (const ModelStore::Info& info : models_->files()) {
    const bool fits = info.grid && (info.n_rx == context_.n_rx || info.n_rx == 1) &&
                      info.grid->spacing_ratio(context_.grid.spacing_hz) > 0;
    if (fits) return at_spacing(info.grid);
  }
  return nullptr;
}

std::string Maker::need_model(const std::string& kind, const std::string& how) const {
  std::string file = find_model(kind);
  if (file.empty()) {
    refuse(spec_.text + ": no model of kind " + kind + " was given; make one with '" + how +
           "' and name it with --model MODEL");
  }
  return file;
}

std::shared_ptr<const Estimator> Maker::other_estimator(const std::string& text) const {
  NamedOptions other = parse_named_options(text);
  if (catalog_.entry(other.name).model == "dmse" &&
      (other.name == spec_.name || other.name == "dmse")) {
    refuse(spec_.text + ": " + other.name + " cannot be used by " + spec_.name);
  }
  return on_same_prior(std::move(other));
}

std::shared_ptr<const Estimator> Maker::on_same_prior(NamedOptions other) const {
  const std::string& kind = catalog_.entry(other.name).model;
  if (kind == "dmse") {
    if (other.file.empty()) other.file = spec_.file;
    for (const OptionInfo& option : prior_options.describe()) {
      const auto it = spec_.options.find(option.name);
      if (it != spec_.options.end()) other.options.emplace(option.name, it->second);
    }
  }
  if (kind == "lmmse" && other.file.empty()) other.file = network_with_moments(*this);
  return catalog_.make(other, shared_context());
}

EstimatorContext Maker::shared_context() const {
  EstimatorContext context = context_;
  context.models = models_;
  return context;
}

OptionInfo snr_option() {
  return {"snr", "unknown|+X|-X", "", "as told",
          "estimates the noise variance itself, or is told an SNR X dB off"};
}

std::unique_ptr<Estimator> with_other_snr(const Maker& maker,
                                          std::unique_ptr<Estimator> estimator) {
  std::string text = maker.spec().options.at("snr");
  if (text == "unknown") return make_noise_blind(maker.context().A, std::move(estimator));
  const bool signed_number = text.size() > 1 && (text[0] == '+' || text[0] == '-');
  if (!signed_number) {
    refuse(maker.spec().text + ": snr is '" + text +
           "', it must be unknown, or an error in dB with its sign: +3, -3");
  }
  if (text[0] == '+') text.erase(0, 1);
  return make_misinformed(std::move(estimator), to_number(text, maker.spec().name + ": snr"));
}

}  // namespace v0
}  // namespace chest
