// The small parts of src/ that have closed forms: angular transform, covariance, metrics, text,
// parallel.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cmath>
#include <limits>

#include <chest/angular.hpp>
#include <chest/covariance.hpp>
#include <chest/error.hpp>
#include <chest/file.hpp>
#include <chest/gaussian_mixture.hpp>
#include <chest/metrics.hpp>
#include <chest/parallel.hpp>
#include <chest/random.hpp>
#include <chest/samples.hpp>
#include <chest/spec.hpp>
#include <chest/text.hpp>

// LAPACK's Hermitian eigendecomposition, seen on its way: the memory of the last matrix, in bytes.
namespace {
std::atomic<std::size_t> bytes_of_matrix{0};
thread_local bool measures_matrix = false;  // only where the matrix lies on the heap
}  // namespace
extern "C" [[gnu::visibility("default")]] void zheevd_(const char* job, const char* triangle,
                                                       const int* n, void* a, const int* stride,
                                                       double* w, void* work, const int* n_work,
                                                       double* rwork, const int* n_rwork,
                                                       int* iwork, const int* n_iwork, int* info,
                                                       std::size_t n_job, std::size_t n_triangle) {
  static const auto real = reinterpret_cast<decltype(&zheevd_)>(::dlsym(RTLD_NEXT, "zheevd_"));
  if (measures_matrix) bytes_of_matrix = ::malloc_usable_size(a);
  real(job, triangle, n, a, stride, w, work, n_work, rwork, n_rwork, iwork, n_iwork, info, n_job,
       n_triangle);
}

namespace chest {
namespace {

arma::cx_mat random_matrix(arma::uword n_rows, arma::uword n_cols, std::uint64_t seed = 1) {
  return Rng(seed, {Purpose::test}).cx_normal(n_rows, n_cols);
}

TEST(AngularTransform, IsTheUnitary2dDft) {
  const arma::uword n_rx = 6, n_tx = 4;
  const AngularTransform transform(n_rx, n_tx);
  const arma::cx_mat h = random_matrix(n_rx * n_tx, 3);
  const arma::cx_mat h_ang = transform.forward(h);
  for (arma::uword k = 0; k < h.n_cols; ++k) {
    const arma::cx_mat H = arma::reshape(h.col(k), n_rx, n_tx);
    const arma::cx_mat expected = arma::fft2(H) / std::sqrt(double(n_rx * n_tx));
    EXPECT_LT(arma::abs(arma::vectorise(expected) - h_ang.col(k)).max(), 1e-13);
  }
  EXPECT_LT(arma::abs(transform.inverse(h_ang) - h).max(), 1e-13);
}

TEST(SteeringVectors, AreTheConjugatedDftOnAFinerGrid) {
  EXPECT_LT(arma::abs(steering_vectors(5, 1) - arma::conj(dft_matrix(5))).max(), 1e-15);
  const arma::cx_mat G = steering_vectors(4, 3);
  ASSERT_EQ(G.n_cols, 12u);
  for (arma::uword k = 0; k < 12; ++k) {
    for (arma::uword m = 0; m < 4; ++m) {
      const double angle = 2.0 * arma::datum::pi * static_cast<double>(m * k) / 12.0;
      EXPECT_LT(std::abs(G(m, k) - std::polar(0.5, angle)), 1e-14);
    }
  }
  // A path is one entry of the angular domain where its angles are on the coarse grid.
  const arma::cx_mat path = arma::kron(G.col(6), steering_vectors(5, 2).col(2));
  EXPECT_NEAR(std::abs(AngularTransform(5, 4).forward(path)(1 + 5 * 2)), 1.0, 1e-14);
}

TEST(AngularTransform, WorksInPlace) {
  const AngularTransform transform(5, 3);
  arma::cx_mat h = random_matrix(15, 4);
  const arma::cx_mat expected = transform.forward(h);
  transform.forward(h, h);
  EXPECT_LT(arma::abs(h - expected).max(), 1e-14);
}

TEST(AngularTransform, RefusesOtherSizes) {
  EXPECT_THROW(AngularTransform(0, 4), Error);
  EXPECT_THROW(AngularTransform(2, 2).forward(random_matrix(5, 1)), Error);
}

TEST(Covariance, ToeplitzIsHermitian) {
  const arma::cx_vec t{{1.0, 0.0}, {0.5, 0.2}, {0.1, -0.3}};
  const arma::cx_mat C = toeplitz(t);
  EXPECT_EQ(C(2, 0), t(2));
  EXPECT_EQ(C(0, 2), std::conj(t(2)));
  EXPECT_EQ(C(2, 1), t(1));
  EXPECT_TRUE(C.is_hermitian());
}

TEST(Covariance, FactorReproducesASingularMatrix) {
  const arma::cx_mat G = random_matrix(6, 3);
  const arma::cx_mat C = G * G.t();
  const arma::cx_mat L = covariance_factor(C);
  EXPECT_LT(arma::abs(L * L.t() - C).max(), 1e-12);
  EXPECT_THROW(covariance_factor(-C), Error);
}

TEST(Covariance, BlockToeplitzAverageKeepsWhatIsBlockToeplitz) {
  const arma::cx_mat C = arma::kron(toeplitz({{1.0, 0.0}, {0.4, 0.3}}),
                                    toeplitz({{1.0, 0.0}, {0.5, 0.2}, {0.1, -0.3}}));
  EXPECT_LT(arma::abs(block_toeplitz_average(C, 3, 2) - C).max(), 1e-15);
  // and projects: the average of the average is the average, the trace is kept.
  const arma::cx_mat G = random_matrix(6, 9);
  const arma::cx_mat S = G * G.t();
  const arma::cx_mat once = block_toeplitz_average(S, 3, 2);
  EXPECT_LT(arma::abs(block_toeplitz_average(once, 3, 2) - once).max(), 1e-13);
  EXPECT_NEAR(arma::trace(once).real(), arma::trace(S).real(), 1e-12);
}

// OpenBLAS 0.3.21 reads a column past the end of the matrix; without one to spare, this ends the
// process where the next page is not mapped.
TEST(Covariance, HermitianEigendecompositionsLeaveAColumnToSpare) {
  for (const arma::uword n : {8, 33, 256}) {
    const arma::cx_mat G = random_matrix(n, n);
    const arma::cx_mat C = G + G.t();
    std::vector<double> wrong(4);
    parallel_for(wrong.size(), 4, [&](std::size_t i) {
      arma::vec l;
      arma::cx_mat U;
      measures_matrix = true;
      hermitian_eigen(C, l, U);
      measures_matrix = false;
      wrong[i] = arma::abs(C * U - U * arma::diagmat(l)).max();
      if (!l.is_sorted()) throw Error(ErrorKind::numeric, "not ascending");
    });
    EXPECT_GE(bytes_of_matrix.load(), n * (n + 1) * sizeof(arma::cx_double));
    // Backward stable: n eps ||C||, and ||C|| is below 4 sqrt(n) for these.
    const double rounding = 4.0 * std::sqrt(double(n)) * double(n) * 2.3e-16;
    for (double each : wrong) EXPECT_LT(each, rounding);
  }
}

TEST(Metrics, SquaredNormsAreSumsOfSquaredMagnitudes) {
  const arma::cx_mat X = random_matrix(5, 3);
  const arma::mat expected = arma::square(arma::real(X)) + arma::square(arma::imag(X));
  EXPECT_LT(arma::abs(squared_magnitudes(X) - expected).max(), 1e-15);
  EXPECT_LT(arma::abs(squared_norms(X) - arma::sum(expected, 0).t()).max(), 1e-14);
  EXPECT_NEAR(squared_norm(X), arma::accu(expected), 1e-14);
}

TEST(Metrics, NmseIsTotalErrorOverTotalPower) {
  const arma::cx_mat h{{{1.0, 0.0}, {0.0, 2.0}}};
  const arma::cx_mat h_hat{{{1.0, 1.0}, {0.0, 0.0}}};
  EXPECT_DOUBLE_EQ(nmse(h_hat, h), (1.0 + 4.0) / (1.0 + 4.0));
  EXPECT_THROW(nmse(h_hat, arma::cx_mat(2, 2)), Error);
  EXPECT_THROW(nmse(h, arma::cx_mat(1, 2, arma::fill::zeros)), Error);
  EXPECT_DOUBLE_EQ(from_db(to_db(0.25)), 0.25);
}

TEST(Samples, JoinedReadersFollowEachOther) {
  Rng rng(1, {Purpose::test});
  const arma::cx_mat a = rng.cx_normal(6, 3), b = rng.cx_normal(6, 1), c = rng.cx_normal(6, 4);
  const SampleReader all =
      joined({samples_in_memory(a, 3, 2), samples_in_memory(b, 3, 2), samples_in_memory(c, 3, 2)});
  const arma::cx_mat expected = arma::join_rows(a, b, c);
  EXPECT_EQ(all.n_samples, 8U);
  for (arma::uword first = 0; first < 8; ++first) {
    for (arma::uword n = 0; n <= 8 - first; ++n) {
      const arma::cx_mat found = all.read(first, n);
      ASSERT_EQ(found.n_cols, n);
      if (n == 0) continue;
      EXPECT_EQ(arma::abs(found - expected.cols(first, first + n - 1)).max(), 0.0);
    }
  }
  EXPECT_THROW(joined({}), Error);
  EXPECT_THROW(joined({samples_in_memory(a, 3, 2), samples_in_memory(b, 2, 3)}), Error);
}

TEST(Samples, CovarianceAndSubrange) {
  const arma::cx_mat h = random_matrix(4, 1300);
  const SampleReader samples = samples_in_memory(h, 2, 2);
  EXPECT_LT(arma::abs(sample_covariance(samples) - h * h.t() / 1300.0).max(), 1e-12);
  const SampleReader part = subrange(samples, 1000, 200);
  EXPECT_TRUE(arma::approx_equal(part.read(10, 5), h.cols(1010, 1014), "absdiff", 0.0));
  EXPECT_THROW(subrange(samples, 1000, 301), Error);
  EXPECT_THROW(samples.read(1299, 2), Error);
}

TEST(GaussianMixture, SaysWhatDoesNotFit) {
  GaussianMixture prior;
  EXPECT_FALSE(prior.why_invalid().empty());
  prior.weights = {0.5, 0.5};
  prior.means = arma::cx_mat(2, 2);
  prior.covariances = {arma::cx_mat(2, 2, arma::fill::eye), arma::cx_mat(3, 3, arma::fill::eye)};
  EXPECT_NE(prior.why_invalid().find("covariance 1 is 3x3, expected 2x2"), std::string::npos);
  prior.covariances[1] = prior.covariances[0];
  EXPECT_EQ(prior.why_invalid(), "");
  prior.weights = {0.5, 0.6};
  EXPECT_FALSE(prior.why_invalid().empty());
}

TEST(Text, NearestSuggestsOnlyWhatIsNear) {
  EXPECT_EQ(nearest("lmse", {"ls", "lmmse", "genie"}), "lmmse");
  EXPECT_EQ(nearest("zebra", {"ls", "lmmse", "genie"}), "");
}

TEST(Text, NamedOptions) {
  const auto list =
      parse_named_options_list("ls,dmse:steps=1@m.h5,gmm:components=32,kind=full,lmmse");
  ASSERT_EQ(list.size(), 4u);
  EXPECT_EQ(list[1].name, "dmse");
  EXPECT_EQ(list[1].options.at("steps"), "1");
  EXPECT_EQ(list[1].file, "m.h5");
  EXPECT_EQ(list[2].options.at("kind"), "full");
  EXPECT_EQ(list[2].text, "gmm:components=32,kind=full");
  EXPECT_EQ(list[3].name, "lmmse");
  EXPECT_EQ(parse_named_options("dmse:published").options.count("published"), 1u);
  for (const char* bad : {"", ":steps=1", "dmse:", "dmse:steps=1,steps=2", "dmse@", "ls,,lmmse"}) {
    EXPECT_THROW(parse_named_options_list(bad), Error) << bad;
  }
}

TEST(Text, NumbersAreWholeWords) {
  EXPECT_EQ(to_number("-1.5e2", "x"), -150.0);
  EXPECT_EQ(to_number("+3", "x"), 3.0);
  for (const char* bad : {"", "1x", "x", "nan", "inf", "1e999", "+-1"}) {
    EXPECT_THROW(to_number(bad, "x"), Error) << bad;
  }
  EXPECT_EQ(to_count("42", "x"), 42u);
  for (const char* bad : {"", "-1", "1.5", "99999999999999999999999"}) {
    EXPECT_THROW(to_count(bad, "x"), Error) << bad;
  }
}

TEST(Text, NumbersReadBack) {
  EXPECT_EQ(number_text(0.1), "0.1");
  EXPECT_EQ(number_text(1e-7), "1e-07");
  EXPECT_EQ(number_text(-3.0), "-3");
  EXPECT_EQ(number_text(100000.0), "100000");
  EXPECT_EQ(number_text(0.0001), "0.0001");
  EXPECT_EQ(number_text(std::numeric_limits<double>::quiet_NaN()), "nan");
  EXPECT_EQ(number_text(-std::numeric_limits<double>::infinity()), "-inf");
  for (const double value : {1.0 / 3.0, 5e-324, 1.7976931348623157e308, -0.1 - 0.2}) {
    EXPECT_EQ(to_number(number_text(value), "x"), value);
  }
  // Where it is for: a refusal shows what was found.
  try {
    covariance_factor(arma::cx_mat(1, 1, arma::fill::value(-1e-7)));
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("is -1e-07,"), std::string::npos) << error.what();
  }
}

TEST(Parallel, VisitsEveryIndexOnceAndPassesExceptionsOn) {
  std::vector<std::atomic<int>> visits(1000);
  parallel_for(visits.size(), 4, [&](std::size_t i) { ++visits[i]; });
  for (const auto& v : visits) EXPECT_EQ(v, 1);
  EXPECT_THROW(parallel_for(100, 4,
                            [](std::size_t i) {
                              if (i == 37) throw Error(ErrorKind::numeric, "37");
                            }),
               Error);
}

/// The calls of the BLAS library that this test runs with; OpenBLAS on the machines of the project.
struct Blas {
  int (*get)() = reinterpret_cast<int (*)()>(::dlsym(RTLD_DEFAULT, "openblas_get_num_threads"));
  void (*set)(int) = reinterpret_cast<void (*)(int)>(::dlsym(RTLD_DEFAULT,
                                                             "openblas_set_num_threads"));
};

TEST(Parallel, TheHostsNumberOfBlasThreadsComesBack) {
  const Blas blas;
  if (!blas.get || !blas.set) GTEST_SKIP() << "needs OpenBLAS";
  blas.set(3);
  {
    const OneBlasThread outer;
    EXPECT_EQ(blas.get(), 1);
    {
      const OneBlasThread inner;
      EXPECT_EQ(blas.get(), 1);
    }
    EXPECT_EQ(blas.get(), 1);  // the outer one still counts
  }
  EXPECT_EQ(blas.get(), 3);
  // Overlapping in threads: within any of them the number is 1, after the last it is the host's.
  std::atomic<int> n_wrong{0};
  parallel_for(4000, 8, [&](std::size_t) {
    const OneBlasThread one;
    n_wrong += blas.get() != 1;
  });
  EXPECT_EQ(n_wrong, 0);
  EXPECT_EQ(blas.get(), 3);
  // Also when an exception ends the scope.
  EXPECT_THROW(
      {
        const OneBlasThread one;
        throw Error(ErrorKind::numeric, "");
      },
      Error);
  EXPECT_EQ(blas.get(), 3);
}

TEST(File, HashIsXxh3) {
  EXPECT_EQ(hash_bytes("", 0), "99aa06d3014798d86001c324468d497f");  // XXH3_128bits of nothing
  const auto file = std::filesystem::temp_directory_path() / "chest_hash_test.txt";
  write_text_file(file, "abc");
  EXPECT_EQ(hash_file(file), hash_bytes("abc", 3));
  std::filesystem::remove(file);
  EXPECT_THROW(hash_file(file), Error);
  EXPECT_THROW(write_text_file("/nonexistent/folder/file", "x"), Error);
}

}  // namespace
}  // namespace chest
