// The C interface through its header for C++, as C++11: least squares gives back what was received.
#include <chest.hpp>

#include <complex>
#include <vector>

int main() {
  chest_c::Session session{chest_c::Model("ls:2x2")};
  const std::vector<std::complex<float>> y{{1.0F, 2.0F}, {3.0F, 4.0F}, {5.0F, 6.0F}, {7.0F, 8.0F}};
  std::vector<std::complex<float>> h(4);
  float error = 0.0F;
  session.estimate(y.data(), 1, 0.5F, h.data(), &error);
  return h == y && error == 0.5F ? 0 : 1;
}
