#include <chest/sim/coding/nr_ldpc.hpp>

#include <algorithm>
#include <array>
#include <iterator>
#include <string>

#include <chest/error.hpp>

#include "base_graphs.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

/// The numbers of a base graph beside its table.
struct GraphFacts {
  unsigned n_systematic, n_columns, n_rows, most_bits;
  std::array<unsigned, 4> k0;  ///< start of each redundancy version, in columns (table 5.4.2.1-2)
};
constexpr unsigned n_core = 4;  // rows and parity columns of the core

const GraphFacts& facts_of(BaseGraph graph) {
  static constexpr GraphFacts of_bg1{22, 68, 46, 8448, {0, 17, 33, 56}};
  static constexpr GraphFacts of_bg2{10, 52, 42, 3840, {0, 13, 25, 43}};
  return graph == BaseGraph::bg1 ? of_bg1 : of_bg2;
}

/// The set i_LS of a lifting size: a of a 2^j.
unsigned lifting_set(unsigned z) {
  while (z % 2 == 0) z /= 2;
  switch (z) {
    case 1:
      return 0;  // 2
    case 3:
      return 1;
    case 5:
      return 2;
    case 7:
      return 3;
    case 9:
      return 4;
    case 11:
      return 5;
    case 13:
      return 6;
    default:
      return 7;  // 15
  }
}

/// Columns that information bits fill at most: fewer where a block is short.
unsigned filled_columns(BaseGraph graph, unsigned n_info) {
  if (graph == BaseGraph::bg1) return 22;
  if (n_info > 640) return 10;
  if (n_info > 560) return 9;
  return n_info > 192 ? 8 : 6;
}

unsigned lifting_of(BaseGraph graph, unsigned n_info) {
  const unsigned columns = filled_columns(graph, n_info);
  for (const unsigned z : lifting_sizes())
    if (columns * z >= n_info) return z;
  return 384;
}

template <std::size_t n>
std::vector<ParityCheck::Circulant> lifted(const std::uint16_t (&table)[n][10], unsigned z) {
  const unsigned set = lifting_set(z);
  std::vector<ParityCheck::Circulant> circulants;
  circulants.reserve(n);
  for (const auto& entry : table)
    circulants.push_back({entry[0], entry[1], static_cast<std::uint32_t>(entry[2 + set] % z)});
  return circulants;
}

/// sum[i] ^= block[(i + shift) mod z]
void add_shifted(const std::uint8_t* block, unsigned shift, unsigned z, std::uint8_t* sum) {
  for (unsigned i = 0; i < z - shift; ++i) sum[i] ^= block[i + shift];
  for (unsigned i = z - shift; i < z; ++i) sum[i] ^= block[i + shift - z];
}

}  // namespace

BaseGraph base_graph_of(std::size_t n_info, double code_rate) {
  const bool second = n_info <= 292 || (n_info <= 3824 && code_rate <= 0.67) || code_rate <= 0.25;
  return second ? BaseGraph::bg2 : BaseGraph::bg1;
}

unsigned most_block_bits(BaseGraph graph) { return facts_of(graph).most_bits; }

const std::vector<unsigned>& lifting_sizes() {
  static const std::vector<unsigned> sizes = [] {
    std::vector<unsigned> all;
    for (const unsigned a : {2u, 3u, 5u, 7u, 9u, 11u, 13u, 15u})
      for (unsigned z = a; z <= 384; z *= 2) all.push_back(z);
    std::sort(all.begin(), all.end());
    return all;
  }();
  return sizes;
}

NrLdpc::NrLdpc(BaseGraph graph, unsigned n_info) : graph_(graph), n_info_(n_info) {
  const GraphFacts& facts = facts_of(graph);
  if (n_info == 0 || n_info > facts.most_bits)
    refuse("nr_ldpc: a block of base graph " + std::to_string(int(graph)) + " has " +
           std::to_string(n_info) + " bits, expected 1 .. " + std::to_string(facts.most_bits));
  const unsigned z = lifting_of(graph, n_info);
  k_ = facts.n_systematic * z;
  n_word_ = facts.n_columns * z;
  H_.z = z;
  H_.n_rows = facts.n_rows;
  H_.n_columns = facts.n_columns;
  H_.circulants = graph == BaseGraph::bg1 ? lifted(base_graph_1, z) : lifted(base_graph_2, z);
  row_start_.assign(H_.n_rows + 1, 0);
  for (const auto& c : H_.circulants) ++row_start_[c.row + 1];
  for (std::uint32_t row = 0; row < H_.n_rows; ++row) row_start_[row + 1] += row_start_[row];
  // In the sum of the core rows all parity but the first cancels, and of that two of three shifts.
  std::vector<unsigned> shifts;
  for (std::uint32_t i = 0; i < row_start_[n_core]; ++i)
    if (H_.circulants[i].column == facts.n_systematic) shifts.push_back(H_.circulants[i].shift);
  parity_shift_ = shifts[0] == shifts[1]   ? shifts[2]
                  : shifts[0] == shifts[2] ? shifts[1]
                                           : shifts[0];
}

void NrLdpc::encode(const std::uint8_t* info, std::uint8_t* word) const {
  const unsigned z = H_.z;
  std::copy_n(info, n_info_, word);
  std::fill(word + n_info_, word + n_word_, std::uint8_t{0});
  // Each row's sum of what is known. Core rows first, without parity.
  std::array<std::array<std::uint8_t, 384>, n_core> sums{};
  std::array<std::uint8_t, 384> first{};
  std::uint8_t* const parity = word + k_;
  for (unsigned row = 0; row < n_core; ++row) {
    for (std::uint32_t i = row_start_[row]; i < row_start_[row + 1]; ++i) {
      const auto& c = H_.circulants[i];
      if (c.column * z < k_) add_shifted(word + c.column * z, c.shift, z, sums[row].data());
    }
    for (unsigned i = 0; i < z; ++i) first[i] ^= sums[row][i];
  }
  for (unsigned i = 0; i < z; ++i) parity[(i + parity_shift_) % z] = first[i];
  // The other three follow one by one: a row with a single unknown, in either direction.
  std::array<bool, n_core> known{true, false, false, false};
  std::array<bool, n_core> used{};
  for (unsigned found = 1; found < n_core; ++found) {
    for (unsigned row = 0; row < n_core; ++row) {
      if (used[row]) continue;
      unsigned n_unknown = 0, unknown = 0;
      for (std::uint32_t i = row_start_[row]; i < row_start_[row + 1]; ++i) {
        const std::uint32_t column = H_.circulants[i].column;
        if (column * z < k_ || known[column - k_ / z]) continue;
        ++n_unknown;
        unknown = column - k_ / z;
      }
      if (n_unknown != 1) continue;
      for (std::uint32_t i = row_start_[row]; i < row_start_[row + 1]; ++i) {
        const auto& c = H_.circulants[i];
        if (c.column * z >= k_ && known[c.column - k_ / z])
          add_shifted(word + c.column * z, c.shift, z, sums[row].data());
      }
      std::copy_n(sums[row].data(), z, parity + unknown * z);  // their shift is 0
      known[unknown] = used[row] = true;
      break;
    }
  }
  // Each further row defines one parity block, the last of the row, shifted by 0.
  for (std::uint32_t row = n_core; row < H_.n_rows; ++row)
    for (std::uint32_t i = row_start_[row]; i + 1 < row_start_[row + 1]; ++i) {
      const auto& c = H_.circulants[i];
      add_shifted(word + c.column * z, c.shift, z, parity + row * z);
    }
}

/// Calls take(position in the buffer, index of the sent bit) for each of n_sent bits.
/// @return block rows that define what is taken
template <class Take>
unsigned NrLdpc::walk(unsigned rv, unsigned qm, std::size_t n_sent, const Take& take) const {
  if (rv > 3) refuse("nr_ldpc: rv is " + std::to_string(rv) + ", expected 0 .. 3");
  if (qm == 0 || n_sent == 0 || n_sent % qm != 0)
    refuse("nr_ldpc: " + std::to_string(n_sent) + " bits are sent with " + std::to_string(qm) +
           " per symbol, expected a multiple");
  const unsigned n = n_buffer(), fill_from = n_info_ - std::min(n_info_, 2 * z()),
                 fill_to = k_ - 2 * z();
  unsigned position = facts_of(graph_).k0[rv] * z(), highest = 0;
  const std::size_t n_symbols = n_sent / qm;
  for (unsigned i = 0; i < qm; ++i) {
    for (std::size_t j = 0; j < n_symbols; ++j) {
      if (position >= fill_from && position < fill_to) position = fill_to;
      if (position >= n) position = fill_from == 0 ? fill_to : 0;
      take(position, i + j * qm);
      highest = std::max(highest, position);
      ++position;
    }
  }
  const unsigned last_column = (highest + 2 * z()) / z();
  return std::max(n_core, last_column + 1 - std::min(last_column + 1, k_ / z()));
}

void NrLdpc::match_rate(const std::uint8_t* word, unsigned rv, unsigned qm, std::size_t n_sent,
                        std::uint8_t* sent) const {
  const std::uint8_t* const buffer = word + 2 * z();
  walk(rv, qm, n_sent, [&](unsigned from, std::size_t to) { sent[to] = buffer[from]; });
}

void NrLdpc::match_rate(const float* word, unsigned rv, unsigned qm, std::size_t n_sent,
                        float* sent) const {
  const float* const buffer = word + 2 * z();
  walk(rv, qm, n_sent, [&](unsigned from, std::size_t to) { sent[to] = buffer[from]; });
}

unsigned NrLdpc::combine(const float* llrs, unsigned rv, unsigned qm, std::size_t n_sent,
                         float* buffer) const {
  return walk(rv, qm, n_sent, [&](unsigned to, std::size_t from) { buffer[to] += llrs[from]; });
}

void NrLdpc::expand(const float* buffer, float* llrs) const {
  constexpr float sure = 1e6f;
  std::fill_n(llrs, 2 * z(), 0.0f);
  std::copy_n(buffer, n_buffer(), llrs + 2 * z());
  std::fill(llrs + n_info_, llrs + k_, sure);
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
