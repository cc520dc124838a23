#include <chest/error.hpp>
#include <chest/estimators/network.hpp>
#include <chest/estimators/vae.hpp>

namespace chest {
namespace {

[[noreturn]] void throw_unavailable(const std::string& who) {
  throw Error(ErrorKind::invalid_argument,
              who +
                  ": this chest was built without LibTorch, which the network needs; configure it "
                  "again with -DCHEST_WITH_TORCH=ON");
}

}  // namespace

std::unique_ptr<Denoiser> make_network_denoiser(const NetworkModel&, const NetworkRunOptions&) {
  throw_unavailable("network denoiser");
}

NetworkModel fit_network(const SampleReader&, const SampleReader&, const NetworkFitOptions&,
                         const RunControl&) {
  throw_unavailable("fit dmse");
}

VaeModel fit_vae(const SampleReader&, const SampleReader&, const VaeFitOptions&,
                 const RunControl&) {
  throw_unavailable("fit vae");
}

std::unique_ptr<Estimator> make_vae(std::shared_ptr<const ObservationOperator>, const VaeModel&) {
  throw_unavailable("vae");
}

}  // namespace chest
