// A transport block with all that its receivers saw, as a file and as text.
#include <cstdio>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/provenance.hpp>
#include <chest/sim/coded_link.hpp>
#include <chest/text.hpp>

namespace chest {
inline namespace v0 {
namespace sim {
namespace {

constexpr int replay_format_version = 1;

void write_bits(ArchiveWriter& archive, const std::string& path, const Bits& bits) {
  const std::vector<std::uint32_t> values(bits.begin(), bits.end());
  archive.write(path, {values.size()}, values.data());
}

}  // namespace

ReplayChoice parse_replay(const std::string& text) {
  const std::vector<std::string> parts = split(text, ':');
  if (parts.size() != 2)
    refuse("replay is '" + text +
           "', expected an SNR in dB and the number of a block, or lost: 4:17, 4:lost");
  ReplayChoice choice;
  choice.snr_db = to_number(parts[0], "SNR of replay '" + text + "'");
  if (parts[1] != "lost") choice.block = to_count(parts[1], "block of replay '" + text + "'");
  return choice;
}

void save(const std::filesystem::path& file, const ReplayedBlock& replayed,
          const Provenance& provenance) {
  ArchiveWriter archive(file);
  write_provenance(archive, "chest-block", replay_format_version, provenance);
  archive.attribute("/", "snr_db", replayed.snr_db);
  archive.attribute("/", "sigma2", replayed.sigma2);
  archive.attribute("/", "block", std::int64_t(replayed.block));
  archive.attribute("/", "pilots", replayed.pilots);
  archive.attribute("/", "n_layers", std::int64_t(replayed.allocation.n_layers));
  archive.attribute("/", "bits_per_symbol", std::int64_t(replayed.allocation.mcs.bits_per_symbol));
  write_bits(archive, "/bits", replayed.bits);
  const PilotPattern& pattern = *replayed.allocation.pattern;
  const GridAxes& grid = pattern.grid;
  archive.write("/pilot_symbols", pattern.x);
  const auto write_elements = [&](const std::string& path, const arma::uvec& symbol,
                                  const arma::uvec& subcarrier) {
    std::vector<std::uint32_t> at;
    for (arma::uword i = 0; i < symbol.n_elem; ++i) {
      at.push_back(static_cast<std::uint32_t>(symbol(i)));
      at.push_back(static_cast<std::uint32_t>(subcarrier(i)));
    }
    archive.write(path, {symbol.n_elem, 2}, at.data());
  };
  write_elements("/pilot_elements", pattern.symbol, pattern.subcarrier);
  const arma::uvec& data = replayed.allocation.elements;
  const arma::uvec symbol = data / grid.n_subcarriers;
  write_elements("/data_elements", symbol, data - symbol * grid.n_subcarriers);
  const std::vector<std::uint64_t> of_grid{grid.n_symbols, grid.n_subcarriers, replayed.n_tx,
                                           replayed.n_rx};
  for (std::size_t i = 0; i < replayed.transmissions.size(); ++i) {
    const ReplayedBlock::Transmission& sent = replayed.transmissions[i];
    const std::string path = "/transmissions/" + std::to_string(i);
    archive.attribute(path, "sample", std::int64_t(sent.sample));
    archive.attribute(path, "redundancy_version", std::int64_t(PuschChain::redundancy_version(i)));
    write_bits(archive, path + "/coded_bits", sent.coded);
    archive.write(path + "/h", of_grid, sent.h.memptr());
    archive.write(path + "/y_pilots", sent.pilots);
    archive.write(path + "/y_data", sent.data);
  }
  for (std::size_t i = 0; i < replayed.rows.size(); ++i) {
    const ReplayedBlock::Row& row = replayed.rows[i];
    const std::string path = "/rows/" + std::to_string(i);
    archive.attribute(path, "estimator", row.name);
    archive.attribute(path, "delivered", std::int64_t{row.delivered});
    archive.attribute(path, "coded_bit_errors", row.sums.coded_bit_errors);
    archive.attribute(path, "bit_errors", row.sums.bit_errors);
    write_bits(archive, path + "/bits", row.found);
    for (std::size_t k = 0; k < row.receptions.size(); ++k) {
      const ReplayedBlock::Reception& reception = row.receptions[k];
      const std::string at = path + "/" + std::to_string(k);
      archive.write(at + "/h_hat", of_grid, reception.h_hat.memptr());
      archive.write(at + "/llrs", {reception.llrs.size()}, reception.llrs.data());
      if (!reception.err_var.is_empty())
        archive.write(at + "/err_var", {grid.n_symbols, grid.n_subcarriers, replayed.n_tx},
                      reception.err_var.memptr());
    }
  }
  archive.commit();
}

std::string to_text(const ReplayedBlock& replayed) {
  std::string text = "block " + std::to_string(replayed.block) + " at " +
                     number_text(replayed.snr_db) + " dB, sample";
  for (const ReplayedBlock::Transmission& sent : replayed.transmissions)
    text += " " + std::to_string(sent.sample);
  text += ", " + std::to_string(replayed.bits.size()) + " bits\n";
  char line[200];
  for (const ReplayedBlock::Row& row : replayed.rows) {
    double error = 0.0, power = 0.0;
    for (std::size_t k = 0; k < row.receptions.size(); ++k) {
      const arma::cx_vec& h = replayed.transmissions[k].h;
      error += arma::accu(arma::square(arma::abs(row.receptions[k].h_hat - h)));
      power += arma::accu(arma::square(arma::abs(h)));
    }
    std::snprintf(line, sizeof line,
                  ": %s, %.0f of %.0f coded bits wrong, %.0f of the decoded, nmse %.3g\n",
                  row.delivered ? "delivered" : "lost", row.sums.coded_bit_errors,
                  row.sums.coded_bits, row.sums.bit_errors, error / power);
    text += row.name + line;
  }
  return text;
}

}  // namespace sim
}  // namespace v0
}  // namespace chest
