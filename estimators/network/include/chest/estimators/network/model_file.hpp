#pragma once

#include <armadillo>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <chest/channel_covariance.hpp>
#include <chest/estimators/common/grid_statistics.hpp>
#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/diffusion/schedule.hpp>
#include <chest/estimators/diffusion/solver_table.hpp>
#include <chest/estimators/network/array_range.hpp>
#include <chest/estimators/network/config.hpp>
#include <chest/estimators/prior/errors.hpp>
#include <chest/provenance.hpp>

namespace chest {
inline namespace v0 {

/// What it costs to compute less exactly than in float32, on channels of `chest calibrate`: in dB of NMSE of
/// an estimate with its calls, per SNR.
struct PrecisionLosses {
  arma::vec snr_db;          ///< ascending
  arma::vec bfloat16, int8;  ///< dB; int8 empty: a layer does not end in a ReLU
  /// Value of each hidden layer that a byte of 255 stands for, [n_hidden, n_snr].
  arma::mat largest;
  bool empty() const { return snr_db.is_empty(); }
};

/// What calibration found for one size of array.
struct SizeCalibration {
  arma::uword n_rx = 0, n_tx = 0;
  Calibration calibration;
};

/// A fitted diffusion model: what `chest fit dmse` writes and the DMSE estimator runs.
struct NetworkModel {
  arma::uword n_rx = 0, n_tx = 0;
  NetworkConfig network;
  Prediction prediction = Prediction::velocity;
  /// Of the rules of [Fesl2024a], and of what a network without log_snr is told.
  NoiseSchedule schedule = NoiseSchedule::linear(100, 9.999000099991662e-5, 0.1);
  std::vector<NamedTensor> weights;  ///< what estimates run on: the averaged weights after a fit
  Calibration calibration;
  DenoiserErrors errors;  ///< of one call, with angular; empty when not measured
  /// E[h h^H] by its structure: what linear MMSE takes as a start or among candidates; empty: not measured.
  ChannelCovariance second_moments;
  SolverTable solvers;        ///< for pilots that do not decorrelate; empty when not calibrated
  TunedMethods tuned;         ///< other methods with parameters of their own; empty when not tuned
  PrecisionLosses precision;  ///< empty when not measured
  /// Power normalisation of the fitting channels: "none", or "h * factor".
  double channel_scale = 1.0;
  arma::vec train_losses, validation_losses;  ///< per epoch
  /// JSON: the scheduler_config.json of diffusers that the weights came with; empty: none.
  std::string scheduler;
  std::string training_data;  ///< JSON: file, dataset, samples, hash; empty for imported weights
  std::string tuning_data;  ///< JSON: a list of the same, of the channels that it was calibrated on
  Provenance provenance;
  GridStatistics grid = {};  ///< of channels on a grid, whose planes this is a model of
  /// Sizes of arrays that it serves, of which n_rx x n_tx is the largest; empty: this size alone.
  ArrayRange arrays = {};
  std::vector<SizeCalibration> sizes = {};  ///< calibrations for some of them
  /// Pilots [n_tx, n_pilots], fewer than antennas, of which the network is the estimator: D(A^+ y, sigma2) =
  /// E[h | y = A h + n], sigma2 the variance of n. Empty: any pilots that decorrelate, D as Denoiser has it.
  arma::cx_mat P = {};

  /// Noise levels, from .. to, that the network was fitted for.
  std::pair<double, double> sigma2_range() const;
};

/// The model as one for arrays of this size: its calibration is that of the size nearest in octaves, and what was
/// measured for the angles and pilots of another size is left out.
/// @throws Error(invalid_argument) if it does not serve them
NetworkModel for_array(const NetworkModel& model, arma::uword n_rx, arma::uword n_tx);

/// The network of channels of one class as one that is told none: the weights of the class become constants of the
/// modulation. Without a class, the network for channels whose class is not known.
/// @throws Error(invalid_argument) if there is no such class
NetworkModel for_class(const NetworkModel& model, std::optional<arma::uword> which);

/// @param who  of whom the sentence speaks: a file, an estimator
/// @throws Error(invalid_argument) if the model is an estimator: of pilots of its own (NetworkModel::P), or of channels of
///         which it is told another matrix (NetworkConfig::side)
void check_is_prior(const NetworkModel& model, const std::string& who);

void save(const std::filesystem::path& file, const NetworkModel& model);
/// @throws Error(format) if the file is not a DMSE model or is damaged
NetworkModel load_network_model(const std::filesystem::path& file);

/// Reads the authors' checkpoint converted to HDF5: /state_dict/model.*, attribute sim_params.
/// @throws Error(format) if weights are missing or of a wrong shape
NetworkModel import_published_weights(const std::filesystem::path& file);

}  // namespace v0
}  // namespace chest
