#include <algorithm>
#include <bit>
#include <string>

#include <chest/error.hpp>
#include <chest/sim/coding/parity_check.hpp>

namespace chest {
inline namespace v0 {
namespace sim {

GenericEncoder::GenericEncoder(const ParityCheck& H) {
  constexpr std::size_t most_checks = 16384, most_bits = 65536;
  const std::size_t n = H.n_bits(), m = H.n_checks();
  if (m > most_checks || n > most_bits)
    refuse("code: the matrix has " + std::to_string(m) + " checks of " + std::to_string(n) +
           " bits, expected at most " + std::to_string(most_checks) + " of " +
           std::to_string(most_bits));
  const std::size_t words = (n + 63) / 64;
  std::vector<std::uint64_t> rows(m * words, 0);
  for (const auto& c : H.circulants)
    for (std::uint32_t i = 0; i < H.z; ++i) {
      const std::size_t bit = std::size_t{c.column} * H.z + (i + c.shift) % H.z;
      rows[(std::size_t{c.row} * H.z + i) * words + bit / 64] ^= std::uint64_t{1} << bit % 64;
    }
  // Reduced echelon form from the last column on: parity bits stand at the end of a word.
  std::vector<bool> is_pivot(n, false);
  std::size_t rank = 0;
  for (std::size_t column = n; column-- > 0 && rank < m;) {
    const std::size_t word = column / 64;
    const std::uint64_t bit = std::uint64_t{1} << column % 64;
    std::size_t row = rank;
    while (row < m && (rows[row * words + word] & bit) == 0) ++row;
    if (row == m) continue;
    if (row != rank)
      std::swap_ranges(&rows[row * words], &rows[row * words] + words, &rows[rank * words]);
    for (std::size_t other = 0; other < m; ++other) {
      if (other == rank || (rows[other * words + word] & bit) == 0) continue;
      for (std::size_t w = 0; w < words; ++w) rows[other * words + w] ^= rows[rank * words + w];
    }
    is_pivot[column] = true;
    pivots_.push_back(static_cast<std::uint32_t>(column));
    ++rank;
  }
  for (std::size_t bit = 0; bit < n; ++bit)
    if (!is_pivot[bit]) information_.push_back(static_cast<std::uint32_t>(bit));
  if (information_.empty())
    refuse("code: the " + std::to_string(m) + " checks leave none of the " + std::to_string(n) +
           " bits free");
  words_ = words;
  rows.resize(rank * words);
  for (std::size_t i = 0; i < rank; ++i)
    rows[i * words + pivots_[i] / 64] &= ~(std::uint64_t{1} << pivots_[i] % 64);
  rows_ = std::move(rows);
}

void GenericEncoder::encode(const std::uint8_t* info, std::uint8_t* word) const {
  std::vector<std::uint64_t> packed(words_, 0);
  for (std::size_t i = 0; i < information_.size(); ++i) {
    const std::uint32_t bit = information_[i];
    word[bit] = info[i];
    packed[bit / 64] |= std::uint64_t{info[i]} << bit % 64;
  }
  for (std::size_t i = 0; i < pivots_.size(); ++i) {
    std::uint64_t sum = 0;
    for (std::size_t w = 0; w < words_; ++w) sum ^= packed[w] & rows_[i * words_ + w];
    word[pivots_[i]] = std::popcount(sum) & 1;
  }
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
