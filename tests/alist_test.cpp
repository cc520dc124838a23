// Codes from alist files, and words of any parity-check matrix.
#include <gtest/gtest.h>

#include <sstream>

#include <chest/file.hpp>
#include <chest/sim/coding/decoder.hpp>
#include <chest/sim/coding/nr_ldpc.hpp>
#include <chest/sim/coding/parity_check.hpp>

#include "tests/support/lcg_bits.hpp"
#include "tests/support/run.hpp"

namespace chest::sim {
namespace {

// The (7, 4) code of Hamming, bit 1 with the lists of checks padded.
const std::string hamming =
    "7 3\n3 4\n1 1 2 1 2 2 3\n4 4 4\n"
    "1 0 0\n2 0 0\n1 2 0\n3 0 0\n1 3 0\n2 3 0\n1 2 3\n"
    "1 3 5 7\n2 3 6 7\n4 5 6 7\n";

/// The matrix as alist.
std::string alist_of(const ParityCheck& H) {
  std::vector<std::vector<std::size_t>> checks(H.n_checks()), bits(H.n_bits());
  for (const auto& c : H.circulants)
    for (std::size_t i = 0; i < H.z; ++i)
      checks[c.row * H.z + i].push_back(c.column * H.z + (i + c.shift) % H.z);
  for (std::size_t check = 0; check < checks.size(); ++check)
    for (const std::size_t bit : checks[check]) bits[bit].push_back(check);
  std::size_t most_bits = 0, most_checks = 0;
  for (const auto& list : bits) most_bits = std::max(most_bits, list.size());
  for (const auto& list : checks) most_checks = std::max(most_checks, list.size());
  std::ostringstream out;
  out << bits.size() << " " << checks.size() << "\n" << most_bits << " " << most_checks << "\n";
  for (const auto* lists : {&bits, &checks}) {
    for (const auto& list : *lists) out << list.size() << " ";
    out << "\n";
  }
  for (const auto* lists : {&bits, &checks})
    for (const auto& list : *lists) {
      for (const std::size_t i : list) out << i + 1 << " ";
      out << "\n";
    }
  return out.str();
}

class Alist : public testing::Test {
 protected:
  ParityCheck read(const std::string& text) {
    write_text_file(file_, text);
    return read_alist(file_);
  }
  /// What is said of a damaged file, without its name.
  std::string refusal(const std::string& text) {
    const std::string message = error_of([&] { read(text); });
    return message.substr(std::min(message.size(), file_.string().size() + 2));
  }

  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "code.alist";
};

TEST_F(Alist, HammingWordsDifferInThreeBitsAtLeast) {
  const ParityCheck H = read(hamming);
  EXPECT_EQ(H.n_bits(), 7u);
  EXPECT_EQ(H.n_checks(), 3u);
  const GenericEncoder encoder(H);
  ASSERT_EQ(encoder.k(), 4u);
  std::vector<Bits> words;
  for (unsigned i = 0; i < 16; ++i) {
    Bits info(4), word(7);
    for (unsigned b = 0; b < 4; ++b) info[b] = i >> b & 1;
    encoder.encode(info.data(), word.data());
    EXPECT_TRUE(H.holds(word.data()));
    for (unsigned b = 0; b < 4; ++b) EXPECT_EQ(word[encoder.information()[b]], info[b]);
    for (const Bits& other : words) {
      int distance = 0;
      for (unsigned b = 0; b < 7; ++b) distance += word[b] != other[b];
      EXPECT_GE(distance, 3);
    }
    words.push_back(word);
  }
}

TEST_F(Alist, CirculantsAreFoundAgain) {
  const NrLdpc code(BaseGraph::bg2, 100);
  const ParityCheck& H = code.parity_check();
  const ParityCheck again = read(alist_of(H));
  EXPECT_EQ(again.z, H.z);
  ASSERT_EQ(again.circulants.size(), H.circulants.size());
  for (std::size_t i = 0; i < H.circulants.size(); ++i) {
    EXPECT_EQ(again.circulants[i].row, H.circulants[i].row);
    EXPECT_EQ(again.circulants[i].column, H.circulants[i].column);
    EXPECT_EQ(again.circulants[i].shift, H.circulants[i].shift);
  }
  // A code's own encoder and the general one agree on what a word is.
  const GenericEncoder encoder(again);
  EXPECT_EQ(encoder.k(), code.n_systematic());
  Bits word(H.n_bits());
  encoder.encode(lcg_bits(1, encoder.k()).data(), word.data());
  EXPECT_TRUE(H.holds(word.data()));
}

TEST_F(Alist, SeveralCirculantsInOneBlockAreDecoded) {
  // Row blocks 1 + x | 1 + x^3 | 1 with z = 9: two bits of one column in each check.
  ParityCheck H;
  H.n_rows = 1;
  H.n_columns = 3;
  H.z = 9;
  H.circulants = {{0, 0, 0}, {0, 0, 1}, {0, 1, 0}, {0, 1, 3}, {0, 2, 0}};
  const ParityCheck again = read(alist_of(H));
  EXPECT_EQ(again.z, 9u);
  EXPECT_EQ(again.circulants.size(), 5u);
  const GenericEncoder encoder(again);
  EXPECT_EQ(encoder.k(), 18u);
  Bits word(27), decided(27);
  encoder.encode(lcg_bits(2, 18).data(), word.data());
  for (const DecoderSchedule schedule : {DecoderSchedule::flooding, DecoderSchedule::layered}) {
    DecoderOptions options;
    options.schedule = schedule;
    LdpcDecoder decoder(again, options);
    std::vector<float> llrs(27);
    for (std::size_t i = 0; i < 27; ++i) llrs[i] = word[i] != 0 ? -3.0f : 3.0f;
    llrs[20] = -0.5f * llrs[20];  // a bit of the last block: its one check knows better
    EXPECT_TRUE(decoder.decode(llrs.data(), decided.data()).parity_holds);
    EXPECT_EQ(decided, word);
  }
}

TEST_F(Alist, DamagedFilesAreRefused) {
  const auto changed = [](const std::string& from, const std::string& to) {
    std::string text = hamming;
    return text.replace(text.find(from), from.size(), to);
  };
  EXPECT_EQ(error_of([] { read_alist("/no/such.alist"); }),
            "/no/such.alist: the file cannot be read");
  EXPECT_EQ(refusal(""), "ends before the numbers of bits and of checks");
  EXPECT_EQ(refusal("PK\x03\x04"), "line 1 holds 'PK\x03\x04', expected whole numbers");
  EXPECT_EQ(refusal("7 3 1\n"),
            "line 1 has 3 numbers, expected two: the numbers of bits and of checks");
  EXPECT_EQ(refusal("3 7\n"),
            "has 3 bits and 7 checks, expected more bits than checks, up to 1000000");
  EXPECT_EQ(refusal(changed("3 4\n", "2 4\n")),
            "the largest degree of the bits is 3, its second line says 2");
  EXPECT_EQ(refusal(changed("4 4 4\n", "4 4 4 4\n")),
            "line 4 makes 4 degrees, expected those of 3 checks");
  EXPECT_EQ(refusal(changed("1 2 0\n", "1 1 0\n")), "line 7 names 1 twice");
  EXPECT_EQ(refusal(changed("1 2 0\n", "1 4 0\n")), "line 7 names 4, expected 1 .. 3");
  EXPECT_EQ(refusal(changed("1 2 0\n", "1 0 0\n")), "line 7 names 0, expected 1 .. 3");
  EXPECT_EQ(refusal(changed("1 2 0\n", "1\n")),
            "line 7 lists 1 entries of bit 3, expected its degree 2");
  EXPECT_EQ(refusal(changed("1 2 0\n", "1 3 0\n")),
            "the lists of bits and of checks differ at check 2");
  EXPECT_EQ(refusal(changed("2 3 6 7\n", "2 3 6 -7\n")),
            "line 13 holds '-7', expected whole numbers");
  EXPECT_EQ(refusal(changed("4 5 6 7\n", "")), "ends before the list of check 3");
  EXPECT_EQ(refusal(hamming + "1\n"), "line 15 is behind the end of the matrix");
  EXPECT_EQ(refusal(changed("1 1 2 1 2 2 3\n", "0 1 2 1 2 2 3\n")),
            "bit 1 has degree 0, expected 1 or more");
  // Any cut is found.
  for (std::size_t n = 0; n + 2 < hamming.size(); n += 3)
    EXPECT_NE(error_of([&] { read(hamming.substr(0, n)); }), "") << n;
}

TEST_F(Alist, MatricesWithoutFreeBitsOrTooLargeOnesAreRefused) {
  ParityCheck H;
  H.n_rows = 2;
  H.n_columns = 2;
  H.circulants = {{0, 0, 0}, {1, 1, 0}};
  EXPECT_EQ(error_of([&] { GenericEncoder encoder(H); }),
            "code: the 2 checks leave none of the 2 bits free");
  H.z = 40'000;
  EXPECT_EQ(error_of([&] { GenericEncoder encoder(H); }),
            "code: the matrix has 80000 checks of 80000 bits, expected at most 16384 of 65536");
}

}  // namespace
}  // namespace chest::sim
