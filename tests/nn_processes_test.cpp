#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <chest/channels/generator.hpp>
#include <chest/error.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/nn/network_fit.hpp>
#include <exception>
#include <map>
#include <memory>
#include <thread>

#include "tests/support/program.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/temporary_folder.hpp"

// Fits in several processes. Threads of this process stand for them but in the last test: what they share goes through
// sockets all the same.
namespace chest {
namespace {

unsigned free_port() {
  const int probe = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(probe, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(probe);
  return ntohs(address.sin_port);
}

SampleReader channels(arma::uword n, std::uint64_t seed) {
  return samples_in_memory(make_scm({4, 2, 3, 2.0, 35.0})->generate(seed, 0, n).h, 4, 2);
}

NetworkFitOptions small_fit() {
  NetworkFitOptions options;
  options.network.hidden = {8, 16, 8};
  options.network.modulated = {0, 1, 2};
  options.network.embedding = 8;
  options.batch = 50;
  options.max_epochs = 3;
  return options;
}

struct Outcome {
  NetworkModel model;
  std::string error;
};

/// fit(rank, options) in each of `count` processes.
std::vector<Outcome> in_processes(
    unsigned count, const NetworkFitOptions& options,
    const std::function<NetworkModel(unsigned, const NetworkFitOptions&)>& fit) {
  std::vector<Outcome> outcomes(count);
  std::vector<std::thread> threads;
  const unsigned port = free_port();
  for (unsigned rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] {
      NetworkFitOptions own = options;
      own.process.rank = rank;
      own.process.count = count;
      own.process.address = "127.0.0.1";
      own.process.port = port;
      try {
        outcomes[rank].model = fit(rank, own);
      } catch (const std::exception& error) {
        outcomes[rank].error = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return outcomes;
}

bool equal(const NetworkModel& a, const NetworkModel& b) {
  for (std::size_t i = 0; i < a.weights.size(); ++i) {
    if (a.weights[i].values != b.weights[i].values) return false;
  }
  return a.weights.size() == b.weights.size() &&
         arma::approx_equal(a.train_losses, b.train_losses, "absdiff", 0.0) &&
         arma::approx_equal(a.validation_losses, b.validation_losses, "absdiff", 0.0);
}

#define NEEDS_GLOO()                                                                \
  if (!can_fit_in_processes()) {                                                    \
    GTEST_SKIP() << "built without Gloo (Debian: libgloo-dev beside libtorch-dev)"; \
  }

TEST(FitProcesses, GiveTheLossesOfOneProcess) {
  NEEDS_GLOO();
  const SampleReader train = channels(330, 1), validation = channels(70, 2);
  for (const auto& [batch, count] : {std::pair{50U, 2U}, {50U, 3U}, {2U, 3U}}) {
    NetworkFitOptions options = small_fit();
    options.batch = batch;  // 2: fewer parts than processes
    if (batch == 2) options.max_epochs = 1;
    const NetworkModel one = fit_network(train, validation, options);
    const std::vector<Outcome> all =
        in_processes(count, options, [&](unsigned, const NetworkFitOptions& own) {
          return fit_network(train, validation, own);
        });
    for (const Outcome& each : all) {
      EXPECT_EQ(each.error, "");
      EXPECT_TRUE(equal(each.model, all[0].model));
      // In dB. Sums of float32 in another order, over 21 to 165 steps; another draw of the noise moves them by 0.1.
      EXPECT_TRUE(arma::approx_equal(each.model.train_losses, one.train_losses, "absdiff", 1e-3))
          << each.model.train_losses << one.train_losses;
      EXPECT_TRUE(
          arma::approx_equal(each.model.validation_losses, one.validation_losses, "absdiff", 1e-3));
    }
  }
}

TEST(FitProcesses, StopTogetherAndContinue) {
  NEEDS_GLOO();
  const TemporaryFolder folder;
  const SampleReader train = channels(330, 1), validation = channels(70, 2);
  NetworkFitOptions options = small_fit();
  const auto fit = [&](unsigned, const NetworkFitOptions& own) {
    return fit_network(train, validation, own);
  };
  const NetworkModel whole = in_processes(2, options, fit)[0].model;
  options.checkpoint = folder / "checkpoint.h5";
  // Process 1 alone is asked to stop, within the second epoch.
  const std::vector<Outcome> stopped =
      in_processes(2, options, [&](unsigned rank, const NetworkFitOptions& own) {
        RunControl control;
        int n_batches = 9;
        if (rank == 1) control.stop_requested = [&] { return n_batches-- == 0; };
        return fit_network(train, validation, own, control);
      });
  for (const Outcome& each : stopped) {
    EXPECT_EQ(each.error, "");
    EXPECT_EQ(each.model.validation_losses.n_elem, 1);
    EXPECT_FALSE(equal(each.model, whole));
  }
  EXPECT_TRUE(std::filesystem::exists(options.checkpoint));
  for (const Outcome& each : in_processes(2, options, fit)) EXPECT_TRUE(equal(each.model, whole));
}

TEST(FitProcesses, RefuseToFitDifferentThings) {
  NEEDS_GLOO();
  for (const Outcome& each :
       in_processes(2, small_fit(), [&](unsigned rank, const NetworkFitOptions&own) {
         return fit_network(channels(330, 1 + rank), channels(70, 9), own);
       })) {
    EXPECT_NE(each.error.find("do not start from the same channels, options and checkpoint"),
              std::string::npos)
        << each.error;
  }
}

TEST(FitProcesses, SayThatTheyLostEachOther) {
  NEEDS_GLOO();
  const SampleReader train = channels(330, 1), validation = channels(70, 2);
  const std::vector<Outcome> all =
      in_processes(2, small_fit(), [&](unsigned rank, const NetworkFitOptions& own) {
        RunControl control;
        int n_batches = 3;
        control.stop_requested = [&]() -> bool {
          if (rank == 1 && n_batches-- == 0) throw Error(ErrorKind::io, "process 1 has died");
          return false;
        };
        return fit_network(train, validation, own, control);
      });
  EXPECT_EQ(all[1].error, "process 1 has died");
  EXPECT_EQ(all[0].error.find("fit: process 0 of 2 lost the others: "), 0) << all[0].error;
  EXPECT_EQ(all[0].error.find('\n'), std::string::npos) << all[0].error;
}

TEST(FitProcesses, AreRefusedWhereTheyCannotMeet) {
  NetworkFitOptions options = small_fit();
  options.process.count = 2;
  options.process.address = "127.0.0.1";
  options.process.port = 1;
  if (can_fit_in_processes()) return;
  EXPECT_TRUE(refused([&] { fit_network(channels(20, 1), channels(20, 2), options); },
                      "WORLD_SIZE is 2, and this chest fits in one process: it was built without "
                      "Gloo"));
}

TEST(FitProcesses, AreThoseOfTheEnvironment) {
  using Environment = std::map<std::string, std::string>;
  const auto process_of = [](const Environment& environment) {
    return fit_process_of_environment([&](const char* name) -> const char* {
      const auto it = environment.find(name);
      return it == environment.end() ? nullptr : it->second.c_str();
    });
  };
  EXPECT_EQ(process_of({}).count, 1);
  EXPECT_EQ(process_of({{"WORLD_SIZE", "1"}}).count, 1);
  EXPECT_EQ(process_of({{"RANK", "3"}}).count, 1);
  const Environment all{{"WORLD_SIZE", "8"},
                        {"RANK", "5"},
                        {"LOCAL_RANK", "1"},
                        {"MASTER_ADDR", "n0"},
                        {"MASTER_PORT", "29500"}};
  const FitProcess process = process_of(all);
  EXPECT_EQ(process.rank, 5);
  EXPECT_EQ(process.count, 8);
  EXPECT_EQ(process.local_rank, 1);
  EXPECT_EQ(process.address, "n0");
  EXPECT_EQ(process.port, 29500);
  EXPECT_FALSE(process.joins_agent);
  for (const auto& [name, value] : all) {
    if (name == "WORLD_SIZE") continue;
    Environment without = all;
    without.erase(name);
    EXPECT_TRUE(refused([&] { process_of(without); }, "WORLD_SIZE is set and " + name + " is not"));
  }
  Environment wrong = all;
  wrong["RANK"] = "8";
  EXPECT_TRUE(refused([&] { process_of(wrong); }, "RANK is 8; expected 0 to 7"));
  wrong["RANK"] = "first";
  EXPECT_TRUE(refused([&] { process_of(wrong); }, "RANK"));
  wrong = all;
  wrong["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  EXPECT_TRUE(process_of(wrong).joins_agent);
}

// ---- the program

/// The environment of process `rank` of two.
void become_process(const char* rank, const std::string& port) {
  setenv("WORLD_SIZE", "2", 1);
  setenv("RANK", rank, 1);
  setenv("LOCAL_RANK", rank, 1);
  setenv("MASTER_ADDR", "127.0.0.1", 1);
  setenv("MASTER_PORT", port.c_str(), 1);
}

std::vector<std::string> fit_words(const std::filesystem::path& channels,
                                   const std::filesystem::path& out, const std::string& kind) {
  return {"fit",        kind,        "--channels", channels.string(), "--out",
          out.string(), "--epochs",  "2",          "--network",       "chest:hidden=8-16-8",
          "--quiet",    "--threads", "1"};
}

TEST(FitProcesses, FitWithTheProgramAndTheFirstWritesTheModel) {
  NEEDS_GLOO();
  const TemporaryFolder folder;
  Program generate({"generate", "scm", "--n-rx", "8", "--n-tx", "4", "--n-samples", "400", "--out",
                    (folder / "h.h5").string(), "--quiet"},
                   [] {});
  ASSERT_EQ(generate.status(), 0) << generate.err();
  Program one(fit_words(folder / "h.h5", folder / "one.h5", "dmse"), [] {});
  const std::string port = std::to_string(free_port());
  std::vector<std::unique_ptr<Program>> two;
  for (const char* rank : {"0", "1"}) {
    two.push_back(std::make_unique<Program>(fit_words(folder / "h.h5", folder / "two.h5", "dmse"),
                                            [&] { become_process(rank, port); }));
  }
  for (const auto& each : two) EXPECT_EQ(each->status(), 0) << each->err();
  EXPECT_EQ(one.status(), 0) << one.err();
  EXPECT_NE(two[0]->out().find("two.h5: dmse, 8x4, 2 epochs"), std::string::npos) << two[0]->out();
  EXPECT_EQ(two[1]->out() + two[1]->err(), "");
  const NetworkModel expected = load_network_model(folder / "one.h5"),
                     found = load_network_model(folder / "two.h5");
  EXPECT_TRUE(
      arma::approx_equal(found.validation_losses, expected.validation_losses, "absdiff", 1e-3))
      << found.validation_losses << expected.validation_losses;
  EXPECT_NE(two[0]->out().find(", in 2 processes\n"), std::string::npos) << two[0]->out();

  Program lmmse({"fit", "lmmse", "--channels", (folder / "h.h5").string(), "--out",
                 (folder / "lmmse.h5").string()},
                [&] { become_process("0", port); });
  EXPECT_NE(lmmse.status(), 0);
  EXPECT_NE(lmmse.err().find("fit lmmse runs in one process, and WORLD_SIZE is 2"),
            std::string::npos)
      << lmmse.err();
}

}  // namespace
}  // namespace chest
