#pragma once

#include <armadillo>
#include <cstdint>

#include <chest/channels/generator.hpp>
#include <chest/paths.hpp>

namespace chest::test {

/// Columns h of samples first .. first + count - 1 of a generator of gains and delays.
inline arma::cx_mat draw_grids(const ChannelGenerator& generator, std::uint64_t seed,
                               std::uint64_t first, arma::uword count) {
  const ChannelBlock block = generator.generate(seed, first, count);
  arma::cx_mat h(generator.n_rx() * generator.n_tx() * generator.grid().n_elements(), count);
  for (arma::uword k = 0; k < count; ++k)
    put_on_grid(block.paths[k], generator.grid(), h.colptr(k));
  return h;
}

}  // namespace chest::test
