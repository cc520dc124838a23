#include <chest/estimators/catalog.hpp>

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>
#include <utility>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/diffusion.hpp>
#include <chest/estimators/genie.hpp>
#include <chest/estimators/gmm.hpp>
#include <chest/estimators/lmmse.hpp>
#include <chest/estimators/ls.hpp>
#include <chest/estimators/network.hpp>
#include <chest/estimators/noise.hpp>
#include <chest/provenance.hpp>

#include "contract.hpp"

namespace chest {
namespace {

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::invalid_argument, message);
}

ModelStore::Info look_at(const std::filesystem::path& file) {
  const ArchiveReader archive(file);
  // The version is judged by the reader of the kind.
  read_provenance(archive, "chest-model", std::numeric_limits<int>::max());
  ModelStore::Info info{file, archive.text_attribute("/", "kind").value_or(""), 0, 0};
  const auto size = [&](const char* name) {
    const double value = archive.number_attribute("/", name).value_or(0.0);
    if (!(value >= 1.0 && value <= 1e6)) {
      throw Error(ErrorKind::format,
                  file.string() + ": attribute " + name + " is missing or not a size");
    }
    return static_cast<arma::uword>(value);
  };
  if (info.kind.empty())
    throw Error(ErrorKind::format, file.string() + ": attribute kind is missing");
  info.n_rx = size("n_rx");
  info.n_tx = size("n_tx");
  return info;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
  const std::string near = nearest(word, candidates);
  return near.empty() ? "" : " (did you mean " + near + "?)";
}

std::string array_size(arma::uword n_rx, arma::uword n_tx) {
  return std::to_string(n_rx) + "x" + std::to_string(n_tx);
}

}  // namespace

struct ModelStore::Impl {
  mutable std::mutex mutex;
  std::vector<Info> files;
  std::map<std::filesystem::path, std::shared_ptr<const LmmseModel>> lmmse;
  std::map<std::filesystem::path, std::shared_ptr<const GmmModel>> gmm;
  std::map<std::filesystem::path, std::shared_ptr<const NetworkModel>> network;
  /// By file and device; the mixtures of channel files by the object, which is kept alive here.
  std::map<std::pair<std::filesystem::path, std::string>, std::shared_ptr<const Denoiser>>
      denoisers;
  std::map<std::shared_ptr<const GaussianMixture>, std::shared_ptr<const Denoiser>> prior_denoisers;

  /// The value of a map, made on first use.
  template <class Map, class Make>
  typename Map::mapped_type kept(Map& map, const typename Map::key_type& key, Make&& make) {
    const std::lock_guard lock(mutex);
    auto it = map.find(key);
    if (it == map.end()) it = map.emplace(key, make()).first;
    return it->second;
  }

  std::shared_ptr<const LmmseModel> lmmse_model(const std::filesystem::path& file) {
    return kept(lmmse, file,
                [&] { return std::make_shared<const LmmseModel>(load_lmmse_model(file)); });
  }
  std::shared_ptr<const GmmModel> gmm_model(const std::filesystem::path& file) {
    return kept(gmm, file, [&] { return std::make_shared<const GmmModel>(load_gmm_model(file)); });
  }
  std::shared_ptr<const NetworkModel> network_model(const std::filesystem::path& file) {
    return kept(network, file,
                [&] { return std::make_shared<const NetworkModel>(load_network_model(file)); });
  }
};

ModelStore::ModelStore(const std::vector<std::filesystem::path>& files)
    : impl_(std::make_unique<Impl>()) {
  for (const std::filesystem::path& file : files) {
    const bool known = std::any_of(impl_->files.begin(), impl_->files.end(),
                                   [&](const Info& info) { return info.file == file; });
    if (!known) impl_->files.push_back(look_at(file));
  }
}

ModelStore::~ModelStore() = default;

std::vector<ModelStore::Info> ModelStore::files() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->files;
}

namespace {

/// One make_estimator() at work: the spec, what it may use, and the errors that both can raise.
class Maker {
 public:
  Maker(const NamedOptions& spec, const EstimatorContext& context)
      : spec_(spec), context_(context), models_(context.models) {
    if (!models_) models_ = std::make_shared<ModelStore>();
  }

  const NamedOptions& spec() const { return spec_; }
  const EstimatorContext& context() const { return context_; }
  ModelStore::Impl& models() const { return models_->impl(); }

  bool has(const std::string& option) const { return spec_.options.count(option) > 0; }
  /// Value of an option, `otherwise` when it is not given.
  std::string text(const std::string& option, const std::string& otherwise) const {
    const auto it = spec_.options.find(option);
    return it == spec_.options.end() ? otherwise : it->second;
  }
  double number(const std::string& option, double otherwise) const {
    return has(option) ? to_number(text(option, ""), spec_.name + ": " + option) : otherwise;
  }

  /// An option that is given: 1 .. most.
  arma::uword count(const std::string& option, unsigned long long most) const {
    const auto value = to_count(text(option, ""), spec_.name + ": " + option);
    if (value < 1 || value > most) {
      refuse(spec_.text + ": " + option + " is " + std::to_string(value) + ", it must be 1 .. " +
             std::to_string(most));
    }
    return value;
  }

  /// The model file of this kind: the one that the spec names, or the only one given; empty when
  /// none was given.  Its sizes are those of the channels.
  std::filesystem::path find_model(const std::string& kind) const {
    std::vector<ModelStore::Info> fitting;
    if (!spec_.file.empty()) {
      const std::lock_guard lock(models().mutex);
      std::vector<ModelStore::Info>& known = models().files;
      for (const ModelStore::Info& info : known) {
        if (info.file == spec_.file) fitting = {info};
      }
      if (fitting.empty()) {
        fitting = {look_at(spec_.file)};
        known.push_back(fitting.front());
      }
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
             array_size(info.n_rx, info.n_tx) + " channels, these are " +
             array_size(context_.n_rx, context_.n_tx) + "; fit a model on such channels");
    }
    return info.file;
  }
  /// The same, where one must be there.
  std::filesystem::path need_model(const std::string& kind, const std::string& how) const {
    std::filesystem::path file = find_model(kind);
    if (file.empty()) {
      refuse(spec_.text + ": no model of kind " + kind + " was given; make one with '" + how +
             "' and name it with --model MODEL");
    }
    return file;
  }
  std::shared_ptr<const LmmseModel> need_lmmse() const {
    return models().lmmse_model(need_model("lmmse", "chest fit lmmse --channels FILE --out MODEL"));
  }
  /// A mixture from a model file, or else the one that the channels were drawn from; the path is
  /// empty for the latter.
  std::pair<std::shared_ptr<const GaussianMixture>, std::filesystem::path> need_mixture() const {
    const std::filesystem::path file = find_model("gmm");
    if (!file.empty()) {
      const auto model = models().gmm_model(file);
      return {std::shared_ptr<const GaussianMixture>(model, &model->prior), file};
    }
    if (context_.prior) return {context_.prior, std::filesystem::path()};
    refuse(spec_.text + ": no mixture is known; give a model of kind gmm with --model MODEL " +
           "(chest fit gmm), or channels that hold the mixture that they were drawn from (chest " +
           "generate gmm)");
  }

 private:
  const NamedOptions& spec_;
  const EstimatorContext& context_;
  std::shared_ptr<ModelStore> models_;
};

std::unique_ptr<Estimator> make_ls_row(const Maker& maker) { return make_ls(maker.context().A); }

std::unique_ptr<Estimator> make_lmmse_row(const Maker& maker) {
  LmmseOptions options;
  options.diagonal_loading = maker.number("loading", options.diagonal_loading);
  if (const std::string why = options.why_invalid(); !why.empty()) refuse("lmmse: " + why);
  return make_lmmse(maker.context().A, maker.need_lmmse()->C, options);
}

std::unique_ptr<Estimator> make_genie_row(const Maker& maker) {
  if (!maker.context().has_genie_covariances) {
    refuse(
        "genie: the channels come without the covariances that they were drawn with; generate them "
        "with covariances (chest generate scm) or leave genie out");
  }
  return make_genie(maker.context().A);
}

std::unique_ptr<Estimator> make_gmm_row(const Maker& maker) {
  return make_gmm(maker.context().A, *maker.need_mixture().first);
}

std::unique_ptr<Estimator> make_dmse_row(const Maker& maker) {
  // What can be wrong without a model is said before one is loaded.
  decorrelation_gain("dmse", maker.context().A.get());
  DmseOptions options;
  const std::string text = maker.spec().text;
  if (maker.has("published")) {
    if (maker.has("steps")) refuse(text + ": published and steps exclude each other");
    const std::string which = maker.text("published", "");
    if (!which.empty() && which != "full") {
      refuse(text + ": published is '" + which + "', it stands alone or is 'full'");
    }
    options.rule = which.empty() ? ReverseRule::published : ReverseRule::published_full;
  }
  if (maker.has("steps")) {
    options.rule = ReverseRule::fixed_steps;
    options.n_steps = maker.count("steps", 100'000);
  }
  if (maker.has("probes")) options.n_probes = maker.count("probes", 10'000);
  const std::string prior = maker.text("prior", "network");
  if (prior != "network" && maker.has("bfloat16")) {
    refuse(text + ": bfloat16 is for prior=network; an exact prior is computed in double");
  }
  std::shared_ptr<const Denoiser> denoiser;
  if (prior == "network") {
    const std::filesystem::path file = maker.need_model(
        "dmse", "chest fit dmse --channels FILE --out MODEL' or 'chest import WEIGHTS --out MODEL");
    const auto model = maker.models().network_model(file);
    options.calibration = model->calibration;
    options.schedule = model->schedule;
    const std::string& device = maker.context().device;
    NetworkRunOptions run;
    run.device = device;
    run.bfloat16 = maker.has("bfloat16");
    const std::string place = device + (run.bfloat16 ? " bfloat16" : "");
    denoiser = maker.models().kept(maker.models().denoisers, {file, place}, [&] {
      return std::shared_ptr<const Denoiser>(make_network_denoiser(*model, run));
    });
  } else if (prior == "gmm") {
    const auto [mixture, file] = maker.need_mixture();
    const auto make = [&m = *mixture] {
      return std::shared_ptr<const Denoiser>(make_gaussian_mixture_denoiser(m));
    };
    denoiser = file.empty() ? maker.models().kept(maker.models().prior_denoisers, mixture, make)
                            : maker.models().kept(maker.models().denoisers, {file, ""}, make);
  } else if (prior == "lmmse") {
    const std::filesystem::path file =
        maker.need_model("lmmse", "chest fit lmmse --channels FILE --out MODEL");
    const auto model = maker.models().lmmse_model(file);
    denoiser = maker.models().kept(maker.models().denoisers, {file, ""}, [&] {
      return std::shared_ptr<const Denoiser>(make_gaussian_denoiser(model->C));
    });
  } else {
    refuse(text + ": prior '" + prior + "' is unknown" +
           did_you_mean(prior, {"network", "gmm", "lmmse"}) + "; there are network, gmm and lmmse");
  }
  // One call of an exact denoiser is the conditional mean; no further call can better it.
  if (prior != "network" && options.rule == ReverseRule::calibrated) options.n_steps = 1;
  return make_dmse(maker.context().A, std::move(denoiser), options);
}

// The noise variance that the estimator works with, other than the true one.
const CatalogOption snr_option{"snr", "unknown|+X|-X",
                               "estimates the noise variance itself, or is told an SNR X dB off"};

std::unique_ptr<Estimator> with_other_snr(const Maker& maker,
                                          std::unique_ptr<Estimator> estimator) {
  std::string text = maker.text("snr", "");
  if (text == "unknown") return make_noise_blind(maker.context().A, std::move(estimator));
  const bool signed_number = text.size() > 1 && (text[0] == '+' || text[0] == '-');
  if (!signed_number) {
    refuse(maker.spec().text + ": snr is '" + text +
           "', it must be unknown, or an error in dB with its sign: +3, -3");
  }
  if (text[0] == '+') text.erase(0, 1);
  return make_misinformed(std::move(estimator), to_number(text, maker.spec().name + ": snr"));
}

struct Row {
  CatalogEntry entry;
  std::unique_ptr<Estimator> (*make)(const Maker&);
};

const std::vector<Row>& rows() {
  static const std::vector<Row> table{
      {{"ls", "least squares, minimum norm when underdetermined", "", {}}, make_ls_row},
      {{"lmmse",
        "linear MMSE with a fitted covariance",
        "lmmse",
        {{"loading", "X", "added to the diagonal of C, relative to its mean (default 0)"},
         snr_option}},
       make_lmmse_row},
      {{"genie", "LMMSE with the true covariance of every channel: a bound, not a method", "", {}},
       make_genie_row},
      {{"gmm",
        "conditional mean of a Gaussian mixture, from a model or from the channel file",
        "gmm",
        {snr_option}},
       make_gmm_row},
      {{"dmse",
        "diffusion prior along a log-SNR grid, calls calibrated per SNR",
        "dmse",
        {{"steps", "N", "N calls on the log-SNR grid; 1 is Tweedie's formula"},
         {"published", "", "the letter's loop, as its code runs it (=full: as its equation reads)"},
         {"prior", "network|gmm|lmmse", "what denoises: the fitted network (default), or exactly"},
         {"probes", "N", "predicts the error of a prior that does not, from N random directions"},
         {"bfloat16", "", "convolve in bfloat16, up to 5 times faster where the processor can"},
         snr_option}},
       make_dmse_row}};
  return table;
}

/// An estimator under the name that the user gave it.
class Named final : public Estimator {
 public:
  Named(std::string name, std::unique_ptr<Estimator> estimator)
      : name_(std::move(name)), estimator_(std::move(estimator)) {}

  using Estimator::estimate;

  std::string name() const override { return name_; }
  void estimate(const Observation& observation, Estimate& out) const override {
    estimator_->estimate(observation, out);
  }
  std::string warning(double sigma2) const override { return estimator_->warning(sigma2); }

 private:
  std::string name_;
  std::unique_ptr<Estimator> estimator_;
};

}  // namespace

const std::vector<CatalogEntry>& estimator_catalog() {
  static const std::vector<CatalogEntry> entries = [] {
    std::vector<CatalogEntry> out;
    for (const Row& row : rows()) out.push_back(row.entry);
    return out;
  }();
  return entries;
}

std::unique_ptr<Estimator> make_estimator(const NamedOptions& spec,
                                          const EstimatorContext& context) {
  std::vector<std::string> names;
  const Row* found = nullptr;
  for (const Row& row : rows()) {
    names.push_back(row.entry.name);
    if (row.entry.name == spec.name) found = &row;
  }
  if (!found) {
    refuse("estimator '" + spec.name + "' is unknown" + did_you_mean(spec.name, names) +
           "; there are " + enumerate(names));
  }
  std::vector<std::string> options;
  for (const CatalogOption& option : found->entry.options) options.push_back(option.name);
  for (const auto& [option, value] : spec.options) {
    if (std::find(options.begin(), options.end(), option) != options.end()) continue;
    refuse(spec.text + ": option '" + option + "' is unknown" + did_you_mean(option, options) +
           "; " + spec.name + " has " + (options.empty() ? "none" : enumerate(options)));
  }
  if (!spec.file.empty() && found->entry.model.empty()) {
    refuse(spec.text + ": " + spec.name + " takes no model file");
  }
  check_given(spec.name, context.A.get());
  if (context.A->n_h() != context.n_rx * context.n_tx) {
    refuse(spec.name + ": the channels are " + array_size(context.n_rx, context.n_tx) + ", A (" +
           context.A->name() + ") is for n_h = " + std::to_string(context.A->n_h()));
  }
  const Maker maker(spec, context);
  std::unique_ptr<Estimator> estimator = found->make(maker);
  if (maker.has(snr_option.name)) estimator = with_other_snr(maker, std::move(estimator));
  return std::make_unique<Named>(spec.text, std::move(estimator));
}

}  // namespace chest
