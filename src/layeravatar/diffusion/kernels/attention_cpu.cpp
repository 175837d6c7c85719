#include <omp.h>

#include <algorithm>
#include <cmath>

#include "layeravatar/diffusion/kernels/unet_layers.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layeravatar/diffusion/kernels/attention_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "layeravatar/diffusion/kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace layeravatar::diffusion::HWY_NAMESPACE {

// Rows of scores become shares. `tokens` of `width` are real; the others get none.
void softmax(float* scores, int rows, int tokens, int width, float scale) {
  for (int r = 0; r < rows; ++r, scores += width) {
    std::fill(scores + tokens, scores + width, -3e38F);
    V largest = load(scores);
    for (int i = kWidth; i < width; i += kWidth) largest = hn::Max(largest, load(scores + i));
    const V top = hn::MaxOfLanes(kLanes, largest), by = set(scale);
    V sum = hn::Zero(kLanes);
    for (int i = 0; i < width; i += kWidth) {
      const V e = exp_of(hn::Mul(by, hn::Sub(load(scores + i), top)));
      store(e, scores + i);
      sum = hn::Add(sum, e);
    }
    const V inverse = hn::Div(set(1.0F), hn::SumOfLanes(kLanes, sum));
    for (int i = 0; i < width; i += kWidth) store(hn::Mul(inverse, load(scores + i)), scores + i);
    std::fill(scores + tokens, scores + width, 0.0F);
  }
}

// Queries first to first + rows of one head: q, v and out in blocks of channels `pixels` apart, keys [channels][width].
void attend_rows(const float* q, const float* keys, const float* v, float* out, int blocks, int pixels, int width, int first, int rows, float scale,
                 const std::ptrdiff_t* offsets, float* scratch) {
  const std::ptrdiff_t block = std::ptrdiff_t{pixels} * kBlock;
  float *scores = scratch, *result = scratch + std::ptrdiff_t{kRowsMultiple} * width;
  for (int column = 0; column < width; column += kPieceBlocks * kBlock)
    multiply({q + first * kBlock, kBlock, offsets, blocks}, rows, {keys + column, width, kBlock}, std::min(kPieceBlocks, (width - column) / kBlock),
             {scores + column, width, kBlock}, false);
  softmax(scores, rows, pixels, width, scale);
  std::ptrdiff_t runs[kPieceBlocks];
  for (int at = 0; at < blocks; at += kPieceBlocks) {
    const int width_of = std::min(kPieceBlocks, blocks - at);
    for (int k = 0; k < width / kBlock; k += kPieceBlocks) {
      const int count = std::min(kPieceBlocks, width / kBlock - k);
      for (int i = 0; i < count; ++i) runs[i] = std::ptrdiff_t{k + i} * kBlock;
      multiply({scores, width, runs, count}, rows, {v + at * block + std::ptrdiff_t{k} * kBlock * kBlock, kBlock, block}, width_of,
               {result, kBlock, std::ptrdiff_t{kRowsMultiple} * kBlock}, k > 0);
    }
    for (int i = 0; i < width_of; ++i)
      std::copy_n(result + std::ptrdiff_t{i} * kRowsMultiple * kBlock, rows * kBlock, out + (at + i) * block + std::ptrdiff_t{first} * kBlock);
  }
}

float dot(const float* a, const float* b, int n) {
  V sum = hn::Zero(kLanes);
  int i = 0;
  for (; i + kWidth <= n; i += kWidth) sum = hn::MulAdd(load(a + i), load(b + i), sum);
  float rest = hn::GetLane(hn::SumOfLanes(kLanes, sum));
  for (; i < n; ++i) rest += a[i] * b[i];
  return rest;
}

}  // namespace layeravatar::diffusion::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace layeravatar::diffusion {

HWY_EXPORT(attend_rows);
HWY_EXPORT(dot);

void attend(const FeatureMap& qkv, const FeatureMap& out, int images, int heads, int head_channels, Floats& keys, std::vector<Floats>& scratch) {
  const int blocks = blocks_of(head_channels), pixels = static_cast<int>(qkv.pixels()), threads = omp_get_max_threads();
  const int width = blocks_of(pixels) * kBlock, depth = blocks * kBlock;
  const std::ptrdiff_t block = std::ptrdiff_t{pixels} * kBlock, of_head = std::ptrdiff_t{depth} * width;
  if (keys.size() < static_cast<std::size_t>(images * heads * of_head)) keys = Floats(static_cast<std::size_t>(images * heads * of_head));
  const auto needed = static_cast<std::size_t>(kRowsMultiple) * static_cast<std::size_t>(width + kPieceBlocks * kBlock);
  if (scratch.size() < static_cast<std::size_t>(threads)) scratch.resize(static_cast<std::size_t>(threads));
  for (Floats& one : scratch)
    if (one.size() < needed) one = Floats(needed);
  std::vector<std::ptrdiff_t> offsets;
  for (int i = 0; i < blocks; ++i) offsets.push_back(i * block);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int i = 0; i < images * heads * blocks; ++i) {  // keys by channel
    const int head = i / blocks;
    const float* k = qkv.data + (std::ptrdiff_t{head} * 3 + 1) * blocks * block + i % blocks * block;
    float* to = keys.data() + head * of_head + std::ptrdiff_t{i % blocks} * kBlock * width;
    for (int p = 0; p < width; ++p)
      for (int c = 0; c < kBlock; ++c) to[std::ptrdiff_t{c} * width + p] = p < pixels ? k[std::ptrdiff_t{p} * kBlock + c] : 0.0F;
  }
  const float scale = 1.0F / std::sqrt(static_cast<float>(head_channels));
  const int parts = (pixels + kRowsMultiple - 1) / kRowsMultiple;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int i = 0; i < images * heads * parts; ++i) {
    const int head = i / parts, first = i % parts * kRowsMultiple;
    const float* q = qkv.data + std::ptrdiff_t{head} * 3 * blocks * block;
    HWY_DYNAMIC_DISPATCH(attend_rows)(q, keys.data() + head * of_head, q + 2 * blocks * block, out.data + std::ptrdiff_t{head} * blocks * block, blocks, pixels, width, first,
        std::min(kRowsMultiple, pixels - first), scale, offsets.data(), scratch[static_cast<std::size_t>(omp_get_thread_num())].data());
  }
}

void linear(const float* x, int images, int in, int out, const float* weights, const float* bias, float* y) {
#pragma omp parallel for schedule(static)
  for (int o = 0; o < out; ++o)
    for (int b = 0; b < images; ++b) y[std::ptrdiff_t{b} * out + o] = bias[o] + HWY_DYNAMIC_DISPATCH(dot)(x + std::ptrdiff_t{b} * in, weights + std::ptrdiff_t{o} * in, in);
}

}  // namespace layeravatar::diffusion
#endif
