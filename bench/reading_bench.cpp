// Reading of channel files, 64x16 in complex64, block after block as a sweep does: bytes per second
// of stored values before compression. Files other than chest's own are written by h5py. The page
// cache is warm: what is measured is the reader, not the disk.
//
//   reading_bench --benchmark_filter=matlab
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <chest/channels/dataset.hpp>
#include <chest/channels/generator.hpp>

namespace chest {
namespace {

constexpr arma::uword n_samples = 8000;  // 66 MB
constexpr arma::uword n_per_block = 256;

/// The files, made once in a folder that is removed at the end.
class Files {
 public:
  Files()
      : folder_(std::filesystem::temp_directory_path() /
                ("chest_reading_bench_" + std::to_string(::getpid()))) {
    std::filesystem::create_directory(folder_);
    const auto generator = make_rayleigh(64, 16);
    for (const bool compress : {false, true}) {
      ChannelFileOptions options;
      options.n_rx = 64;
      options.n_tx = 16;
      options.n_samples = n_samples;
      options.compress = compress;
      ChannelFileWriter writer(path(compress ? "own_gzip.h5" : "own.h5"), options);
      for (arma::uword first = 0; first < n_samples; first += 1000)
        writer.append(generator->generate(1, first, 1000));
      writer.finish();
    }
    const std::string script =
        "import h5py, numpy as np\n"
        "H = h5py.File('own.h5')['channels'][...]\n"
        "np.save('numpy.npy', H)\n"
        "np.save('numpy_fortran.npy', np.asfortranarray(H))\n"
        "packed = H.view([('real', 'f4'), ('imag', 'f4')]).T\n"
        "for name, layout in (('matlab.mat', {}), ('matlab_gzip.mat',\n"
        "        dict(chunks=(16, 64, 64), compression='gzip', compression_opts=3))):\n"
        "    with h5py.File(name, 'w') as out:\n"
        "        out.create_dataset('H_all', data=packed, **layout)\n"
        "        out['H_all'].attrs['MATLAB_class'] = np.bytes_('single')\n";
    const std::string command =
        "cd '" + folder_.string() + "' && /usr/bin/python3 -c \"" + script + "\" 2> /dev/null";
    if (std::system(command.c_str()) != 0)
      std::fputs("h5py is not installed: only chest's own files are measured\n", stderr);
  }
  ~Files() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

 private:
  std::filesystem::path folder_;
};

void read_all(benchmark::State& state, const std::string& name) {
  static const Files files;
  const std::string file = files.path(name);
  if (!std::filesystem::exists(file)) {
    state.SkipWithError("the file is not there");
    return;
  }
  for (auto _ : state) {
    const Dataset dataset(file);
    for (arma::uword first = 0; first < n_samples; first += n_per_block)
      benchmark::DoNotOptimize(
          dataset.read(first, std::min(n_per_block, n_samples - first)).memptr());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * n_samples * 64 * 16 * 8));
}

void generate_scm(benchmark::State& state) {
  const auto generator = make_scm({});
  std::uint64_t first = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(generator->generate(1, first, 64).h.memptr());
    first += 64;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * 64));
}

BENCHMARK(generate_scm)->Name("generate/scm/n_h:1024")->Unit(benchmark::kMillisecond);

const int registered = [] {
  for (const std::string name :
       {"own.h5", "own_gzip.h5", "numpy.npy", "numpy_fortran.npy", "matlab.mat", "matlab_gzip.mat"})
    benchmark::RegisterBenchmark(("read/" + name).c_str(), read_all, name)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  return 0;
}();

}  // namespace
}  // namespace chest
