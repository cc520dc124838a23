// A program of tests: chest_tests [--source=FILE] [--gtest_filter=... and the other flags of GoogleTest].
// With --source it runs the tests of one file, "lmmse_test.cpp"; CTest starts it once per file, because
// loading LibTorch for every single test took longer than most tests.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <string>

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const std::string flag = "--source=";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind(flag, 0) != 0) {
      std::fprintf(stderr, "unknown argument %s\n", argv[i]);
      return 2;
    }
    const std::string source = word.substr(flag.size());
    std::string filter;
    const testing::UnitTest& all = *testing::UnitTest::GetInstance();
    for (int s = 0; s < all.total_test_suite_count(); ++s) {
      const testing::TestSuite& suite = *all.GetTestSuite(s);
      for (int t = 0; t < suite.total_test_count(); ++t) {
        const testing::TestInfo& test = *suite.GetTestInfo(t);
        if (std::filesystem::path(test.file()).filename() != source) continue;
        filter += std::string(filter.empty() ? "" : ":") + suite.name() + "." + test.name();
      }
    }
    if (filter.empty()) {
      std::fprintf(stderr, "%s has no tests\n", source.c_str());
      return 2;
    }
    testing::GTEST_FLAG(filter) = filter;
  }
  return RUN_ALL_TESTS();
}
