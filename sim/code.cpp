#include <chest/sim/code.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <complex>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include <chest/error.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>
#include <chest/sim/coding/nr_ldpc.hpp>
#include <chest/sim/coding/qam.hpp>
#include <chest/text.hpp>

#include "engine.hpp"
#include "plot_drawing.hpp"

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

constexpr std::uint64_t group_size = 16;  // blocks; part of what a seed means

/// What all workers share: one of both kinds of code.
struct CodeUnderTest {
  std::unique_ptr<NrLdpc> nr;
  ParityCheck H;  ///< of the alist file
  std::unique_ptr<GenericEncoder> generic;
  unsigned k = 0, n = 0;

  const ParityCheck& parity_check() const { return nr ? nr->parity_check() : H; }
};

CodeUnderTest code_of(const CodeOptions& options) {
  CodeUnderTest code;
  if (options.alist.empty()) {
    code.k = options.k;
    code.n = options.n;
    code.nr = std::make_unique<NrLdpc>(base_graph_of(code.k, double(code.k) / code.n), code.k);
    return code;
  }
  code.H = read_alist(options.alist);
  code.generic = std::make_unique<GenericEncoder>(code.H);
  code.k = unsigned(code.generic->k());
  code.n = unsigned(code.H.n_bits());
  return code;
}

/// Blocks of one worker.
class BlockSimulator {
 public:
  BlockSimulator(const CodeUnderTest& code, const CodeOptions& options)
      : code_(code),
        seed_(options.seed),
        qam_(options.modulation),
        decoder_(code.parity_check(), options.decoder),
        info_(code.k),
        word_(code.parity_check().n_bits()),
        sent_(code.n),
        decided_(word_.size()),
        symbols_(code.n / qam_.bits_per_symbol()),
        variances_(symbols_.size()),
        llrs_(code.n),
        buffer_(code.nr ? code.nr->n_buffer() : 0),
        word_llrs_(word_.size()) {}

  void run(double ebn0_db, std::uint64_t block, CodePoint& point) {
    const unsigned m = qam_.bits_per_symbol();
    const double variance = 1.0 / (from_db(ebn0_db) * m * code_.k / code_.n);
    send(ebn0_db, block, variance);
    std::fill(variances_.begin(), variances_.end(), variance);
    qam_.demap(symbols_.data(), variances_.data(), symbols_.size(), DemapperKind::log_map,
               llrs_.data());
    LdpcDecoder::Result result{};
    std::uint64_t wrong = 0;
    if (code_.nr) {
      std::fill(buffer_.begin(), buffer_.end(), 0.0f);
      const unsigned rows = code_.nr->combine(llrs_.data(), 0, m, code_.n, buffer_.data());
      code_.nr->expand(buffer_.data(), word_llrs_.data());
      result = decoder_.decode(word_llrs_.data(), decided_.data(), rows);
      for (unsigned i = 0; i < code_.k; ++i) wrong += info_[i] != decided_[i];
    } else {
      result = decoder_.decode(llrs_.data(), decided_.data());
      for (const std::uint32_t i : code_.generic->information()) wrong += word_[i] != decided_[i];
    }
    ++point.n_blocks;
    point.n_block_errors += wrong > 0;
    point.n_bit_errors += wrong;
    point.iterations += result.iterations;
  }

 private:
  void send(double ebn0_db, std::uint64_t block, double variance) {
    Rng bits(seed_, {Purpose::data_symbols, snr_stream(ebn0_db), block});
    fill_random(bits, info_);
    const std::uint8_t* sent = word_.data();
    if (code_.nr) {
      code_.nr->encode(info_.data(), word_.data());
      code_.nr->match_rate(word_.data(), 0, qam_.bits_per_symbol(), code_.n, sent_.data());
      sent = sent_.data();
    } else {
      code_.generic->encode(info_.data(), word_.data());
    }
    qam_.map(sent, symbols_.size(), symbols_.data());
    Rng noise(seed_, {Purpose::data_noise, snr_stream(ebn0_db), block});
    const double amplitude = std::sqrt(variance);
    for (std::complex<double>& symbol : symbols_) symbol += amplitude * noise.cx_normal();
  }

  const CodeUnderTest& code_;
  std::uint64_t seed_;
  NrQam qam_;
  LdpcDecoder decoder_;
  Bits info_, word_, sent_, decided_;
  std::vector<std::complex<double>> symbols_;
  std::vector<double> variances_;
  std::vector<float> llrs_, buffer_, word_llrs_;
};

/// The groups of blocks of one point, taken in any order and added in theirs.
class GroupQueue {
 public:
  GroupQueue(const CodeOptions& options, double ebn0_db, const RunControl& control)
      : options_(options), control_(control) {
    sums_.ebn0_db = ebn0_db;
  }

  bool take(std::uint64_t& group) {
    const std::lock_guard lock(mutex_);
    if (!ended_ && control_.stopped()) ended_ = interrupted_ = true;
    if (ended_ || next_ * group_size >= options_.max_blocks) return false;
    group = next_++;
    return true;
  }
  void put(std::uint64_t group, const CodePoint& part) {
    const std::lock_guard lock(mutex_);
    waiting_[group] = part;
    while (!ended_ && !waiting_.empty() && waiting_.begin()->first == added_) {
      const CodePoint& first = waiting_.begin()->second;
      sums_.n_blocks += first.n_blocks;
      sums_.n_block_errors += first.n_block_errors;
      sums_.n_bit_errors += first.n_bit_errors;
      sums_.iterations += first.iterations;
      waiting_.erase(waiting_.begin());
      ++added_;
      ended_ = sums_.n_block_errors >= options_.n_errors;
    }
  }
  void end() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  /// Part of the point that is done.
  double fraction() {
    const std::lock_guard lock(mutex_);
    return std::min(1.0, std::max(double(sums_.n_block_errors) / double(options_.n_errors),
                                  double(sums_.n_blocks) / double(options_.max_blocks)));
  }
  bool interrupted() const { return interrupted_; }
  const CodePoint& sums() const { return sums_; }

 private:
  const CodeOptions& options_;
  const RunControl& control_;
  std::mutex mutex_;
  std::uint64_t next_ = 0, added_ = 0;
  bool ended_ = false, interrupted_ = false;
  std::map<std::uint64_t, CodePoint> waiting_;
  CodePoint sums_;
};

double per_block(const CodePoint& point, std::uint64_t count) {
  return double(count) / double(point.n_blocks);
}

}  // namespace

std::string CodeOptions::why_invalid() const {
  if (alist.empty()) {
    if (k < 1 || k > most_block_bits(BaseGraph::bg1)) return out_of_range("k", k, "1 .. 8448");
    if (n <= k || n > 1'000'000)
      return out_of_range("n", n, "more than k = " + std::to_string(k) + ", up to 1000000");
  } else if (k != 0 || n != 0) {
    return "k and n are those of the alist file; leave them out";
  }
  if (ebn0_db.empty()) return "ebn0_db is empty, expected at least one value";
  std::set<std::int64_t> levels;
  for (const double x : ebn0_db) {
    if (!std::isfinite(x) || std::abs(x) > 200.0)
      return "ebn0_db holds " + number_text(x) + " dB, expected -200 .. 200";
    if (!levels.insert(std::llround(1000.0 * x)).second)
      return "ebn0_db holds " + number_text(x) + " dB twice";
  }
  if (n_errors == 0) return "n_errors is 0, expected 1 or more";
  if (max_blocks == 0) return "max_blocks is 0, expected 1 or more";
  if (n_threads == 0) return "n_threads is 0, expected 1 or more";
  return decoder.why_invalid();
}

CodeResults run_code(const CodeOptions& options, const RunControl& control) {
  if (const std::string why = options.why_invalid(); !why.empty()) refuse("code: " + why);
  const unsigned m = NrQam(options.modulation).bits_per_symbol();
  const CodeUnderTest code = code_of(options);
  if (code.n % m != 0)
    refuse("code: n is " + std::to_string(code.n) + ", expected a multiple of " +
           std::to_string(m) + ", the bits per symbol of " + options.modulation);
  CodeResults results;
  results.k = code.k;
  results.n = code.n;
  results.modulation = options.modulation;
  const auto start = std::chrono::steady_clock::now();
  for (const double ebn0_db : options.ebn0_db) {
    GroupQueue queue(options, ebn0_db, control);
    std::mutex telling;
    parallel_for(options.n_threads, options.n_threads, [&](std::size_t) {
      try {
        BlockSimulator simulator(code, options);
        for (std::uint64_t group = 0; queue.take(group);) {
          CodePoint part;
          const std::uint64_t first = group * group_size;
          const std::uint64_t end = std::min(first + group_size, options.max_blocks);
          for (std::uint64_t block = first; block < end; ++block)
            simulator.run(ebn0_db, block, part);
          queue.put(group, part);
          if (!control.on_progress) continue;
          Progress progress;
          progress.fraction =
              (double(results.points.size()) + queue.fraction()) / double(options.ebn0_db.size());
          progress.seconds =
              std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
          progress.seconds_left = -1.0;
          progress.text = "Eb/N0 " + number_text(ebn0_db) + " dB";
          const std::lock_guard lock(telling);
          control.on_progress(progress);
        }
      } catch (...) {
        queue.end();
        throw;
      }
    });
    if (queue.interrupted()) return results;
    results.points.push_back(queue.sums());
  }
  results.finished = true;
  return results;
}

std::string to_csv(const CodeResults& results) {
  std::string text =
      "k,n,modulation,ebn0_db,n_blocks,bler,bler_ci95_low,bler_ci95_high,ber,mean_iterations\n";
  for (const CodePoint& point : results.points) {
    const Interval interval =
        binomial_interval(double(point.n_blocks), double(point.n_block_errors));
    text += std::to_string(results.k) + "," + std::to_string(results.n) + "," + results.modulation +
            "," + number_text(point.ebn0_db) + "," + std::to_string(point.n_blocks);
    for (const double value :
         {per_block(point, point.n_block_errors), interval.low, interval.high,
          per_block(point, point.n_bit_errors) / results.k, per_block(point, point.iterations)})
      text += "," + number_text(value);
    text += "\n";
  }
  return text;
}

std::string to_table(const CodeResults& results) {
  std::string text =
      "k " + std::to_string(results.k) + ", n " + std::to_string(results.n) + ", " +
      results.modulation +
      "\n  ebn0_db       bler      95 % interval          ber  iterations  n_blocks\n";
  for (const CodePoint& point : results.points) {
    const Interval interval =
        binomial_interval(double(point.n_blocks), double(point.n_block_errors));
    char row[160];
    std::snprintf(row, sizeof row, "%9g  %9.3e  %9.3e %9.3e  %9.3e  %10.2f%10llu\n", point.ebn0_db,
                  per_block(point, point.n_block_errors), interval.low, interval.high,
                  per_block(point, point.n_bit_errors) / results.k,
                  per_block(point, point.iterations),
                  static_cast<unsigned long long>(point.n_blocks));
    text += row;
  }
  return text;
}

void plot(const CodeResults& results, const std::filesystem::path& file) {
  Drawing drawing;
  drawing.log_y = true;
  drawing.x_label = "Eb/N0 in dB";
  drawing.y_label = "block error rate";
  const std::string entry = "k " + std::to_string(results.k) + ", n " + std::to_string(results.n);
  drawing.entries = {entry};
  Panel panel{results.modulation, {}};
  for (const CodePoint& point : results.points) {
    if (point.n_block_errors == 0) continue;  // has no place on a logarithmic axis
    const Interval interval =
        binomial_interval(double(point.n_blocks), double(point.n_block_errors));
    panel.curves[entry].push_back(
        {point.ebn0_db, per_block(point, point.n_block_errors), interval.low, interval.high});
  }
  for (auto& [name, points] : panel.curves)
    std::sort(points.begin(), points.end(),
              [](const CurvePoint& a, const CurvePoint& b) { return a.x < b.x; });
  drawing.panels = {panel};
  draw(drawing, file, "");
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
