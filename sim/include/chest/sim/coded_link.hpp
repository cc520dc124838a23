#pragma once

#include <chest/sim/pusch.hpp>
#include <chest/sim/sweep.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

/// Transport blocks over channels on a grid: one sample of the channels is what one transmission sees. With n
/// transmissions n samples that follow each other in the run belong to one block; what is left at the end of a
/// block of the run is not used.
struct CodedLinkOptions {
  SweepOptions run;  ///< stop_rel looks at the BLER; `block` is rounded to whole transport blocks
  PuschOptions pusch;
};

/// Block errors, throughput and bit errors beside the NMSE, over pilots and SNR; see run_sweep(). All estimators see the same
/// bits, channels and noise; a block that one has decoded is not sent again to it. The estimator "perfect" is
/// always the last one.
///
/// @throws as run_sweep(), and Error(invalid_argument) as make_allocation(), or if there are fewer samples than
///         transmissions of a block
Results run_coded_link(const SampleReader& samples, const CovarianceReader& covariances,
                       const EstimatorFactory& make_estimator, const CodedLinkOptions& options,
                       const RunControl& control = {});

}  // namespace sim
}  // namespace v0
}  // namespace chest
