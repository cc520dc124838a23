#include <filesystem>
#include <ostream>

#include <chest/error.hpp>
#include <chest/estimators/catalog/model_store.hpp>
#include <chest/estimators/network/exchange.hpp>
#include <chest/estimators/network/model_file.hpp>
#include <chest/estimators/network/scheduler_config.hpp>
#include <chest/file.hpp>
#include <chest/text.hpp>

#include "commands.hpp"
#include "flags.hpp"

namespace chest {
inline namespace v0 {
namespace cli {

int export_model(const Args& args, Context& context) {
  std::string model, file;
  bool force = false;
  CommandLine line("export", "MODEL --out FILE [--force]",
                   "Writes a model for others, by the ending of --out: .onnx, the denoiser of a "
                   "network; .safetensors, all of a model, which chest import reads back; .json, "
                   "the scheduler_config.json of diffusers.");
  line.flag("model", &model, "FILE", "model file; the word after export");
  line.output("out", &file, "file to write: .onnx, .safetensors or .json");
  line.flag("force", &force, "replaces an existing file");
  line.positional("model", 1);
  if (!line.parse(args, context)) return 0;
  line.require("model", "the model file");
  line.require("out", "the file to write");
  const std::string ending = lower(std::filesystem::path(file).extension().string());
  if (ending != ".onnx" && ending != ".safetensors" && ending != ".json") {
    refuse("--out is " + file + "; expected an ending of .onnx, .safetensors or .json");
  }
  check_output(file, force);
  const ModelStore::Info info = ModelStore().look_at(model);
  if (ending != ".safetensors" && info.kind != "dmse") {
    refuse(model + ": is a model of kind " + info.kind + "; " + ending +
           " is for networks, kind dmse; .safetensors takes any");
  }
  if (ending == ".safetensors") {
    save_safetensors(file, model);
  } else if (ending == ".onnx") {
    save_onnx(file, load_network_model(model));
  } else {
    write_text_file(file, scheduler_config_of(load_network_model(model)));
  }
  context.out << file << ": " << info.kind << ", " << info.n_rx << "x" << info.n_tx << '\n';
  return 0;
}

}  // namespace cli
}  // namespace v0
}  // namespace chest
