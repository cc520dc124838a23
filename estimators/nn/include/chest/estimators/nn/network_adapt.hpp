#pragma once

#include <armadillo>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <chest/estimators/network/model_file.hpp>
#include <chest/observation.hpp>
#include <chest/run_control.hpp>

namespace chest {
inline namespace v0 {

/// What an adaptation may change.
enum class AdaptedLayers {
  all,  ///< every weight
  last  ///< the last convolution, and what the noise level does to each layer
};
inline constexpr std::pair<AdaptedLayers, const char*> adapted_layers_names[] = {
    {AdaptedLayers::all, "all"}, {AdaptedLayers::last, "last"}};
/// @throws Error(invalid_argument) naming what there is
AdaptedLayers adapted_layers_from_string(const std::string& text);

struct AdaptOptions {
  AdaptedLayers layers = AdaptedLayers::all;
  double learning_rate = 3e-3;  ///< Adam, > 0; falls to zero as a cosine
  arma::uword batch = 16;       ///< observations per step, > 0
  double ema_decay = 0.99;      ///< averaging of the weights per step, 0 (off) .. < 1
  arma::uword max_epochs = 30;  ///< passes over the observations, of 1024 draws at least; >= 1
  double max_minutes = 0.0;     ///< wall-clock limit; 0: none
  arma::uword patience = 10;    ///< epochs without a better validation loss until it stops
  std::uint64_t seed = 1;
  unsigned n_threads = 1;
  std::string device = "cpu";
  /// Convolutions in bfloat16 where no divergence is taken: see NetworkFitOptions.
  bool bfloat16 = false;
  std::string why_invalid() const;
};

/// Pilots received over channels that are not known.
struct ReceivedPilots {
  arma::cx_mat y;    ///< [n_obs, n_samples]
  arma::vec sigma2;  ///< noise variance per complex entry of each column, > 0
};

/// A model adapted to a site, and what pilots that it was not fitted to say of it.
struct Adaptation {
  NetworkModel model;
  arma::vec snr_db;         ///< levels that the observations can judge, ascending
  arma::vec before, after;  ///< NMSE of one call there, unbiased estimates; of what the pilots see
  /// Mean over these levels of the relative change of the error (negative: better), and its standard error.
  double change = 0.0, change_error = 0.0;
  /// Mean squared error with which slots that were kept back are predicted from the others, per entry, by
  /// the model before and after, and the standard error of their difference. NaN with less than two slots.
  double slots_before = 0.0, slots_after = 0.0, slots_error = 0.0;
  /// Greatest mean squared difference to the model before, over its own error, where the observations say nothing.
  double moved = 0.0;
  bool recalibrated =
      false;            ///< calls, errors and predicted errors; few pilots leave them as they were
  std::string refusal;  ///< why the model must not be used, a sentence; empty: it may
};

/// Fits a network to a site from received pilots alone. For pilots that decorrelate A^+ y = h + n', and each
/// micro-batch has a noise level, uniform in dB from the lowest of n' to the highest that the network knows:
/// the loss is that of recorrupt(), whose mean is E||D - h||^2 up to a constant, divided by its running mean.
/// Below the noise nothing can be learnt: there D is held at the network before, on its own estimates of the
/// observations with part of what these leave of y, and so is the logarithm of the errors that it predicts everywhere.
///
/// For fewer pilots, or others, P P^H = U L U^H: column i of H U is seen with noise sigma2 / l_i. Every
/// observation is split once into two of twice the noise, which are independent. The first, and in the
/// directions that it does not see its diffpir estimate, is what D is given; the second is its target in
/// the directions that are seen, and elsewhere D is held at the network before.
///
/// The guard: Adaptation::refusal names what `held_out` says against the model. It must be better there by two
/// standard errors, at no level worse by more than three, and predict pilot slots that were kept back no worse than
/// two standard errors.
///
/// The same seed gives the same bits for any number of threads.
/// @param model     of matrices
/// @param A         the identity, or pilots
/// @param fit       observations to fit to, held_out: others
/// @throws Error(invalid_argument) if options or sizes do not fit, the model is of grids, the observations hold less
///         noise than their sigma2 says or seem to hold more, or none of them has noise that the network knows;
///         Error(numeric) if the loss is not finite
/// Source: [Stein1981], [Eldar2009], [Pang2021], [RapSr2024]; docs/adapt.md
Adaptation adapt_network(const NetworkModel& model,
                         const std::shared_ptr<const ObservationOperator>& A,
                         const ReceivedPilots& fit, const ReceivedPilots& held_out,
                         const AdaptOptions& options, const RunControl& control = {});

}  // namespace v0
}  // namespace chest
