#include <chest/sim/coding/decoder.hpp>

#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include <chest/error.hpp>
#include <chest/text.hpp>

#include "decoder_kernels.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

constexpr std::size_t lane_bytes = 64;  // a cache line, the widest vector
constexpr float int8_steps = 4.0f;      // of an LLR of 1
constexpr unsigned most_int8_degree = 250;

/// Memory that begins on a cache line.
template <class T>
struct CacheAligned {
  using value_type = T;
  CacheAligned() = default;
  template <class U>
  CacheAligned(const CacheAligned<U>&) {}
  T* allocate(std::size_t n) {
    return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{lane_bytes}));
  }
  void deallocate(T* p, std::size_t) { ::operator delete (p, std::align_val_t{lane_bytes}); }
  friend bool operator==(const CacheAligned&, const CacheAligned&) { return true; }
};
template <class T>
using Lanes = std::vector<T, CacheAligned<T>>;

template <class Enum>
Enum named(const char* what, const std::string& name, const std::vector<std::string>& names) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    refuse(std::string("decoder: there is no ") + what + " '" + name + "'" +
           did_you_mean(name, names));
  return static_cast<Enum>(found - names.begin());
}
}  // namespace

DecoderKind decoder_kind_from_string(const std::string& name) {
  return named<DecoderKind>("kind", name, {"bp", "min-sum", "offset-min-sum"});
}
DecoderSchedule decoder_schedule_from_string(const std::string& name) {
  return named<DecoderSchedule>("schedule", name, {"flooding", "layered"});
}
DecoderPrecision decoder_precision_from_string(const std::string& name) {
  return named<DecoderPrecision>("precision", name, {"float", "int8"});
}

std::string DecoderOptions::why_invalid() const {
  const bool is_int8 = precision == DecoderPrecision::int8;
  if (is_int8 && kind == DecoderKind::bp)
    return "bp has no int8, expected min-sum or offset-min-sum";
  if (iterations < 1 || iterations > 1000)
    return out_of_range("iterations", iterations, "1 .. 1000");
  if (!(clip >= 1.0 && clip <= (is_int8 ? 31.75 : 60.0)))
    return out_of_range("clip", clip, is_int8 ? "1 .. 31.75 with int8" : "1 .. 60");
  if (!(scale > 0.0 && scale <= 1.0)) return out_of_range("scale", scale, "above 0, up to 1");
  if (!(offset >= 0.0 && offset <= 10.0)) return out_of_range("offset", offset, "0 .. 10");
  return {};
}

/// A decoder without its number types.
class LdpcDecoder::State {
 public:
  virtual ~State() = default;
  virtual Result decode(const float* llrs, std::uint8_t* bits, std::uint32_t n_rows,
                        const Acceptance& accepts) = 0;
  virtual void posterior(float* llrs) const = 0;
};

namespace {

template <class T, class Sum>
class Messages : public LdpcDecoder::State {
 public:
  using Row = CheckRow<T, Sum>;
  using Update = void (*)(const Row&);
  using Holds = bool (*)(const Row&);

  Messages(const ParityCheck& H, const DecoderOptions& options, Update update, Holds holds)
      : options_(options),
        n_rows_(H.n_rows),
        n_columns_(H.n_columns),
        z_(H.z),
        update_(update),
        holds_(holds) {
    constexpr std::uint32_t lanes = lane_bytes / sizeof(T);
    stride_ = (2 * z_ + 2 * lanes - 1) / lanes * lanes;
    padded_ = (z_ + lanes - 1) / lanes * lanes;
    row_start_.assign(n_rows_ + 1, 0);
    for (const auto& c : H.circulants) ++row_start_[c.row + 1];
    std::uint32_t most = 0;
    for (std::uint32_t row = 0; row < n_rows_; ++row) {
      most = std::max(most, row_start_[row + 1]);
      row_start_[row + 1] += row_start_[row];
    }
    std::vector<std::uint32_t> next(row_start_.begin(), row_start_.end() - 1);
    column_.resize(H.circulants.size());
    shift_.resize(H.circulants.size());
    for (const auto& c : H.circulants) {
      column_[next[c.row]] = c.column * stride_;
      shift_[next[c.row]++] = c.shift;
    }
    const std::size_t n = std::size_t{n_columns_} * stride_;
    channel_.assign(n, 0);
    sums_.assign(n, 0);
    next_sums_.assign(n, 0);
    to_bits_.assign(H.circulants.size() * padded_, 0);
    from_bits_.assign(std::size_t{most} * padded_, 0);
    work_.assign((2 * std::size_t{most} + 2) * padded_, 0);
    signs_.assign(padded_, 0);
    constants_.z = z_;
    constants_.padded = padded_;
    constants_.from_bits = from_bits_.data();
    constants_.work = work_.data();
    constants_.signs = signs_.data();
    constants_.layered = options.schedule == DecoderSchedule::layered;
    const double steps = is_float ? 1.0 : int8_steps;
    constants_.clip = static_cast<T>(is_float ? options.clip : std::round(options.clip * steps));
    constants_.offset =
        static_cast<T>(is_float ? options.offset : std::round(options.offset * steps));
    constants_.scale =
        static_cast<T>(is_float ? options.scale : std::max(1.0, std::round(options.scale * 16.0)));
  }

  LdpcDecoder::Result decode(const float* llrs, std::uint8_t* bits, std::uint32_t n_rows,
                             const LdpcDecoder::Acceptance& accepts) override {
    if (n_rows == 0 || n_rows > n_rows_) n_rows = n_rows_;
    load(llrs);
    std::fill_n(to_bits_.begin(), std::size_t{row_start_[n_rows]} * padded_, T{0});
    std::fill(from_bits_.begin(), from_bits_.end(), T{1});
    std::copy(channel_.begin(), channel_.end(), sums_.begin());
    LdpcDecoder::Result result{0, false};
    while (result.iterations < options_.iterations) {
      ++result.iterations;
      if (constants_.layered) {
        iterate(n_rows, sums_, sums_);
      } else {
        std::copy(channel_.begin(), channel_.end(), next_sums_.begin());
        iterate(n_rows, sums_, next_sums_);
        std::swap(sums_, next_sums_);
      }
      if (!options_.early_stop) continue;
      result.parity_holds = all_hold(n_rows);
      if (result.parity_holds) break;
      if (!accepts) continue;
      decide(bits);
      if (accepts(bits)) return result;
    }
    if (!options_.early_stop) result.parity_holds = all_hold(n_rows);
    decide(bits);
    return result;
  }

  void posterior(float* llrs) const override {
    const float step = is_float ? 1.0f : 1.0f / int8_steps;
    for (std::uint32_t column = 0; column < n_columns_; ++column)
      for (std::uint32_t i = 0; i < z_; ++i)
        llrs[std::size_t{column} * z_ + i] =
            step * static_cast<float>(sums_[std::size_t{column} * stride_ + i]);
  }

 private:
  static constexpr bool is_float = std::is_same_v<T, float>;

  static Sum quantised(float x) {
    if constexpr (is_float) return x;
    return static_cast<Sum>(x < 0.0f ? x - 0.5f : x + 0.5f);
  }
  void load(const float* llrs) {
    const auto limit = static_cast<float>(constants_.clip);
    for (std::uint32_t column = 0; column < n_columns_; ++column) {
      Sum* const to = channel_.data() + std::size_t{column} * stride_;
      const float* const from = llrs + std::size_t{column} * z_;
      for (std::uint32_t i = 0; i < z_; ++i) {
        const float x = is_float ? from[i] : from[i] * int8_steps;
        to[i] = to[i + z_] = quantised(std::clamp(x, -limit, limit));
      }
    }
  }
  Row row_at(std::uint32_t row, const Lanes<Sum>& in) const {
    Row at = constants_;
    const std::uint32_t first = row_start_[row];
    at.degree = row_start_[row + 1] - first;
    at.column = column_.data() + first;
    at.shift = shift_.data() + first;
    at.in = in.data();
    return at;
  }
  void iterate(std::uint32_t n_rows, const Lanes<Sum>& in, Lanes<Sum>& out) {
    for (std::uint32_t row = 0; row < n_rows; ++row) {
      Row at = row_at(row, in);
      at.to_bits = to_bits_.data() + std::size_t{row_start_[row]} * padded_;
      at.out = out.data();
      update_(at);
    }
  }
  bool all_hold(std::uint32_t n_rows) const {
    for (std::uint32_t row = 0; row < n_rows; ++row)
      if (!holds_(row_at(row, sums_))) return false;
    return true;
  }
  void decide(std::uint8_t* bits) const {
    for (std::uint32_t column = 0; column < n_columns_; ++column)
      for (std::uint32_t i = 0; i < z_; ++i)
        bits[std::size_t{column} * z_ + i] = sums_[std::size_t{column} * stride_ + i] < 0;
  }

  DecoderOptions options_;
  std::uint32_t n_rows_, n_columns_, z_;
  std::uint32_t padded_ = 0;  ///< entries of a message
  std::uint32_t stride_ = 0;  ///< entries of a column of sums
  Update update_;
  Holds holds_;
  Row constants_{};  ///< what all rows have in common
  std::vector<std::uint32_t> row_start_, column_, shift_;
  Lanes<Sum> channel_, sums_, next_sums_;
  Lanes<T> to_bits_, from_bits_, work_;
  Lanes<std::uint32_t> signs_;
};

}  // namespace

LdpcDecoder::LdpcDecoder(const ParityCheck& H, const DecoderOptions& options) {
  if (const std::string why = options.why_invalid(); !why.empty()) refuse("decoder: " + why);
  const DecoderKernels& kernels = *decoder_kernels().front();
  if (options.precision == DecoderPrecision::float32) {
    const auto update = options.kind == DecoderKind::bp        ? kernels.bp
                        : options.kind == DecoderKind::min_sum ? kernels.min_sum
                                                               : kernels.offset_min_sum;
    state_ = std::make_unique<Messages<float, float>>(H, options, update, kernels.holds);
    return;
  }
  std::vector<unsigned> degree(H.n_columns, 0);
  for (const auto& c : H.circulants)
    if (++degree[c.column] > most_int8_degree)
      refuse("decoder: a bit has more than " + std::to_string(most_int8_degree) +
             " checks, too many for int8; use float");
  state_ = std::make_unique<Messages<std::int8_t, std::int16_t>>(
      H, options,
      options.kind == DecoderKind::min_sum ? kernels.min_sum_int8 : kernels.offset_min_sum_int8,
      kernels.holds_int8);
}

LdpcDecoder::~LdpcDecoder() = default;
LdpcDecoder::LdpcDecoder(LdpcDecoder&&) noexcept = default;
LdpcDecoder& LdpcDecoder::operator=(LdpcDecoder&&) noexcept = default;

LdpcDecoder::Result LdpcDecoder::decode(const float* llrs, std::uint8_t* bits, std::uint32_t n_rows,
                                        const Acceptance& accepts) {
  return state_->decode(llrs, bits, n_rows, accepts);
}

void LdpcDecoder::posterior(float* llrs) const { state_->posterior(llrs); }

}  // namespace sim
}  // namespace v0
}  // namespace chest
