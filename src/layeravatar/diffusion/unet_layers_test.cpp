// The layers of the engine against sums in double.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "layeravatar/diffusion/kernels/unet_layers.h"
#include "layeravatar/testing/deterministic_values.h"

namespace layeravatar::diffusion {
namespace {

// A map with values in its real channels.
struct FilledMap {
  FeatureMap map;
  Floats memory;
  int images, channels;
  FilledMap(const std::string& name, int images_, int channels_, int blocks, int rows, int columns)
      : map{nullptr, blocks, rows, columns}, memory(map.size(images_)), images(images_), channels(channels_) {
    map.data = memory.data();
    const auto values = testing::deterministic(name, static_cast<std::size_t>(images * channels * map.pixels()), testing::Kind::kNormal);
    std::size_t i = 0;
    for (int image = 0; image < images; ++image)
      for (int c = 0; c < channels; ++c)
        for (int p = 0; p < map.pixels(); ++p) at(image, c, p) = values[i++];
  }
  [[nodiscard]] float& at(int image, int c, std::ptrdiff_t pixel) const {
    return map.data[image * map.image_size() + (c / kBlock * map.pixels() + pixel) * kBlock + c % kBlock];
  }
};

struct Case {
  int kernel, stride;
  bool doubled, silu, bfloat16;
  int rows, columns;          // of the inputs
  std::array<int, 2> in;      // channels of each
  int out;
};

void append_places(std::vector<int>& places, int from, int count) {
  for (int i = 0; i < blocks_of(count) * kBlock; ++i) places.push_back(i < count ? from + i : -1);
}

// Largest error relative to the largest value, over all outputs and the channels that fill up a block; the moments are checked as well.
double convolution_error(const Case& c) {
  constexpr int kImages = 2;
  const int ins = c.in[0] + c.in[1], taps = c.kernel * c.kernel, by = c.doubled ? 2 : 1;
  Convolution::Shape shape;
  shape.kernel = c.kernel;
  shape.stride = c.stride;
  shape.rows = by * c.rows;
  shape.columns = by * c.columns;
  shape.doubled = c.doubled;
  shape.bfloat16 = c.bfloat16;
  shape.in_channels = ins;
  append_places(shape.in_channel, 0, c.in[0]);
  append_places(shape.in_channel, c.in[0], c.in[1]);
  append_places(shape.out_channel, 0, c.out);
  const auto weights = testing::deterministic("w", static_cast<std::size_t>(ins * c.out * taps), testing::Kind::kSigned),
             bias = testing::deterministic("b", static_cast<std::size_t>(c.out), testing::Kind::kSigned);
  Convolution conv(shape, weights.data(), bias.data());
  conv.pack();
  std::vector<FilledMap> inputs;
  std::vector<std::vector<float>> scales, shifts;
  Convolution::Run run;
  for (const int channels : c.in) {
    if (channels == 0) continue;
    inputs.emplace_back(std::string("x").append(std::to_string(inputs.size())), kImages, channels, blocks_of(channels), c.rows, c.columns);
    const auto size = static_cast<std::size_t>(kImages * blocks_of(channels) * kBlock);
    scales.push_back(testing::deterministic("scale", size, testing::Kind::kUnit));
    shifts.emplace_back(size, 0.0F);  // silu(0) = 0 in the channels that fill up
    run.inputs.push_back({inputs.back().map, c.silu ? scales.back().data() : nullptr, c.silu ? shifts.back().data() : nullptr});
  }
  const FilledMap out("residual", kImages, c.out, blocks_of(c.out), conv.out_rows(), conv.out_columns()),
      residual("residual", kImages, c.out, blocks_of(c.out), conv.out_rows(), conv.out_columns());
  Moments moments;
  std::vector<Floats> scratch;
  run.silu = c.silu;
  run.out = out.map;
  run.residual = out.map.data;
  run.moments = &moments;
  run.images = kImages;
  conv.run(run, scratch);
  const auto input = [&](int image, int channel, int y, int x) {
    if (y < 0 || x < 0 || y >= shape.rows || x >= shape.columns) return 0.0;
    const std::size_t which = channel >= c.in[0] ? 1 : 0;
    if (which == 1) channel -= c.in[0];
    const double v = inputs[which].at(image, channel, std::ptrdiff_t{y / by} * c.columns + x / by);
    if (!c.silu) return v;
    const double z = v * scales[which][static_cast<std::size_t>(image * inputs[which].map.blocks * kBlock + channel)];
    return z / (1 + std::exp(-z));
  };
  double worst = 0, largest = 0;
  for (int image = 0; image < kImages; ++image)
    for (int o = 0; o < out.map.blocks * kBlock; ++o) {
      double sum_of = 0, squares = 0, count = 0, want_sum = 0, want_squares = 0;
      for (int y = 0; y < out.map.rows; ++y)
        for (int x = 0; x < out.map.columns; ++x) {
          const std::ptrdiff_t pixel = std::ptrdiff_t{y} * out.map.columns + x;
          double want = o < c.out ? bias[static_cast<std::size_t>(o)] + residual.at(image, o, pixel) : 0.0;
          for (int i = 0; o < c.out && i < ins; ++i)
            for (int t = 0; t < taps; ++t)
              want += weights[static_cast<std::size_t>((o * ins + i) * taps + t)] *
                      input(image, i, y * c.stride + t / c.kernel - c.kernel / 2, x * c.stride + t % c.kernel - c.kernel / 2);
          const double got = out.at(image, o, pixel);
          worst = std::max(worst, std::abs(got - want));
          largest = std::max(largest, std::abs(want));
          want_sum += got;
          want_squares += got * got;
        }
      for (std::size_t k = 0; k < moments.pixels.size(); ++k) {
        const float* m = moments.values.data() + (static_cast<std::size_t>(image) * moments.pixels.size() + k) * 3 * static_cast<std::size_t>(moments.channels) + o;
        const double first = m[0], s = m[moments.channels], n = moments.pixels[k];
        sum_of += n * first + s;
        squares += m[2 * moments.channels] + first * (2 * s + n * first);
        count += n;
      }
      EXPECT_EQ(count, static_cast<double>(out.map.pixels()));
      EXPECT_NEAR(sum_of, want_sum, 1e-4 * std::sqrt(want_squares * count) + 1e-6);
      EXPECT_NEAR(squares, want_squares, 1e-5 * want_squares + 1e-6);
    }
  return worst / largest;
}

TEST(Convolution, IsTheSumOfProducts) {
  EXPECT_LT(convolution_error({3, 1, false, true, false, 22, 50, {20, 9}, 70}), 5e-6);    // tiles of 4 x 4, some of them cut
  EXPECT_LT(convolution_error({3, 1, false, true, false, 11, 13, {70, 3}, 33}), 5e-6);    // of 2 x 2, two runs of inputs
  EXPECT_LT(convolution_error({3, 1, false, false, false, 3, 5, {20, 0}, 5}), 5e-6);      // direct
  EXPECT_LT(convolution_error({3, 1, true, false, false, 9, 21, {18, 0}, 18}), 5e-6);
  EXPECT_LT(convolution_error({3, 2, false, false, false, 11, 60, {18, 0}, 18}), 5e-6);   // odd and even sides
  EXPECT_LT(convolution_error({1, 1, false, false, false, 9, 31, {150, 9}, 20}), 5e-6);
  EXPECT_LT(convolution_error({1, 1, false, true, false, 1, 1, {3, 0}, 1}), 5e-6);
}

TEST(Convolution, OfRoundedOperands) {
  if (!has_tiles()) GTEST_SKIP() << "no AMX";
  EXPECT_LT(convolution_error({3, 1, false, true, true, 22, 50, {20, 9}, 70}), 1e-2);
  EXPECT_LT(convolution_error({3, 1, true, false, true, 9, 21, {40, 0}, 33}), 1e-2);
  EXPECT_LT(convolution_error({3, 2, false, false, true, 11, 60, {18, 0}, 18}), 1e-2);
  EXPECT_LT(convolution_error({1, 1, false, false, true, 9, 31, {33, 9}, 20}), 1e-2);
}

TEST(Attend, IsTheSoftmaxOfTheProducts) {
  for (const auto& [channels, columns] : {std::pair{3, 2}, {25, 15}, {40, 54}}) {
    constexpr int kHeads = 2, kImages = 2;
    const int blocks = blocks_of(channels), pixels = 2 * columns;
    FilledMap qkv("qkv", kImages, 3 * kHeads * blocks * kBlock, 3 * kHeads * blocks, 2, columns);
    const FilledMap out("out", kImages, kHeads * blocks * kBlock, kHeads * blocks, 2, columns);
    const auto place = [&](int head, int which, int c) { return (3 * head + which) * blocks * kBlock + c; };
    for (int image = 0; image < kImages; ++image)
      for (int i = 0; i < 3 * kHeads; ++i)
        for (int c = channels; c < blocks * kBlock; ++c)
          for (int p = 0; p < pixels; ++p) qkv.at(image, i * blocks * kBlock + c, p) = 0;
    Floats keys;
    std::vector<Floats> scratch;
    attend(qkv.map, out.map, kImages, kHeads, channels, keys, scratch);
    for (int image = 0; image < kImages; ++image)
      for (int head = 0; head < kHeads; ++head)
        for (int p = 0; p < pixels; ++p) {
          std::vector<double> share;
          double all = 0;
          for (int other = 0; other < pixels; ++other) {
            double score = 0;
            for (int c = 0; c < channels; ++c) score += double{qkv.at(image, place(head, 0, c), p)} * qkv.at(image, place(head, 1, c), other);
            share.push_back(std::exp(score / std::sqrt(channels)));
            all += share.back();
          }
          for (int c = 0; c < channels; ++c) {
            double want = 0;
            for (int other = 0; other < pixels; ++other) want += share[static_cast<std::size_t>(other)] / all * qkv.at(image, place(head, 2, c), other);
            ASSERT_NEAR(out.at(image, head * blocks * kBlock + c, p), want, 5e-6) << channels;
          }
        }
  }
}

}  // namespace
}  // namespace layeravatar::diffusion
