#include <cmath>
#include <nlohmann/json.hpp>

#include <chest/archive.hpp>
#include <chest/error.hpp>
#include <chest/provenance.hpp>

#include "fit_loop.hpp"

namespace chest {
inline namespace v0 {
namespace nn {
namespace {

constexpr int checkpoint_version = 2;

// One list of what is stored, for both directions.
template <class State, class Function>
void for_each_tensor(State& state, Function&& function) {
  function("/state/weights", state.weights);
  function("/state/average", state.average);
  function("/state/best", state.best);
  function("/state/adam_mean", state.adam.mean);
  function("/state/adam_mean_square", state.adam.mean_square);
}

// "learning_rate is 0.001 there and 0.0001 here" for the first difference of two flat JSON objects.
std::string first_difference(const std::string& there, const std::string& here) {
  const auto stored = nlohmann::json::parse(there, nullptr, false);
  const auto asked = nlohmann::json::parse(here);
  if (!stored.is_object()) return "its options cannot be read";
  for (const auto& [key, value] : asked.items()) {
    const std::string found = stored.contains(key) ? stored[key].dump() : "not named";
    if (found != value.dump()) return key + " is " + found + " there and " + value.dump() + " now";
  }
  return "it names other options";
}

}  // namespace

void save_checkpoint(const std::filesystem::path& file, const std::string& identity,
                     const FitState& state) {
  ArchiveWriter archive(file);
  write_provenance(archive, "chest-checkpoint", checkpoint_version, {});
  archive.attribute("/", "identity", identity);
  for_each_tensor(state, [&](const char* name, const at::Tensor& tensor) {
    const at::Tensor values = tensor.detach().to(at::kCPU).contiguous();
    archive.write(name, {static_cast<std::uint64_t>(values.numel())}, values.data_ptr<float>());
  });
  const std::vector<std::int64_t> counters{state.adam.n_steps, state.epoch, state.batch,
                                           state.best_epoch};
  const std::vector<double> sums{state.loss_sum, state.best_loss};
  archive.write("/state/counters", {counters.size()}, counters.data());
  archive.write("/state/sums", {sums.size()}, sums.data());
  archive.write("/state/level_means", {state.level_means.size()}, state.level_means.data());
  // Never empty on disk: the first entry is the number of epochs.
  std::vector<double> losses{static_cast<double>(state.train_losses.size())};
  losses.insert(losses.end(), state.train_losses.begin(), state.train_losses.end());
  losses.insert(losses.end(), state.validation_losses.begin(), state.validation_losses.end());
  archive.write("/state/losses", {losses.size()}, losses.data());
  archive.commit();
}

void load_checkpoint(const std::filesystem::path& file, const std::string& identity,
                     FitState& state) {
  const ArchiveReader archive(file);
  read_provenance(archive, "chest-checkpoint", checkpoint_version);
  const std::string stored = archive.text_attribute("/", "identity").value_or("");
  if (stored != identity) {
    throw Error(ErrorKind::invalid_argument,
                "fit: the checkpoint " + file.string() + " belongs to another run (" +
                    first_difference(stored, identity) +
                    "); name another checkpoint file, or remove this one to begin anew");
  }
  const auto damaged = [&](const std::string& what) {
    return Error(ErrorKind::format, file.string() + ": the checkpoint is damaged (" + what +
                                        "); remove it to begin anew");
  };
  for_each_tensor(state, [&](const char* name, at::Tensor& tensor) {
    const std::vector<float> values = archive.read_all<float>(name);
    if (static_cast<std::int64_t>(values.size()) != tensor.numel()) {
      throw damaged(std::string(name) + " has " + std::to_string(values.size()) + " values");
    }
    tensor.copy_(at::from_blob(const_cast<float*>(values.data()), {tensor.numel()}, at::kFloat));
  });
  const auto counters = archive.read_all<std::int64_t>("/state/counters");
  const auto sums = archive.read_all<double>("/state/sums");
  const auto losses = archive.read_all<double>("/state/losses");
  const auto level_means = archive.read_all<double>("/state/level_means");
  if (level_means.size() != state.level_means.size()) throw damaged("level_means");
  state.level_means = level_means;
  if (counters.size() != 4 || sums.size() != 2 || losses.empty()) throw damaged("counters");
  state.adam.n_steps = counters[0];
  state.epoch = counters[1];
  state.batch = counters[2];
  state.best_epoch = counters[3];
  state.loss_sum = sums[0];
  state.best_loss = sums[1];
  const auto n_epochs = static_cast<std::size_t>(state.epoch);
  if (state.epoch < 0 || state.batch < 0 || losses.size() != 1 + 2 * n_epochs) {
    throw damaged("losses");
  }
  const auto middle = losses.begin() + 1 + static_cast<std::ptrdiff_t>(n_epochs);
  state.train_losses.assign(losses.begin() + 1, middle);
  state.validation_losses.assign(middle, losses.end());
}

}  // namespace nn
}  // namespace v0
}  // namespace chest
