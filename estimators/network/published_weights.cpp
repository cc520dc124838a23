#include <chest/estimators/network/model_file.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/network/layout.hpp>
#include <chest/file.hpp>

#include "model_parts.hpp"
#include "settings.hpp"

namespace chest {
inline namespace v0 {

NetworkModel published_model(const std::filesystem::path& file, const Settings& params) {
  const auto require = [&](const std::string& path, const Json& expected, const std::string& why) {
    if (const Json& found = params.at(path); found != expected) {
      throw_format(file, "sim_params." + path + " is " + found.dump() + "; chest runs only " +
                             expected.dump() + " (" + why + ")");
    }
  };
  require("unet_dict.mode", "2D", "two-dimensional convolutions");
  require("unet_dict.batch_norm", false, "no batch normalisation");
  require("unet_dict.downsamp_fac", 1, "no down-sampling");
  require("unet_dict.n_layers_time", 1, "one linear layer for the noise level");
  require("trainer_dict.fft_pre", true, "a network of the angular domain");
  require("diff_model_dict.complex_data", true, "complex channels");

  NetworkModel model;
  const std::vector<int> data_shape = params.counts("diff_model_dict.data_shape");
  if (data_shape.size() != 3 || data_shape[0] != 2 || data_shape[1] < 1 || data_shape[2] < 1) {
    throw_format(file, "sim_params.diff_model_dict.data_shape is " +
                           params.at("diff_model_dict.data_shape").dump() +
                           "; expected [2, n_rx, n_tx]");
  }
  model.n_rx = data_shape[1];
  model.n_tx = data_shape[2];
  const std::vector<int> kernel = params.counts("unet_dict.kernel_size");
  if (kernel.size() != 2 || kernel[0] != kernel[1]) {
    throw_format(file, "sim_params.unet_dict.kernel_size is " +
                           params.at("unet_dict.kernel_size").dump() +
                           "; expected two equal numbers");
  }
  model.network = published_config(file, params.counts("unet_dict.ch_layers_pre"),
                                   params.counts("unet_dict.ch_layers_post"), kernel[0],
                                   static_cast<int>(params.count("unet_dict.ch_init_time", 1024)));
  const auto objective = params.get<std::string>("diff_model_dict.objective");
  const std::map<std::string, Prediction> objectives{{"pred_noise", Prediction::epsilon},
                                                     {"pred_x_0", Prediction::sample}};
  if (!objectives.contains(objective)) {
    throw_format(file, "sim_params.diff_model_dict.objective is " + objective +
                           "; expected pred_noise or pred_x_0");
  }
  model.prediction = objectives.at(objective);

  return model;
}

void set_published_schedule(NetworkModel& model, const std::filesystem::path& file,
                            const Settings& params, const arma::vec& betas) {
  const auto n_steps = static_cast<arma::uword>(
      params.count("diff_model_dict.num_timesteps", static_cast<std::int64_t>(most_noise_levels)));
  if (!betas.is_empty() && betas.n_elem != n_steps) {
    throw_format(file, "its betas are " + std::to_string(betas.n_elem) + ", but sim_params names " +
                           std::to_string(n_steps));
  }
  if (!betas.is_empty()) model.schedule = schedule_from(file, betas);
  if (params.get<std::string>("diff_model_dict.which_schedule") == "linear") {
    // The checkpoint holds float32 copies of these.
    const auto linear =
        NoiseSchedule::linear(n_steps, params.get<double>("diff_model_dict.beta_start"),
                              params.get<double>("diff_model_dict.beta_end"));
    if (!betas.is_empty() && arma::abs(linear.betas() - betas).max() > 1e-6) {
      throw_format(file, "its betas are not the linear schedule that sim_params names");
    }
    model.schedule = linear;
  } else if (betas.is_empty()) {
    throw_format(file,
                 "has no betas, and the schedule that sim_params names is not linear; give "
                 "that of a scheduler_config.json");
  }
}

NetworkModel import_published_weights(const std::filesystem::path& file) {
  const ArchiveReader archive(file);
  const Settings params(
      file, "sim_params",
      required_attribute(archive, "sim_params", "the authors' checkpoint converted to HDF5"));
  NetworkModel model = published_model(file, params);
  set_published_schedule(model, file, params,
                         read_vec(archive, "/state_dict/betas", most_noise_levels));

  model.weights = read_network_weights(archive, "/state_dict/model.", model.network, true);
  for (const std::string& name : archive.list("/state_dict")) {
    const auto known = [&](const NamedTensor& tensor) {
      return "model." + published_name(model.network, tensor.name) == name;
    };
    if (name.starts_with("model.") &&
        std::none_of(model.weights.begin(), model.weights.end(), known)) {
      throw_format(file, "weights " + name + " belong to no layer of the network; expected those " +
                             "that sim_params.unet_dict names");
    }
  }
  if (archive.has("/train_results/train_losses")) {
    model.train_losses = read_vec(archive, "/train_results/train_losses", most_epochs);
  }
  if (archive.has("/train_results/val_losses")) {
    model.validation_losses = read_vec(archive, "/train_results/val_losses", most_epochs);
  }
  Json options{{"imported_from", file.filename().string()}, {"imported_hash", hash_file(file)}};
  for (const char* name : {"source", "license", "checkpoint_epoch"}) {
    if (const auto text = archive.text_attribute("/", name)) options[name] = *text;
    if (const auto number = archive.number_attribute("/", name)) options[name] = *number;
  }
  model.provenance.options = options.dump();
  return model;
}

}  // namespace v0
}  // namespace chest
