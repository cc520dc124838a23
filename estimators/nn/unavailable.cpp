#include <chest/error.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/vae_model.hpp>
#include <chest/estimators/nn/device_estimator.hpp>
#include <chest/estimators/nn/network_adapt.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <chest/estimators/nn/vae.hpp>
#include <chest/estimators/prior/denoiser.hpp>

#include "torch_denoiser.hpp"

namespace chest {
inline namespace v0 {
namespace {

[[noreturn]] void throw_unavailable(const std::string& who) {
  throw Error(ErrorKind::invalid_argument,
              who +
                  ": this chest was built without LibTorch, which the network needs; configure it "
                  "again with -DCHEST_WITH_TORCH=ON");
}

}  // namespace

bool built_with_torch() { return false; }

bool can_fit_in_processes() { return false; }

std::unique_ptr<Denoiser> make_torch_denoiser(const NetworkModel&, const NetworkRunOptions&) {
  throw_unavailable("engine torch");
}

std::unique_ptr<DeviceEstimator> make_device_dmse(const arma::cx_mat&, arma::uword,
                                                  const NetworkModel&, const DeviceOptions&) {
  throw_unavailable("device estimator");
}

bool built_with_cuda() { return false; }

NetworkModel fit_network(const SampleReader&, const SampleReader&, const NetworkFitOptions&,
                         const RunControl&, const ChannelLabels&, const ChannelLabels&) {
  throw_unavailable("fit dmse");
}

Adaptation adapt_network(const NetworkModel&, const std::shared_ptr<const ObservationOperator>&,
                         const ReceivedPilots&, const ReceivedPilots&, const AdaptOptions&,
                         const RunControl&) {
  throw_unavailable("adapt");
}

VaeModel fit_vae(const SampleReader&, const SampleReader&, const VaeFitOptions&,
                 const RunControl&) {
  throw_unavailable("fit vae");
}

std::unique_ptr<Estimator> make_vae(std::shared_ptr<const ObservationOperator>, const VaeModel&) {
  throw_unavailable("vae");
}

}  // namespace v0
}  // namespace chest
