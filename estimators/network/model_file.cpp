#include <chest/estimators/network/model_file.hpp>

#include <algorithm>
#include <cmath>
#include <complex>
#include <string>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/estimators/common/enum_names.hpp>
#include <chest/estimators/common/model_file.hpp>
#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/network/layout.hpp>
#include <chest/estimators/prior/errors.hpp>
#include <chest/metrics.hpp>

#include "model_parts.hpp"
#include "settings.hpp"

namespace chest {
inline namespace v0 {
namespace {

// Version 1 held the network of [Fesl2024a] alone, under the names of the authors' code; version 3 is that of networks
// with classes, numbers, side matrices, pilots of their own, variances of the step back or axial layers, which a program
// that knows version 2 would misread or refuse for its shapes.
constexpr int plain_model_version = 2, newest_model_version = 3;

DenoiserErrors read_errors(const ArchiveReader& archive, arma::uword n_h) {
  DenoiserErrors errors;
  if (!archive.has("/errors/sigma2")) return errors;
  errors.sigma2 = read_vec(archive, "/errors/sigma2", 10'000);
  errors.mse = read_vec(archive, "/errors/mse", 10'000);
  if (archive.has("/errors/angular")) errors.angular = archive.read_mat("/errors/angular");
  if (archive.has("/errors/spatial")) errors.spatial = archive.read_mat("/errors/spatial");
  if (archive.has("/errors/full")) {
    const arma::uword n = errors.sigma2.n_elem;
    const std::vector<std::uint64_t> expected{n, n_h, n_h};
    if (n_h > most_entries_of_full_errors || archive.info("/errors/full").dims != expected) {
      throw_format(archive.file(), "/errors/full is damaged; calibrate the model again");
    }
    const auto values = archive.read_all<std::complex<double>>("/errors/full");
    for (arma::uword i = 0; i < n; ++i) {
      errors.full.push_back(arma::cx_mat(values.data() + i * n_h * n_h, n_h, n_h).st());
    }
  }
  const std::string why = errors.why_invalid();
  const auto fits = [&](const arma::mat& values) {
    return values.is_empty() || values.n_rows == n_h;
  };
  if (!why.empty() || !fits(errors.angular) || !fits(errors.spatial)) {
    throw_format(archive.file(), "/errors is damaged; calibrate the model again");
  }
  return errors;
}

/// What one group holds, a choice per pilot matrix.
SolverTable read_solvers(const ArchiveReader& archive, const std::string& from, arma::uword n_tx) {
  SolverTable table;
  if (!archive.has(from)) return table;
  for (const std::string& name : archive.list(from)) {
    const std::string group = from + "/" + name;
    SolverChoice choice;
    choice.P = archive.read_cx_mat(group + "/P");
    choice.snr_db = read_vec(archive, group + "/snr_db", 10'000);
    choice.mse = read_vec(archive, group + "/mse", 10'000);
    choice.pilots = archive.text_attribute(group, "pilots").value_or("");
    const Json solvers =
        Json::parse(archive.text_attribute(group, "solvers").value_or(""), nullptr, false);
    if (!solvers.is_array()) {
      throw_format(archive.file(), group + " is damaged; calibrate the model again");
    }
    for (const Json& solver : solvers) {
      choice.solvers.push_back(solver.is_string() ? solver.get<std::string>() : std::string());
    }
    if (choice.P.n_rows != n_tx) {
      throw_format(archive.file(), group + " is for " + std::to_string(choice.P.n_rows) +
                                       " transmit antennas; calibrate the model again");
    }
    table.choices.push_back(std::move(choice));
  }
  if (const std::string why = table.why_invalid(); !why.empty()) throw_format(archive.file(), why);
  return table;
}

void write_solvers(ArchiveWriter& archive, const std::string& to, const SolverTable& table) {
  for (std::size_t i = 0; i < table.choices.size(); ++i) {
    const SolverChoice& choice = table.choices[i];
    const std::string group = to + "/" + std::to_string(i);
    archive.write(group + "/P", choice.P);
    write_vec(archive, group + "/snr_db", choice.snr_db);
    write_vec(archive, group + "/mse", choice.mse);
    archive.attribute(group, "pilots", choice.pilots);
    archive.attribute(group, "solvers", Json(choice.solvers).dump());
  }
}

TunedMethods read_tuned(const ArchiveReader& archive, arma::uword n_tx) {
  TunedMethods tuned;
  if (!archive.has("/tuned")) return tuned;
  for (const std::string& method : archive.list("/tuned")) {
    for (const auto& [budget, name] : tuning_budget_names) {
      const SolverTable table = read_solvers(archive, "/tuned/" + method + "/" + name, n_tx);
      if (!table.empty()) tuned.methods.push_back({method, budget, table});
    }
  }
  return tuned;
}

ChannelCovariance read_second_moments(const ArchiveReader& archive, arma::uword n_rx,
                                      arma::uword n_tx) {
  const std::string group = "/second_moments";
  if (!archive.has(group)) return {};
  CovarianceKind kind = CovarianceKind::full;
  try {
    kind = covariance_kind_from_string(archive.text_attribute(group, "covariance").value_or(""));
  } catch (const Error& error) {
    throw_format(archive.file(), group + ": " + error.what());
  }
  ChannelCovariance C = load_channel_covariance(archive, group, kind);
  if (C.n_rx() != n_rx || C.n_tx() != n_tx) {
    throw_format(archive.file(), group + " is for other antennas; calibrate the model again");
  }
  return C;
}

PrecisionLosses read_precision(const ArchiveReader& archive, std::size_t n_hidden) {
  PrecisionLosses out;
  if (!archive.has("/precision/snr_db")) return out;
  out.snr_db = read_vec(archive, "/precision/snr_db", 10'000);
  out.bfloat16 = read_vec(archive, "/precision/bfloat16_loss_db", 10'000);
  const arma::uword n = out.snr_db.n_elem;
  bool fits = n > 0 && out.snr_db.is_finite() && out.snr_db.is_sorted() &&
              out.bfloat16.n_elem == n && out.bfloat16.is_finite();
  if (archive.has("/precision/int8_loss_db")) {
    out.int8 = read_vec(archive, "/precision/int8_loss_db", 10'000);
    out.largest = archive.read_mat("/precision/largest");
    fits = fits && out.int8.n_elem == n && out.int8.is_finite() && out.largest.n_cols == n &&
           out.largest.n_rows == n_hidden && out.largest.is_finite() && out.largest.min() > 0.0;
  }
  if (!fits) throw_format(archive.file(), "/precision is damaged; calibrate the model again");
  return out;
}

void write_calibration(ArchiveWriter& archive, const std::string& group,
                       const Calibration& calibration) {
  if (calibration.empty()) return;
  const arma::vec n_steps = arma::conv_to<arma::vec>::from(calibration.n_steps);
  write_vec(archive, group + "/snr_db", calibration.snr_db);
  write_vec(archive, group + "/n_steps", n_steps);
  write_vec(archive, group + "/mse", calibration.mse);
  if (!calibration.mse_ratio.is_empty()) {
    write_vec(archive, group + "/mse_ratio", calibration.mse_ratio);
  }
  if (!calibration.n_spins.is_empty()) {
    write_vec(archive, group + "/n_spins", arma::conv_to<arma::vec>::from(calibration.n_spins));
  }
}

Calibration read_calibration(const ArchiveReader& archive, const std::string& group) {
  Calibration calibration;
  if (!archive.has(group + "/snr_db")) return calibration;
  calibration.snr_db = read_vec(archive, group + "/snr_db", 10'000);
  const arma::vec n_steps = read_vec(archive, group + "/n_steps", 10'000);
  calibration.mse = read_vec(archive, group + "/mse", 10'000);
  if (archive.has(group + "/mse_ratio")) {
    calibration.mse_ratio = read_vec(archive, group + "/mse_ratio", 10'000);
  }
  arma::vec n_spins;
  if (archive.has(group + "/n_spins")) n_spins = read_vec(archive, group + "/n_spins", 10'000);
  const arma::uword n = calibration.snr_db.n_elem;
  const arma::vec& ratio = calibration.mse_ratio;
  const bool fits =
      (ratio.is_empty() || (ratio.n_elem == n && ratio.is_finite() && arma::all(ratio > 0.0))) &&
      n_steps.n_elem == n && calibration.mse.n_elem == n && calibration.snr_db.is_finite() &&
      calibration.snr_db.is_sorted() && arma::all(n_steps >= 1.0) &&
      (n_spins.is_empty() || (n_spins.n_elem == n && arma::all(n_spins >= 1.0) &&
                              arma::all(n_spins <= double(most_spins)))) &&
      arma::all(n_steps <= 10'000.0) && calibration.mse.is_finite() &&
      arma::all(calibration.mse > 0.0);
  if (!fits) {
    throw_format(archive.file(), "the calibration is damaged; calibrate the model again");
  }
  calibration.n_steps = arma::conv_to<arma::uvec>::from(n_steps);
  calibration.n_spins = arma::conv_to<arma::uvec>::from(n_spins);
  return calibration;
}

std::vector<SizeCalibration> read_sizes(const ArchiveReader& archive, const ArrayRange& arrays) {
  std::vector<SizeCalibration> sizes;
  if (!archive.has("/sizes")) return sizes;
  for (const std::string& name : archive.list("/sizes")) {
    const std::string group = "/sizes/" + name;
    const auto antennas = [&](const char* side) {
      return static_cast<arma::uword>(
          std::clamp(archive.number_attribute(group, side).value_or(0.0), 0.0, 1e6));
    };
    SizeCalibration size{antennas("n_rx"), antennas("n_tx"), read_calibration(archive, group)};
    if (!arrays.holds(size.n_rx, size.n_tx) || size.calibration.empty()) {
      throw_format(archive.file(), group + " is damaged; calibrate the model again");
    }
    sizes.push_back(std::move(size));
  }
  return sizes;
}

void check_size(const NetworkModel& model) {
  if (model.n_rx == 0 || model.n_tx == 0) {
    throw Error(ErrorKind::invalid_argument,
                "network model: n_rx and n_tx are " + std::to_string(model.n_rx) + " and " +
                    std::to_string(model.n_tx) + "; expected at least 1");
  }
  if (const std::string why = model.network.why_invalid(); !why.empty()) {
    throw Error(ErrorKind::invalid_argument, why);
  }
}

}  // namespace

std::pair<double, double> NetworkModel::sigma2_range() const {
  if (network.log_snr) return {from_db(-network.snr_high_db), from_db(-network.snr_low_db)};
  return {schedule.sigma2(0), schedule.sigma2(schedule.n_steps() - 1)};
}

NetworkModel for_array(const NetworkModel& model, arma::uword n_rx, arma::uword n_tx) {
  if (n_rx == model.n_rx && n_tx == model.n_tx) return model;
  if (!model.arrays.holds(n_rx, n_tx)) {
    throw Error(
        ErrorKind::invalid_argument,
        "network model: it is for channels of " +
            (model.arrays.empty() ? std::to_string(model.n_rx) + "x" + std::to_string(model.n_tx)
                                  : model.arrays.text()) +
            ", these are " + std::to_string(n_rx) + "x" + std::to_string(n_tx));
  }
  NetworkModel out = model;
  out.n_rx = n_rx;
  out.n_tx = n_tx;
  out.errors = {};
  out.solvers = {};
  out.tuned = {};
  out.second_moments = {};
  const auto octaves = [&](arma::uword rx, arma::uword tx) {
    const auto apart = [](arma::uword a, arma::uword b) {
      return std::abs(std::log2(static_cast<double>(a) / static_cast<double>(b)));
    };
    return apart(rx, n_rx) + apart(tx, n_tx);
  };
  double nearest = octaves(model.n_rx, model.n_tx);
  for (const SizeCalibration& size : model.sizes) {
    if (octaves(size.n_rx, size.n_tx) >= nearest) continue;
    nearest = octaves(size.n_rx, size.n_tx);
    out.calibration = size.calibration;
  }
  return out;
}

NetworkModel for_class(const NetworkModel& model, std::optional<arma::uword> which) {
  if (!which && !model.network.told_class) return model;
  const auto n = static_cast<arma::uword>(model.network.classes);
  if (which && (!model.network.told_class || *which >= n)) {
    throw Error(
        ErrorKind::invalid_argument,
        "network model: class " + std::to_string(*which) + ": " +
            (model.network.told_class
                 ? "it knows the classes 0 to " + std::to_string(n - 1)
                 : std::string("it was not fitted to be told the class of a channel; see "
                               "'chest fit dmse --labels FILE --network chest:told-class'")));
  }
  NetworkModel out = model;
  out.weights = arranged_weights(network_layout(model.network), model.weights,
                                 ErrorKind::invalid_argument, "network model");
  const std::vector<float> of_class = out.weights.back().values;
  out.weights.pop_back();
  out.network.told_class = false;
  out.network.classes = 0;
  std::vector<float>& offsets = out.weights.back().values;
  for (std::size_t i = 0; which && i < offsets.size(); ++i) offsets[i] += of_class[i * n + *which];
  return out;
}

void check_is_prior(const NetworkModel& model, const std::string& who) {
  if (model.P.is_empty() && !model.network.side) return;
  throw Error(ErrorKind::invalid_argument,
              who +
                  (model.network.side ? ": is told a side matrix of each channel and is no prior"
                                      : ": is the estimator of its own pilots and no prior") +
                  "; it serves dmse alone");
}

void save(const std::filesystem::path& file, const NetworkModel& model) {
  check_size(model);
  const auto weights = arranged_weights(network_layout(model.network), model.weights,
                                        ErrorKind::invalid_argument, "network model");
  ArchiveWriter archive(file);
  const NetworkConfig& network = model.network;
  const bool is_plain = network.classes == 0 && network.numbers == 0 && model.P.is_empty() &&
                        !network.reverse_variance && !network.axial && !network.side;
  write_model_header(archive, "dmse", is_plain ? plain_model_version : newest_model_version,
                     header_of(model));
  archive.attribute("/", "network", to_json(model.network));
  archive.attribute("/", "prediction", std::string(to_string(model.prediction)));
  if (!model.scheduler.empty()) archive.attribute("/", "scheduler", model.scheduler);
  if (!model.tuning_data.empty()) archive.attribute("/", "tuning_data", model.tuning_data);
  write_weights(archive, weights);
  write_vec(archive, "/schedule/betas", model.schedule.betas());
  write_calibration(archive, "/calibration", model.calibration);
  for (std::size_t i = 0; i < model.sizes.size(); ++i) {
    const std::string group = "/sizes/" + std::to_string(i);
    write_calibration(archive, group, model.sizes[i].calibration);
    archive.attribute(group, "n_rx", static_cast<std::int64_t>(model.sizes[i].n_rx));
    archive.attribute(group, "n_tx", static_cast<std::int64_t>(model.sizes[i].n_tx));
  }
  if (!model.arrays.empty()) archive.attribute("/", "arrays", model.arrays.text());
  if (!model.P.is_empty()) archive.write("/pilots", model.P);
  if (!model.errors.empty()) {
    write_vec(archive, "/errors/sigma2", model.errors.sigma2);
    write_vec(archive, "/errors/mse", model.errors.mse);
    if (!model.errors.angular.is_empty()) archive.write("/errors/angular", model.errors.angular);
    if (!model.errors.spatial.is_empty()) archive.write("/errors/spatial", model.errors.spatial);
    if (!model.errors.full.empty()) {
      const arma::uword n = model.errors.full.size(), n_h = model.n_rx * model.n_tx;
      std::vector<std::complex<double>> values;
      for (const arma::cx_mat& each : model.errors.full) {
        const arma::cx_mat rows = each.st();
        values.insert(values.end(), rows.begin(), rows.end());
      }
      archive.write("/errors/full", {n, n_h, n_h}, values.data());
    }
  }
  if (!model.second_moments.empty()) {
    save(archive, "/second_moments", model.second_moments);
    archive.attribute("/second_moments", "covariance",
                      std::string(to_string(model.second_moments.kind())));
  }
  write_solvers(archive, "/solvers", model.solvers);
  for (const TunedMethod& each : model.tuned.methods) {
    write_solvers(archive,
                  "/tuned/" + each.method + "/" + name_of(tuning_budget_names, each.budget),
                  each.table);
  }
  if (!model.precision.empty()) {
    write_vec(archive, "/precision/snr_db", model.precision.snr_db);
    write_vec(archive, "/precision/bfloat16_loss_db", model.precision.bfloat16);
    if (!model.precision.int8.is_empty()) {
      write_vec(archive, "/precision/int8_loss_db", model.precision.int8);
      archive.write("/precision/largest", model.precision.largest);
    }
  }
  if (!model.train_losses.empty()) write_vec(archive, "/losses/train", model.train_losses);
  if (!model.validation_losses.empty()) {
    write_vec(archive, "/losses/validation", model.validation_losses);
  }
  archive.commit();
}

NetworkModel load_network_model(const std::filesystem::path& file) {
  const ArchiveReader archive(file);
  NetworkModel model;
  const ModelHeader header = read_model_header(archive, "dmse", newest_model_version);
  set_header(model, header);
  model.scheduler = archive.text_attribute("/", "scheduler").value_or("");
  model.tuning_data = archive.text_attribute("/", "tuning_data").value_or("");
  const Settings network(file, "network",
                         required_attribute(archive, "network", "the layers of the network"));
  model.network =
      header.version == 1
          ? published_config(file, network.counts("channels_pre"), network.counts("channels_post"),
                             static_cast<int>(network.count("kernel", 31)),
                             static_cast<int>(network.count("embedding", 1024)))
          : read_config(file, network);
  try {
    model.prediction = prediction_from_string(
        required_attribute(archive, "prediction", "what the network's output means"));
  } catch (const Error& error) {
    throw_format(file, error.what());
  }
  model.weights = read_network_weights(archive, "/weights/", model.network, header.version == 1);
  model.schedule = schedule_from(file, read_vec(archive, "/schedule/betas", most_noise_levels));
  if (model.network.reverse_variance && model.schedule.n_steps() < 2) {
    throw_format(file, "its network has variances of a step back, its schedule one noise level");
  }
  model.calibration = read_calibration(archive, "/calibration");
  if (const auto arrays = archive.text_attribute("/", "arrays")) {
    try {
      model.arrays = parse_array_range(*arrays, "attribute arrays");
    } catch (const Error& error) {
      throw_format(file, error.what());
    }
    model.sizes = read_sizes(archive, model.arrays);
  }
  if (archive.has("/pilots")) {
    model.P = archive.read_cx_mat("/pilots");
    if (model.P.n_rows != model.n_tx || model.P.n_cols == 0 || !model.P.is_finite()) {
      throw_format(file, "/pilots is damaged");
    }
  }
  model.errors = read_errors(archive, model.n_rx * model.n_tx);
  model.solvers = read_solvers(archive, "/solvers", model.n_tx);
  model.tuned = read_tuned(archive, model.n_tx);
  model.second_moments = read_second_moments(archive, model.n_rx, model.n_tx);
  model.precision = read_precision(archive, model.network.hidden.size());
  if (archive.has("/losses/train")) {
    model.train_losses = read_vec(archive, "/losses/train", most_epochs);
  }
  if (archive.has("/losses/validation")) {
    model.validation_losses = read_vec(archive, "/losses/validation", most_epochs);
  }
  return model;
}

}  // namespace v0
}  // namespace chest
