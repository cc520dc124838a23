// Status 1 if a decoder allocates in a call: a program of its own, because it counts what `new` is called for.
#include <cstdio>
#include <cstdlib>
#include <new>

#include <chest/sim/coding/transport.hpp>

namespace {
long n_allocations = 0;

void* counted(std::size_t size, std::size_t alignment) {
  ++n_allocations;
  void* p = nullptr;
  if (posix_memalign(&p, alignment < sizeof(void*) ? sizeof(void*) : alignment, size) == 0)
    return p;
  std::abort();
}
}  // namespace

void* operator new(std::size_t size) { return counted(size, 0); }
void* operator new(std::size_t size, std::align_val_t a) { return counted(size, std::size_t(a)); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

int main() {
  using namespace chest::sim;
  long before_construction = n_allocations;
  DecoderOptions options;
  options.kind = DecoderKind::min_sum;
  options.schedule = DecoderSchedule::layered;
  options.precision = DecoderPrecision::int8;
  TransportBlock block({18432, 658.0 / 1024, 4, 2, 28800}, options);
  LdpcDecoder bp(block.code().parity_check());
  SoftBuffer buffer = block.make_buffer();
  Bits bits(18432, 1), coded, decided(block.code().n_word());
  block.encode(bits, 0, coded);
  std::vector<float> llrs(coded.size(), 0.5f), coded_llrs(coded.size());
  std::vector<float> word(block.code().n_word(), 0.5f);
  if (n_allocations == before_construction) return 2;  // nothing is counted
  const long before = n_allocations;
  for (const unsigned rv : {0u, 2u, 3u, 1u}) {
    block.encode(bits, rv, coded);
    block.decode(llrs.data(), rv, buffer, coded_llrs.data());
  }
  buffer.clear();
  bp.decode(word.data(), decided.data());
  bp.posterior(word.data());
  const long in_calls = n_allocations - before;
  if (in_calls != 0)
    std::printf("%ld allocations in calls of the decoder, expected none\n", in_calls);
  return in_calls == 0 ? 0 : 1;
}
