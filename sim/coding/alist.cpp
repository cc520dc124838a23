#include <algorithm>
#include <fstream>
#include <iterator>
#include <numeric>
#include <sstream>
#include <string>

#include <chest/error.hpp>
#include <chest/sim/coding/parity_check.hpp>

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

[[noreturn]] void damaged(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorKind::format, file.string() + ": " + what);
}

/// The lines of an alist file as whole numbers; lines without words are left out.
class AlistLines {
 public:
  explicit AlistLines(const std::filesystem::path& file) : file_(file), in_(file) {
    if (!in_) throw Error(ErrorKind::io, file.string() + ": the file cannot be read");
  }

  /// The next line; `what` names it in messages.
  std::vector<std::uint32_t> next(const std::string& what) {
    std::vector<std::uint32_t> numbers = read();
    if (numbers.empty()) damaged(file_, "ends before " + what);
    return numbers;
  }
  void expect_end() {
    if (!read().empty())
      damaged(file_, "line " + std::to_string(line_) + " is behind the end of the matrix");
  }
  std::string place() const { return "line " + std::to_string(line_); }

 private:
  std::vector<std::uint32_t> read() {
    std::vector<std::uint32_t> numbers;
    std::string text, word;
    while (numbers.empty() && std::getline(in_, text)) {
      ++line_;
      std::istringstream words(text);
      while (words >> word) {
        const bool is_number =
            word.size() <= 9 &&
            std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
        if (!is_number)
          damaged(file_, place() + " holds '" + word.substr(0, 20) + "', expected whole numbers");
        numbers.push_back(static_cast<std::uint32_t>(std::stoul(word)));
      }
    }
    return numbers;
  }

  std::filesystem::path file_;
  std::ifstream in_;
  std::size_t line_ = 0;
};

using Lists = std::vector<std::vector<std::uint32_t>>;

/// `n` lists of indices 1 .. most of the given degrees, from 0 on and sorted.
Lists read_lists(AlistLines& lines, const std::filesystem::path& file, const char* whose,
                 std::size_t n, std::uint32_t most, const std::vector<std::uint32_t>& degrees) {
  Lists lists(n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::string name = whose + (" " + std::to_string(i + 1));
    std::vector<std::uint32_t> list;
    if (degrees[i] == 0) damaged(file, name + " has degree 0, expected 1 or more");
    list = lines.next("the list of " + name);
    while (list.size() > degrees[i] && list.back() == 0) list.pop_back();
    if (list.size() != degrees[i])
      damaged(file, lines.place() + " lists " + std::to_string(list.size()) + " entries of " +
                        name + ", expected its degree " + std::to_string(degrees[i]));
    for (std::uint32_t& index : list) {
      if (index == 0 || index > most)
        damaged(file, lines.place() + " names " + std::to_string(index) + ", expected 1 .. " +
                          std::to_string(most));
      --index;
    }
    std::sort(list.begin(), list.end());
    const auto twice = std::adjacent_find(list.begin(), list.end());
    if (twice != list.end())
      damaged(file, lines.place() + " names " + std::to_string(*twice + 1) + " twice");
    lists[i] = std::move(list);
  }
  return lists;
}

/// Whether the matrix, a list of columns per row, consists of circulants of size z.
bool is_lifted(const Lists& rows, std::uint32_t z) {
  std::vector<std::uint32_t> moved;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const std::size_t in_block = row % z;
    const std::size_t below = row - in_block + (in_block + 1) % z;
    moved.clear();
    for (const std::uint32_t column : rows[row])
      moved.push_back(column - column % z + (column % z + 1) % z);
    std::sort(moved.begin(), moved.end());
    if (moved != rows[below]) return false;
  }
  return true;
}

}  // namespace

bool ParityCheck::holds(const std::uint8_t* word, std::uint32_t rows) const {
  Bits sums(std::size_t{rows} * z, 0);
  for (const Circulant& c : circulants) {
    if (c.row >= rows) continue;
    for (std::uint32_t i = 0; i < z; ++i)
      sums[std::size_t{c.row} * z + i] ^= word[std::size_t{c.column} * z + (i + c.shift) % z];
  }
  return std::all_of(sums.begin(), sums.end(), [](std::uint8_t sum) { return sum == 0; });
}

ParityCheck read_alist(const std::filesystem::path& file) {
  constexpr std::uint32_t most = 1'000'000;
  AlistLines lines(file);
  const auto two = [&](const std::string& what) {
    const std::vector<std::uint32_t> numbers = lines.next(what);
    if (numbers.size() != 2)
      damaged(file, lines.place() + " has " + std::to_string(numbers.size()) +
                        " numbers, expected two: " + what);
    return numbers;
  };
  const auto degrees_of = [&](const char* whose, std::uint32_t n, std::uint32_t largest) {
    std::vector<std::uint32_t> degrees;
    const std::string what = "the degrees of the " + std::to_string(n) + " " + whose;
    while (degrees.size() < n) {
      const std::vector<std::uint32_t> more = lines.next(what);
      degrees.insert(degrees.end(), more.begin(), more.end());
    }
    if (degrees.size() != n)
      damaged(file, lines.place() + " makes " + std::to_string(degrees.size()) +
                        " degrees, expected those of " + std::to_string(n) + " " + whose);
    const std::uint32_t found = *std::max_element(degrees.begin(), degrees.end());
    if (found != largest)
      damaged(file, "the largest degree of the " + std::string(whose) + " is " +
                        std::to_string(found) + ", its second line says " +
                        std::to_string(largest));
    return degrees;
  };
  const auto size = two("the numbers of bits and of checks");
  const std::uint32_t n = size[0], m = size[1];
  if (m == 0 || n <= m || n > most)
    damaged(file, "has " + std::to_string(n) + " bits and " + std::to_string(m) +
                      " checks, expected more bits than checks, up to " + std::to_string(most));
  const auto largest = two("the largest degrees of bits and of checks");
  const auto bit_degrees = degrees_of("bits", n, largest[0]);
  const auto check_degrees = degrees_of("checks", m, largest[1]);
  const Lists of_bits = read_lists(lines, file, "bit", n, m, bit_degrees);
  const Lists of_checks = read_lists(lines, file, "check", m, n, check_degrees);
  lines.expect_end();
  Lists again(m);
  for (std::uint32_t bit = 0; bit < n; ++bit)
    for (const std::uint32_t check : of_bits[bit]) again[check].push_back(bit);
  for (std::uint32_t check = 0; check < m; ++check)
    if (again[check] != of_checks[check])
      damaged(file, "the lists of bits and of checks differ at check " + std::to_string(check + 1));

  ParityCheck H;
  for (std::uint32_t z = std::gcd(n, m); z >= 1; --z) {
    if (n % z != 0 || m % z != 0 || !is_lifted(of_checks, z)) continue;
    H.z = z;
    break;
  }
  H.n_rows = m / H.z;
  H.n_columns = n / H.z;
  for (std::uint32_t row = 0; row < H.n_rows; ++row)
    for (const std::uint32_t column : of_checks[std::size_t{row} * H.z])
      H.circulants.push_back({row, column / H.z, column % H.z});
  return H;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
