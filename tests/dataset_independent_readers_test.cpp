#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include <chest/channels/dataset.hpp>

#include "tests/support/channel_fixtures.hpp"

// What chest writes, read by programs that know nothing of chest.
namespace chest {
namespace {

using test::fixture_channels;
using test::TemporaryFolder;

bool succeeds(const std::string& command) {
  return std::system(("(" + command + ") > /dev/null").c_str()) == 0;
}

std::string written_file(const TemporaryFolder& folder) {
  const std::string file = (folder.path() / "channels.h5").string();
  ChannelFileOptions options;
  options.n_rx = 4;
  options.n_tx = 3;
  options.n_samples = 5;
  options.with_covariances = true;
  options.with_err_var = true;
  options.provenance.seed = 5;
  ChannelBlock block;
  block.h = fixture_channels(5, 4, 3);
  block.covariances.t_rx = fixture_channels(5, 4, 1);
  block.covariances.t_tx = fixture_channels(5, 3, 1);
  block.err_var = {0.1, 0.2, 0.3, 0.4, 0.5};
  ChannelFileWriter writer(file, options);
  writer.append(block);
  writer.finish();
  return file;
}

TEST(IndependentReaders, SeeTheSameChannels) {
  const std::string python = "/usr/bin/python3";
  if (!succeeds(python + " -c 'import h5py, numpy' 2> /dev/null"))
    GTEST_SKIP() << "h5py of " << python << " is not installed";
  const TemporaryFolder folder;
  const std::string files = written_file(folder) + " " + (folder.path() / "copy.h5").string();
  EXPECT_TRUE(
      succeeds(python + " " CHEST_SOURCE_DIR "/tests/support/check_channel_file.py " + files));
  if (!succeeds("command -v octave-cli")) GTEST_SKIP() << "octave-cli is not installed";
  EXPECT_TRUE(succeeds("octave-cli --quiet --no-init-file " CHEST_SOURCE_DIR
                       "/tests/support/check_channel_file.m " +
                       files));
}

}  // namespace
}  // namespace chest
