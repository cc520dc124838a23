#pragma once

#include <filesystem>
#include <iosfwd>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <chest/channels/dataset.hpp>
#include <chest/estimators/catalog/catalog.hpp>
#include <chest/estimators/diffusion/calibrate.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/run_control.hpp>

#include "flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

/// How a calibration runs.
struct CalibrationRun {
  NetworkRunOptions networks;
  std::uint64_t seed = 1;
  unsigned n_threads = 1;
  double mean_calls = 0.0;  ///< see CalibrationChoices
  RunControl control;

  static CalibrationRun of(const CommonFlags& common, const RunControl& control);
};

/// Fills what a model knows of itself from channels that it was not fitted on: calls per SNR, and
/// the errors of one call.
/// @param side  of these channels, for a network that is told it
/// @param full  also the covariances of these errors, of as many channels as they need
void calibrate_model(NetworkModel& model, const SampleReader& held_out, const CalibrationRun& run,
                     const SampleReader& side = {}, bool full = false);

/// Channels of the same links over parts of the band, beginning with the first subcarrier, ascending: 2, 4
/// and 13 PRB, what `samples` have, and 273 PRB where the file has gains and delays.
class Bands {
 public:
  /// @param flags  of the file of the samples
  /// @param range  of the samples
  Bands(const ChannelFlags& flags, const SampleRange& range, const SampleReader& samples);
  /// The samples as they are, alone.
  explicit Bands(const SampleReader& samples) : readers_{samples} {}
  const std::vector<SampleReader>& readers() const { return readers_; }

 private:
  std::unique_ptr<Dataset> wide_;
  std::vector<SampleReader> readers_;
};

/// Means over samples, by estimator and SNR.
struct MeanErrors {
  double nmse = 0.0, predicted = 0.0;
};
using ErrorTable = std::map<std::pair<std::string, double>, MeanErrors>;
/// Means over groups of samples. At each SNR those groups are left out in which the error of `estimator` over what it
/// predicts is more than twice that of the middle group: one channel of a hundred with delays beyond what its
/// pilots resolve has an error of its own, and would be most of the mean.
ErrorTable without_outliers(const std::vector<ErrorTable>& groups, const std::string& estimator,
                            const std::vector<double>& snr_db);

/// Fills error_ratio, linear_ratio, sparse_weight and what belongs to them: of the estimator that has the name of its kind,
/// with the model as it is in `file`, on channels that it was not fitted on, over bands and steps: the
/// least and the most that the model serves, and plane_step.
void measure_grid_errors(const std::string& kind, const std::filesystem::path& file,
                         GridStatistics& grid, const Bands& bands, const CalibrationRun& run,
                         const Catalog& catalog);
/// The same of a model, which is written again; nothing for one without planes.
template <class Model>
void calibrate_grid_errors(const std::string& kind, const std::filesystem::path& file, Model& model,
                           const Bands& bands, const CalibrationRun& run, const Catalog& catalog) {
  if (model.grid.plane_step == 0) return;
  // What is measured is the model itself.
  model.grid.error_ratio.reset();
  model.grid.linear_ratio.reset();
  model.grid.sparse_weight.reset();
  save(file, model);
  measure_grid_errors(kind, file, model.grid, bands, run, catalog);
  save(file, model);
}

/// One line per SNR: calls, NMSE, and the measured over the predicted error where it was predicted.
void print(const Calibration& calibration, std::ostream& out);
/// The most that less than float32 costs; nothing where it was not measured.
void print(const PrecisionLosses& losses, std::ostream& out);
/// One line per SNR: the solver and its NMSE.
void print(const SolverChoice& choice, std::ostream& out);

}  // namespace cli
}  // namespace v0
}  // namespace chest
