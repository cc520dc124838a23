#pragma once

#include <string>

#include <chest/error.hpp>
#include <chest/estimators/common/contract.hpp>
#include <chest/estimators/prior/denoiser.hpp>
#include <chest/observation.hpp>

namespace chest {
inline namespace v0 {

/// What every solver with a denoiser asks of its parts.
/// @throws Error(invalid_argument) if one is null or their sizes differ
inline void check_solver(const std::string& who, const ObservationOperator* A,
                         const Denoiser* denoiser) {
  check_given(who, A);
  if (denoiser == nullptr) {
    throw Error(ErrorKind::invalid_argument, who + ": the denoiser is not given");
  }
  if (denoiser->n_h() != A->n_h()) {
    throw Error(ErrorKind::invalid_argument,
                who + ": the denoiser is for n_h = " + std::to_string(denoiser->n_h()) +
                    ", A for " + std::to_string(A->n_h()));
  }
}

/// @throws Error(invalid_argument) if the denoiser has no gradient
inline void check_gradient(const std::string& who, const Denoiser& denoiser) {
  if (denoiser.differentiable()) return;
  throw Error(ErrorKind::invalid_argument,
              who + ": " + denoiser.name() +
                  " has no gradient; use a method that needs none, as ep or diffpir");
}

}  // namespace v0
}  // namespace chest
