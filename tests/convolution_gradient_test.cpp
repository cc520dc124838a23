#include <chest/estimators/inference/convolution_gradient.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include <chest/estimators/inference/precision.hpp>
#include <chest/random.hpp>

namespace chest {
namespace {

using Values = std::vector<float>;

/// A stack with weights, what goes in, and the gradient of what comes out.
struct Stack {
  StackShape shape;
  std::vector<Values> weights, biases;
  Values x, d_out;

  std::size_t n_layers() const { return shape.channels.size() - 1; }
  std::size_t plane() const { return shape.n_rows * shape.n_columns; }
};

Stack make_stack(StackShape shape, std::uint64_t seed) {
  Stack stack;
  Rng rng(seed, {Purpose::initial_weights, 0});
  const auto normal = [&](std::size_t n, double gain) {
    Values values(n);
    for (float& value : values) value = static_cast<float>(gain * rng.cx_normal().real());
    return values;
  };
  stack.shape = shape;
  for (std::size_t l = 0; l + 1 < shape.channels.size(); ++l) {
    const std::size_t fan_in = shape.channels[l] * shape.kernel_rows * shape.kernel_columns;
    stack.weights.push_back(
        normal(fan_in * shape.channels[l + 1], 0.2 / std::sqrt(double(fan_in))));
    stack.biases.emplace_back(shape.channels[l + 1]);
    // Far from where a ReLU turns: rounding opens and closes none.
    for (std::size_t o = 0; o < shape.channels[l + 1]; ++o) {
      stack.biases.back()[o] = o % 3 == 0 ? -12.0F : 12.0F;
    }
  }
  stack.x = normal(shape.n_images * shape.channels.front() * stack.plane(), 1.0);
  // Sums over a plane do not cancel.
  stack.d_out = normal(shape.n_images * shape.channels.back() * stack.plane(), 1.0);
  for (float& value : stack.d_out) value += 1.0F;
  return stack;
}

struct Found {
  Values out;
  std::vector<Values> d_weights, d_biases;
};

/// In double precision by the definition: every output of every layer, and what each of its inputs adds.
Found by_definition(const Stack& stack) {
  const StackShape& s = stack.shape;
  const auto n_rows = static_cast<long>(s.n_rows), n_columns = static_cast<long>(s.n_columns);
  const auto k_rows = static_cast<long>(s.kernel_rows),
             k_columns = static_cast<long>(s.kernel_columns);
  // visit(index of output, of input, of weight, output channel)
  const auto for_products = [&](std::size_t l, const auto& visit) {
    const std::size_t n_in = s.channels[l], n_out = s.channels[l + 1], plane = stack.plane();
    for (std::size_t n = 0; n < s.n_images; ++n)
      for (std::size_t o = 0; o < n_out; ++o)
        for (long r = 0; r < n_rows; ++r)
          for (long c = 0; c < n_columns; ++c)
            for (std::size_t i = 0; i < n_in; ++i)
              for (long p = 0; p < k_rows; ++p)
                for (long q = 0; q < k_columns; ++q) {
                  long row = r + p - k_rows / 2, column = c + q - k_columns / 2;
                  if (s.circular) {
                    row = (row + n_rows) % n_rows;
                    column = (column + n_columns) % n_columns;
                  }
                  if (row < 0 || row >= n_rows || column < 0 || column >= n_columns) continue;
                  visit((n * n_out + o) * plane + static_cast<std::size_t>(r * n_columns + c),
                        (n * n_in + i) * plane + static_cast<std::size_t>(row * n_columns + column),
                        ((o * n_in + i) * s.kernel_rows + static_cast<std::size_t>(p)) *
                                s.kernel_columns +
                            static_cast<std::size_t>(q),
                        o);
                }
  };
  std::vector<std::vector<double>> values{{stack.x.begin(), stack.x.end()}};
  for (std::size_t l = 0; l < stack.n_layers(); ++l) {
    const std::size_t n_out = s.channels[l + 1], plane = stack.plane();
    std::vector<double> out(s.n_images * n_out * plane);
    for (std::size_t k = 0; k < out.size(); ++k) out[k] = stack.biases[l][k / plane % n_out];
    for_products(l, [&](std::size_t to, std::size_t from, std::size_t w, std::size_t) {
      out[to] += values[l][from] * stack.weights[l][w];
    });
    if (s.relu[l]) {
      for (double& value : out) value = std::max(value, 0.0);
    }
    values.push_back(std::move(out));
  }
  Found found;
  found.out.assign(values.back().begin(), values.back().end());
  found.d_weights.resize(stack.n_layers());
  found.d_biases.resize(stack.n_layers());
  std::vector<double> d{stack.d_out.begin(), stack.d_out.end()};
  for (std::size_t l = stack.n_layers(); l-- > 0;) {
    if (s.relu[l]) {
      for (std::size_t k = 0; k < d.size(); ++k) d[k] = values[l + 1][k] > 0.0 ? d[k] : 0.0;
    }
    std::vector<double> d_in(values[l].size()), d_weights(stack.weights[l].size()),
        d_biases(s.channels[l + 1]);
    for_products(l, [&](std::size_t to, std::size_t from, std::size_t w, std::size_t) {
      d_weights[w] += d[to] * values[l][from];
      d_in[from] += d[to] * stack.weights[l][w];
    });
    for (std::size_t k = 0; k < d.size(); ++k)
      d_biases[k / stack.plane() % s.channels[l + 1]] += d[k];
    found.d_weights[l].assign(d_weights.begin(), d_weights.end());
    found.d_biases[l].assign(d_biases.begin(), d_biases.end());
    d = std::move(d_in);
  }
  return found;
}

Found by_stack(const Stack& stack, bool instructions) {
  const StackShape& s = stack.shape;
  const auto gradient = make_convolution_gradient(s, instructions);
  const auto view = [&](const Values& values, std::size_t n_channels) {
    const auto plane = static_cast<std::ptrdiff_t>(stack.plane());
    return PlaneView{values.data(), static_cast<std::ptrdiff_t>(n_channels) * plane, plane,
                     static_cast<std::ptrdiff_t>(s.n_columns), 1};
  };
  Found found;
  std::vector<const float*> weights, biases;
  std::vector<float*> d_weights, d_biases;
  found.out.resize(stack.d_out.size());
  for (std::size_t l = 0; l < stack.n_layers(); ++l) {
    weights.push_back(stack.weights[l].data());
    biases.push_back(stack.biases[l].data());
    found.d_weights.emplace_back(stack.weights[l].size());
    found.d_biases.emplace_back(stack.biases[l].size());
    d_weights.push_back(found.d_weights.back().data());
    d_biases.push_back(found.d_biases.back().data());
  }
  // The second pass finds the memory of the first.
  for (int pass = 0; pass < 2; ++pass) {
    gradient->forward(view(stack.x, s.channels.front()), weights, biases, found.out.data());
    gradient->backward(view(stack.d_out, s.channels.back()), d_weights, d_biases);
  }
  return found;
}

double relative_error(const Values& found, const Values& expected) {
  double error = 0.0, power = 0.0;
  for (std::size_t k = 0; k < expected.size(); ++k) {
    error += std::pow(double(found[k]) - double(expected[k]), 2.0);
    power += std::pow(double(expected[k]), 2.0);
  }
  return std::sqrt(error / power);
}

/// Layers of rounded values: a few times 2^-9.
constexpr double rounding = 0.015;

void expect_gradient(const StackShape& shape, bool instructions) {
  const Stack stack = make_stack(shape, 3);
  const Found expected = by_definition(stack), found = by_stack(stack, instructions);
  EXPECT_LT(relative_error(found.out, expected.out), rounding);
  for (std::size_t l = 0; l < stack.n_layers(); ++l) {
    EXPECT_LT(relative_error(found.d_weights[l], expected.d_weights[l]), rounding) << "layer " << l;
    EXPECT_LT(relative_error(found.d_biases[l], expected.d_biases[l]), rounding) << "layer " << l;
  }
}

std::vector<StackShape> shapes() {
  const std::vector<std::size_t> layers{7, 20, 35, 3};
  const std::vector<bool> relus{true, true, false};
  return {{2, 12, 5, 3, 3, true, layers, relus},
          {3, 5, 9, 3, 3, true, layers, relus},
          {2, 6, 6, 3, 3, false, layers, relus},
          {1, 1, 40, 1, 3, true, layers, relus},
          {2, 9, 1, 3, 3, true, {3, 33, 5}, {true, false}},
          {1, 7, 8, 5, 5, true, {2, 4, 2}, {false, false}}};
}

TEST(ConvolutionGradient, IsThatOfTheDefinitionOnTiles) {
  if (!has_fast_reduced_precision()) GTEST_SKIP() << "this processor has no tile instructions";
  for (const StackShape& shape : shapes()) {
    SCOPED_TRACE(std::to_string(shape.n_rows) + "x" + std::to_string(shape.n_columns));
    expect_gradient(shape, true);
  }
}

TEST(ConvolutionGradient, IsThatOfTheDefinitionByNumbers) {
  for (const StackShape& shape : shapes()) {
    SCOPED_TRACE(std::to_string(shape.n_rows) + "x" + std::to_string(shape.n_columns));
    expect_gradient(shape, false);
  }
}

}  // namespace
}  // namespace chest
