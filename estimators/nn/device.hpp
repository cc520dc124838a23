#pragma once

#include <ATen/ATen.h>

#include <string>

namespace chest::nn {

/// "auto", "cpu", "cuda" or "cuda:N".
/// @throws Error(invalid_argument) naming `who` if there is no such device; lists those there
at::Device device_from_string(const std::string& text, const std::string& who);

/// LibTorch's operations run in the calling thread from here on: chest runs one worker per core,
/// and an OpenMP team that is wider than the free cores spins. Also for threads that LibTorch meets
/// later; a program that uses LibTorch beside chest sets its own number again where it needs one.
void use_one_torch_thread();

}  // namespace chest::nn
