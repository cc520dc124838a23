#include "side.hpp"

#include <memory>

#include <chest/error.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/file.hpp>

#include "flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

SampleReader open_side(const std::string& text, const SampleReader& channels, double scale) {
  DatasetOptions options;
  const auto [file, name] = split_dataset_name(text);
  options.dataset = name;
  options.skip_bad = true;
  options.normalisation = Normalisation::factor;
  options.factor = scale;
  const auto dataset = std::make_shared<const Dataset>(file, options);
  tell_doubts(dataset->info());
  SampleReader side = dataset->samples();
  check_side("--side " + text, side, channels);
  side.read = [dataset](arma::uword first, arma::uword count) {
    const DatasetInfo& info = dataset->info();
    arma::cx_mat out(info.n_h(), count, arma::fill::zeros);
    for (const SampleRange& good : info.bad.all.outside({first, first + count})) {
      out.cols(good.first - first, good.end - first - 1) = dataset->read(good.first, good.size());
    }
    return out;
  };
  return side;
}

SampleReader open_side(const std::string& text, const Dataset& channels) {
  if (channels.info().normalisation == Normalisation::sample) {
    refuse("--side and --normalise sample: side matrices have one scale; give another");
  }
  return open_side(text, channels.samples(), channels.info().scale);
}

nlohmann::ordered_json describe_side(const std::string& text) {
  const auto [file, dataset] = split_dataset_name(text);
  return {{"file", file.filename().string()}, {"dataset", dataset}, {"hash", hash_file(file)}};
}

void check_takes_side(const std::vector<std::string>& models, ModelStore& store) {
  for (const std::string& file : models) {
    if (store.look_at(file).kind != "dmse") continue;
    const auto model = store.get<NetworkModel>(
        file, [&] { return std::make_shared<const NetworkModel>(load_network_model(file)); });
    if (model->network.side) return;
  }
  refuse("--side: none of the models is told side matrices; see chest fit dmse --side");
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
