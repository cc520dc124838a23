#include <chest/random.hpp>

#include <gtest/gtest.h>

#include <cmath>

#include <chest/error.hpp>

namespace chest {
namespace {

// Known answer of Philox4x64-10 for counter 0 and key 0 (kat_vectors of Random123).
TEST(Rng, IsPhilox4x64) {
  Rng rng(0, {static_cast<Purpose>(0), 0, 0});
  EXPECT_EQ(rng(), 0x16554d9eca36314cULL);
  EXPECT_EQ(rng(), 0xdb20fe9d672d0fdcULL);
  EXPECT_EQ(rng(), 0xd7e772cee186176bULL);
  EXPECT_EQ(rng(), 0x7e68b68aec7ba23bULL);
}

TEST(Rng, StreamsAreReproducibleAndDiffer) {
  Rng a(7, {Purpose::noise, 3, 5});
  Rng b(7, {Purpose::noise, 3, 5});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a(), b());
  const std::uint64_t reference = Rng(7, {Purpose::noise, 3, 5})();
  EXPECT_NE(reference, Rng(8, {Purpose::noise, 3, 5})());
  EXPECT_NE(reference, Rng(7, {Purpose::channel, 3, 5})());
  EXPECT_NE(reference, Rng(7, {Purpose::noise, 4, 5})());
  EXPECT_NE(reference, Rng(7, {Purpose::noise, 3, 6})());
}

TEST(Rng, ComplexNormalHasTheMomentsOfCN01) {
  Rng rng(1, {Purpose::test});
  constexpr int n = 200'000;
  double power = 0.0, fourth = 0.0;
  std::complex<double> mean = 0.0, pseudo = 0.0;
  for (int i = 0; i < n; ++i) {
    const std::complex<double> z = rng.cx_normal();
    mean += z;
    power += std::norm(z);
    pseudo += z * z;
    fourth += std::norm(z) * std::norm(z);
  }
  // Five standard errors: |z|^2 has variance 1, z^2 variance 2, |z|^4 variance 20.
  const double se = 5.0 / std::sqrt(n);
  EXPECT_LT(std::abs(mean) / n, se);
  EXPECT_NEAR(power / n, 1.0, se);
  EXPECT_LT(std::abs(pseudo) / n, se * std::sqrt(2.0));
  EXPECT_NEAR(fourth / n, 2.0, se * std::sqrt(20.0));
}

TEST(Rng, RealNormalHasVarianceOne) {
  Rng rng(2, {Purpose::test});
  constexpr int n = 100'000;
  double sum = 0.0;
  for (int i = 0; i < n; ++i) sum += std::pow(rng.normal(), 2);
  EXPECT_NEAR(sum / n, 1.0, 5.0 * std::sqrt(2.0 / n));
}

TEST(Rng, IndexIsUniform) {
  Rng rng(3, {Purpose::test});
  constexpr int n = 70'000;
  std::array<int, 7> counts{};
  for (int i = 0; i < n; ++i) ++counts[rng.index(7)];
  double chi2 = 0.0;
  for (const int c : counts) chi2 += std::pow(c - n / 7.0, 2) / (n / 7.0);
  EXPECT_LT(chi2, 35.0);  // chi-squared with 6 degrees of freedom exceeds 35 once in 2e5
  EXPECT_THROW(rng.index(0), Error);
}

TEST(Rng, UniformStaysBelowOne) {
  Rng rng(4, {Purpose::test});
  for (int i = 0; i < 10'000; ++i) {
    const double u = rng.uniform();
    EXPECT_GE(u, 0.0);
    EXPECT_LT(u, 1.0);
  }
}

}  // namespace
}  // namespace chest
