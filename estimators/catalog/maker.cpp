#include <algorithm>
#include <utility>
#include <vector>

#include <chest/error.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/linear/snr_unknown.hpp>
#include <chest/text.hpp>

#include "rows.hpp"

namespace chest {
inline namespace v0 {

std::string size_text(arma::uword n_rx, arma::uword n_tx) {
  return std::to_string(n_rx) + "x" + std::to_string(n_tx);
}

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
  if (info.n_rx != context_.n_rx || info.n_tx != context_.n_tx) {
    refuse(spec_.text + ": the model " + info.file.string() + " is for " +
           size_text(info.n_rx, info.n_tx) + " channels, these are " +
           size_text(context_.n_rx, context_.n_tx) + "; fit a model on such channels");
  }
  return info.file.string();
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
  const CatalogEntry& entry = catalog_.entry(other.name);
  if (entry.model == "dmse") {
    if (other.name == spec_.name || other.name == "dmse") {
      refuse(spec_.text + ": " + other.name + " cannot be used by " + spec_.name);
    }
    if (other.file.empty()) other.file = spec_.file;
    for (const OptionInfo& option : prior_options.describe()) {
      const auto it = spec_.options.find(option.name);
      if (it != spec_.options.end()) other.options.emplace(option.name, it->second);
    }
  }
  EstimatorContext context = context_;
  context.models = models_;
  return catalog_.make(other, context);
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
