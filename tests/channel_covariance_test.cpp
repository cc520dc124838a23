#include <gtest/gtest.h>

#include <chest/angular.hpp>
#include <chest/channel_covariance.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/gaussian_mixture.hpp>
#include <chest/samples.hpp>
#include <filesystem>

#include "tests/support/scene.hpp"
#include "tests/support/statistics.hpp"
#include "tests/support/structured_covariance.hpp"
#include "tests/support/temporary_folder.hpp"

namespace chest {
namespace {

TEST(ChannelCovariance, IsAppliedAsTheMatrixThatItStandsFor) {
  Rng rng = test_rng(1);
  for (const auto& [n_rx, n_tx] :
       std::vector<std::pair<arma::uword, arma::uword>>{{5, 3}, {8, 4}, {1, 4}, {7, 1}, {11, 2}}) {
    for (const CovarianceKind kind : all_kinds) {
      const ChannelCovariance C = structured_covariance(kind, n_rx, n_tx, rng);
      const arma::cx_mat dense = C.dense();
      const std::string where = std::string(to_string(kind)) + " " + size_text(n_rx, n_tx);
      EXPECT_EQ(C.kind(), kind);
      EXPECT_EQ(C.n_h(), n_rx * n_tx) << where;
      EXPECT_LT(max_difference(dense, arma::cx_mat(dense.t())), 1e-14) << where;
      EXPECT_NEAR(C.trace(), arma::trace(dense).real(), 1e-11) << where;
      const arma::cx_mat x = rng.cx_normal(n_rx * n_tx, 3);
      EXPECT_LT(max_difference(C.times(x), arma::cx_mat(dense * x)), 1e-11) << where;
      EXPECT_THROW(C.times(rng.cx_normal(n_rx * n_tx + 1, 1)), Error) << where;
      EXPECT_LT(max_difference(gaussian_prior(C).covariance(0), dense), 1e-12) << where;
      if (kind == CovarianceKind::full) {
        EXPECT_THROW(C.angular_powers(), Error);
        continue;
      }
      // Columns of F C F^H, one per angle.
      const AngularTransform F(n_rx, n_tx);
      const arma::cx_mat in_angles = F.forward(arma::cx_mat(F.forward(dense).t()));
      EXPECT_LT(max_difference(arma::vec(arma::vectorise(C.angular_powers())),
                               arma::vec(arma::real(in_angles.diag()))),
                1e-11)
          << where;
    }
  }
}

TEST(ChannelCovariance, TakesItsFormFromWhatIsGiven) {
  // The lags of C_tx kron C_rx are products of those of either side.
  const arma::cx_vec t_rx{{1.0, 0.0}, {0.5, 0.2}, {0.1, -0.3}}, t_tx{{2.0, 0.0}, {0.4, 0.3}};
  const auto both_sides = [](const arma::cx_vec& t) {
    return arma::cx_vec(
        arma::join_cols(arma::conj(arma::reverse(arma::cx_vec(t.tail(t.n_elem - 1)))), t));
  };
  const ChannelCovariance C = ChannelCovariance::toeplitz(both_sides(t_rx) * both_sides(t_tx).st());
  const arma::cx_mat expected = arma::kron(toeplitz(t_tx), toeplitz(t_rx));
  EXPECT_LT(max_difference(C.dense(), expected), 1e-15);
  EXPECT_LT(max_difference(ChannelCovariance::kronecker(toeplitz(t_rx), toeplitz(t_tx)).dense(),
                           expected),
            1e-15);
  // Circulant: powers of angles.
  Rng rng = test_rng(2);
  const arma::mat powers = arma::square(arma::abs(rng.cx_normal(4, 3)));
  const AngularTransform F(4, 3);
  const arma::cx_mat diagonal =
      arma::diagmat(arma::cx_vec(arma::vectorise(powers), arma::zeros(12)));
  EXPECT_LT(max_difference(ChannelCovariance::dft(powers).dense(),
                           arma::cx_mat(F.inverse(arma::cx_mat(F.inverse(diagonal).t())))),
            1e-14);
  EXPECT_THROW(ChannelCovariance(arma::cx_mat(3, 2, arma::fill::zeros)), Error);
  EXPECT_THROW(ChannelCovariance::toeplitz(arma::cx_mat(4, 3, arma::fill::zeros)), Error);
  EXPECT_THROW(ChannelCovariance::dft(-powers), Error);
  EXPECT_THROW(ChannelCovariance::kronecker(arma::cx_mat(2, 3, arma::fill::zeros), expected),
               Error);
}

TEST(ChannelCovariance, LoadingAddsToTheDiagonal) {
  Rng rng = test_rng(3);
  for (const CovarianceKind kind : all_kinds) {
    const ChannelCovariance C = structured_covariance(kind, 4, 3, rng);
    arma::cx_mat expected = C.dense();
    if (kind == CovarianceKind::kronecker) {
      const auto more = [](arma::cx_mat M) {
        M.diag() += 0.2 * arma::trace(M).real() / double(M.n_rows);
        return M;
      };
      expected = arma::kron(more(C.C_tx()), more(C.C_rx()));
    } else {
      expected.diag() += 0.2 * arma::trace(expected).real() / 12.0;
    }
    EXPECT_LT(max_difference(C.loaded(0.2).dense(), expected), 1e-13) << to_string(kind);
  }
}

TEST(FitStructuredCovariance, IsTheMeanThatItsStructureLeaves) {
  // More channels than a block holds.
  Rng rng = test_rng(4);
  const arma::uword n_rx = 5, n_tx = 3, n = 600;
  const arma::cx_mat L = covariance_factor(random_covariance(n_rx * n_tx, rng));
  const arma::cx_mat h = L * rng.cx_normal(n_rx * n_tx, n);
  const SampleReader samples = samples_in_memory(h, n_rx, n_tx);
  const arma::cx_mat S = h * h.t() / double(n);

  double weight = -1.0;
  const ChannelCovariance toeplitz_one =
      fit_structured_covariance(samples, CovarianceKind::toeplitz, &weight);
  EXPECT_EQ(weight, 0.0);
  EXPECT_LT(max_difference(toeplitz_one.dense(), block_toeplitz_average(S, n_rx, n_tx)), 1e-13);

  const AngularTransform F(n_rx, n_tx);
  const arma::mat powers =
      arma::reshape(arma::mean(arma::square(arma::abs(F.forward(h))), 1), n_rx, n_tx);
  EXPECT_LT(
      max_difference(fit_structured_covariance(samples, CovarianceKind::dft).powers(), powers),
      1e-13);

  const ChannelCovariance factors =
      fit_structured_covariance(samples, CovarianceKind::kronecker, &weight);
  EXPECT_EQ(weight, 0.0);
  arma::cx_mat C_rx(n_rx, n_rx, arma::fill::zeros), C_tx(n_tx, n_tx, arma::fill::zeros);
  for (arma::uword j = 0; j < n_rx * n_tx; ++j) {
    for (arma::uword i = 0; i < n_rx * n_tx; ++i) {
      if (i / n_rx == j / n_rx) C_rx(i % n_rx, j % n_rx) += S(i, j) / double(n_tx);
      if (i % n_rx == j % n_rx) C_tx(i / n_rx, j / n_rx) += S(i, j) / double(n_rx);
    }
  }
  C_tx /= arma::trace(S).real() / double(n_rx * n_tx);
  EXPECT_LT(max_difference(factors.C_rx(), C_rx), 1e-13);
  EXPECT_LT(max_difference(factors.C_tx(), C_tx), 1e-13);
  EXPECT_NEAR(factors.trace(), arma::trace(S).real(), 1e-11);

  EXPECT_THROW(fit_structured_covariance(samples, CovarianceKind::full), Error);
  EXPECT_THROW(fit_structured_covariance(subrange(samples, 0, 0), CovarianceKind::dft), Error);
}

TEST(FitStructuredCovariance, OfFewChannelsIsStillACovariance) {
  // One channel with power at both ends: its means over pairs have the eigenvalue 2/n - 1.
  arma::cx_mat h(12, 1, arma::fill::zeros);
  h(0) = h(11) = 1.0;
  arma::vec eigenvalues;
  arma::cx_mat U;
  hermitian_eigen(block_toeplitz_average(h * h.t(), 12, 1), eigenvalues, U);
  EXPECT_LT(eigenvalues.min(), -0.5);
  double weight = 0.0;
  const ChannelCovariance C =
      fit_structured_covariance(samples_in_memory(h, 12, 1), CovarianceKind::toeplitz, &weight);
  EXPECT_GT(weight, 0.0);
  EXPECT_LE(weight, 1.0);
  hermitian_eigen(C.dense(), eigenvalues, U);
  EXPECT_GT(eigenvalues.min(), -1e-12);
  EXPECT_NEAR(C.trace(), 2.0, 1e-14);
  // A weight half as large is not enough: it is the least of the powers of two.
  const arma::cx_mat means = block_toeplitz_average(h * h.t(), 12, 1);
  arma::cx_mat half = means;
  for (arma::uword j = 0; j < 12; ++j) {
    for (arma::uword i = 0; i < 12; ++i) {
      const double part = 1.0 - std::abs(double(i) - double(j)) / 12.0;
      half(i, j) *= 1.0 - 0.5 * weight + 0.5 * weight * part;
    }
  }
  hermitian_eigen(half, eigenvalues, U);
  EXPECT_LT(eigenvalues.min(), 0.0);
}

TEST(ChannelCovariance, SurvivesAFileThatHoldsItsStructureAlone) {
  Rng rng = test_rng(5);
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / "C.h5";
  for (const CovarianceKind kind : all_kinds) {
    const ChannelCovariance C = structured_covariance(kind, 6, 4, rng);
    {
      ArchiveWriter archive(file);
      save(archive, "/second_moments", C);
      archive.commit();
    }
    const ChannelCovariance read =
        load_channel_covariance(ArchiveReader(file), "/second_moments", kind);
    EXPECT_EQ(read.kind(), kind);
    EXPECT_EQ(max_difference(read.dense(), C.dense()), 0.0);
    if (kind == CovarianceKind::full) continue;
    EXPECT_FALSE(ArchiveReader(file).has("/second_moments/C"));
    const CovarianceKind other =
        kind == CovarianceKind::dft ? CovarianceKind::toeplitz : CovarianceKind::dft;
    EXPECT_THROW(load_channel_covariance(ArchiveReader(file), "/second_moments", other), Error);
  }
}

}  // namespace
}  // namespace chest
