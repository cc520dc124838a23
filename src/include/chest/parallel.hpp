#pragma once

#include <cstddef>
#include <functional>

namespace chest {

/// Makes the linear algebra below Armadillo run in the calling thread: chest is parallel over
/// samples, and wider teams only wait for each other. Idempotent.
void use_one_blas_thread();

/// Number of processors this process may run on, at least 1.
unsigned available_threads();

/// Calls body(i) for i = 0 .. n - 1 on `n_threads` threads, each taking the next i. The first
/// exception ends the loop and is rethrown here.
void parallel_for(std::size_t n, unsigned n_threads, const std::function<void(std::size_t)>& body);

}  // namespace chest
