#include "processes.hpp"

#ifdef CHEST_WITH_GLOO
#ifndef USE_C10D_GLOO
#define USE_C10D_GLOO
#endif
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#endif

#include <algorithm>
#include <chrono>
#include <exception>
#include <string>

#include <chest/error.hpp>

namespace chest {
inline namespace v0 {
namespace nn {
namespace {

class OneProcess final : public Processes {
 public:
  OneProcess() : Processes(0, 1) {}
  void add_up(at::Tensor&) const override {}
};

#ifdef CHEST_WITH_GLOO
// How long one waits for the others: at the start, and for a step of a slower one.
constexpr std::chrono::minutes patience{30};

class GlooProcesses final : public Processes {
 public:
  explicit GlooProcesses(const FitProcess& process) : Processes(process.rank, process.count) {
    guarded("cannot meet at " + process.address + ":" + std::to_string(process.port), [&] {
      c10d::TCPStoreOptions options;
      options.port = static_cast<std::uint16_t>(process.port);
      options.isServer = process.rank == 0 && !process.joins_agent;
      if (!process.joins_agent) options.numWorkers = process.count;
      options.timeout = patience;
      c10::intrusive_ptr<c10d::Store> store =
          c10::make_intrusive<c10d::TCPStore>(process.address, options);
      store = c10::make_intrusive<c10d::PrefixStore>("chest/" + process.run, std::move(store));
      const auto gloo = c10d::ProcessGroupGloo::Options::create();
      gloo->timeout = patience;
      gloo->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
      group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(
          std::move(store), static_cast<int>(process.rank), static_cast<int>(process.count), gloo);
    });
  }

  void add_up(at::Tensor& values) const override {
    guarded("lost the others", [&] {
      // Networks are small: what a GPU found goes through the processor.
      std::vector<at::Tensor> all{values.to(at::kCPU).contiguous()};
      group_->allreduce(all)->wait();
      values.copy_(all.front());
    });
  }

 private:
  template <class Action>
  void guarded(const std::string& what, Action&& action) const {
    try {
      action();
    } catch (const std::exception& error) {
      const std::string text = error.what();
      throw Error(ErrorKind::io, "fit: process " + std::to_string(rank()) + " of " +
                                     std::to_string(count()) + " " + what + ": " +
                                     text.substr(0, text.find('\n')));
    }
  }

  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};
#endif

}  // namespace

void Processes::add_up(std::vector<double>& values) const {
  if (count_ == 1) return;
  at::Tensor sum = at::tensor(values, at::kDouble);
  add_up(sum);
  std::copy_n(sum.data_ptr<double>(), values.size(), values.begin());
}

std::shared_ptr<const Processes> meet(const FitProcess& process) {
  if (process.count == 1) return std::make_shared<OneProcess>();
#ifdef CHEST_WITH_GLOO
  return std::make_shared<GlooProcesses>(process);
#else
  throw Error(ErrorKind::invalid_argument,
              "fit: WORLD_SIZE is " + std::to_string(process.count) +
                  ", and this chest fits in one process: it was built without Gloo, of which it "
                  "needs the headers (Debian: libgloo-dev) beside a LibTorch that has it");
#endif
}

}  // namespace nn

bool can_fit_in_processes() {
#ifdef CHEST_WITH_GLOO
  return true;
#else
  return false;
#endif
}

}  // namespace v0
}  // namespace chest
