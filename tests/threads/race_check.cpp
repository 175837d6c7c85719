// Runs every kernel that has threads, on small and ragged sizes, several times over memory that is used again: for the thread sanitizer. Ends with the number
// of kernels run; what they compute is the test suite's business.
#include <omp.h>

#include <cstdio>
#include <random>
#include <span>
#include <vector>

#include "layeravatar/avatar/kernels/decoder_kernel.h"
#include "layeravatar/avatar/kernels/nearest_kernel.h"
#include "layeravatar/avatar/kernels/sample_kernel.h"
#include "layeravatar/avatar/kernels/tv_kernel.h"
#include "layeravatar/core/pooled_memory.h"
#include "layeravatar/core/task_queue.h"
#include "layeravatar/deform/kernels/neighbours.h"
#include "layeravatar/deform/kernels/pose_kernel.h"
#include "layeravatar/diffusion/kernels/norm_silu_kernel.h"
#include "layeravatar/diffusion/kernels/prior_kernel.h"
#include "layeravatar/diffusion/kernels/unet_layers.h"
#include "layeravatar/splat/kernels/splat_kernel.h"
#include "layeravatar/train/kernels/reconstruction_loss_kernel.h"

namespace layeravatar {
namespace {

std::mt19937 engine(1);

std::vector<float> random(std::size_t count, float low = -1, float high = 1) {
  std::uniform_real_distribution<float> draw(low, high);
  std::vector<float> out(count);
  for (float& x : out) x = draw(engine);
  return out;
}

void splat_both_ways(std::int64_t n, int width, int height, bool components) {
  const std::vector<float> means = random(3 * static_cast<std::size_t>(n)), colours = random(3 * static_cast<std::size_t>(n), 0, 1);
  std::vector<float> covariances, opacities = random(static_cast<std::size_t>(n), 0.05F, 1);
  std::vector<std::uint8_t> part;
  for (std::int64_t i = 0; i < n; ++i) {
    const float s = 1e-4F * static_cast<float>(1 + i % 40);
    covariances.insert(covariances.end(), {s, 0, 0, s, 0, s});
    part.push_back(static_cast<std::uint8_t>(i % 5));
  }
  splat::SplatView view{{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3}, 1.2F * static_cast<float>(height), width, height};
  const auto pixels = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
  std::vector<float> out(31 * pixels), grad = random(27 * pixels);
  float *o = out.data(), *g = grad.data();
  const auto c = [&](float* p) { return components ? p : nullptr; };
  const splat::SplatInput input{means.data(), covariances.data(), colours.data(), opacities.data(), part.data(), n, view, {1, 1, 1}, 0, components, false};
  const splat::SplatImages images{o, o + 3 * pixels, o + 4 * pixels, c(o + 5 * pixels), c(o + 20 * pixels), c(o + 25 * pixels), c(o + 26 * pixels)};
  splat::SplatScratch scratch;
  splat::splat_forward_cpu(input, images, scratch);
  std::vector<float> of_means(means.size()), of_covariances(covariances.size()), of_colours(colours.size()), of_opacities(opacities.size());
  splat::splat_backward_cpu(input, images, scratch, {g, g + 3 * pixels, g + 4 * pixels, c(g + 5 * pixels), c(g + 20 * pixels), c(g + 25 * pixels)},
                            {of_means.data(), of_covariances.data(), of_colours.data(), of_opacities.data()});
}

void pose(std::int64_t n) {
  const auto count = static_cast<std::size_t>(n), body = count / 2;
  const std::vector<float> positions = random(3 * count), frames = random(9 * count), corrections = random(3 * count, -0.01F, 0.01F),
                           nodes = random(16 * 64 * 64 * deform::kMapSize), fixed_maps = random(body * deform::kMapSize), offsets = random(3 * count, -0.01F, 0.01F),
                           radius = random(3 * count), rotation = random(3 * count), by_means = random(3 * count), by_covariances = random(6 * count);
  std::vector<std::uint8_t> fixed(body);
  for (std::size_t i = 0; i < body; ++i) fixed[i] = i % 3 == 0;
  const deform::PoseArgs args{n, static_cast<std::int64_t>(body), positions.data(), frames.data(), corrections.data(), nodes.data(), fixed_maps.data(), fixed.data(),
                              {0, 0, 0}, {0, 0, 0}, 1.2F};
  const auto groups = static_cast<std::size_t>(deform::pose_groups(n));
  std::vector<std::int32_t> node(count);
  std::vector<float> lines(groups * deform::kBoundLines * deform::kPoseGroup), means(3 * count), maps(groups * deform::kMapLines * deform::kPoseGroup), base(count),
      covariances(6 * count), of_offsets(3 * count), of_radius(3 * count), of_rotation(3 * count);
  const deform::BoundArrays bound{node.data(), lines.data()};
  deform::bind_cpu(args, offsets.data(), radius.data(), rotation.data(), bound);
  deform::pose_means_cpu(args, bound, means.data(), maps.data());
  deform::NeighbourSeeds seeds;
  for (int frame = 0; frame < 2; ++frame) deform::mean_squared_neighbour_distance(means.data(), n, base.data(), &seeds);
  deform::covariances_cpu(args, bound, maps.data(), base.data(), covariances.data());
  deform::pose_backward_cpu(args, offsets.data(), radius.data(), rotation.data(), base.data(), by_means.data(), by_covariances.data(), of_offsets.data(), of_radius.data(),
                            of_rotation.data());
  const std::vector<float> factors = {0.5F, 0, 1, -1}, matrix = random(4 * 3 * count);
  std::vector<float> combined(3 * count);
  deform::combine_rows_cpu(factors.data(), 4, matrix.data(), static_cast<std::int64_t>(3 * count), combined.data());
}

void decode(const avatar::DecoderKernels& k) {
  const avatar::BranchShape shape{3, 16, 5, 21, 30};
  const auto channels = static_cast<std::size_t>(shape.channels), heads = static_cast<std::size_t>(shape.heads);
  const auto pixels = static_cast<std::size_t>(shape.images * shape.pixels()), split = static_cast<std::size_t>(shape.images * shape.split_plane());
  constexpr std::size_t beyond = avatar::kReadBeyond;
  const std::vector<float> x = random(6 * pixels), bias = random(channels), head_weights = random(heads * channels), head_bias = random(heads),
                           scale = random(channels), shift = random(channels), weights = random(channels * 294), by_heads = random(heads * pixels);
  std::vector<float> x_split(static_cast<std::size_t>(6 * avatar::kProductPlanes * shape.images * shape.product_plane()) + beyond), taps(channels * 6 * avatar::kProductTaps),
      by_heads_split(heads * split + beyond), y(channels * split + beyond), out(heads * pixels), mean(channels), variance(channels), by_y(y.size()), gain(channels),
      by_bias(channels), by_conv_bias(channels), by_head_weights(heads * channels), scratch(taps.size()), by_x(6 * pixels), by_weights(weights.size());
  const avatar::ConvWeights conv{taps.data(), bias.data()};
  k.split_input(shape, x.data(), x_split.data());
  k.split_taps(shape, weights.data(), taps.data());
  k.split_heads(shape, by_heads.data(), by_heads_split.data());
  k.branch_forward(shape, {x_split.data(), conv, head_weights.data(), head_bias.data(), 1, out.data()});
  k.conv_forward(shape, x_split.data(), conv, y.data());
  k.statistics(shape, y.data(), mean.data(), variance.data());
  k.heads_forward(shape, {y.data(), scale.data(), shift.data(), head_weights.data(), head_bias.data(), 1, out.data()});
  k.heads_backward(shape, {y.data(), scale.data(), shift.data(), mean.data(), variance.data(), head_weights.data(), by_heads_split.data(), true, true, by_y.data(), gain.data(),
                           by_bias.data(), by_conv_bias.data(), by_head_weights.data()});
  k.conv_input_gradient(shape, weights.data(), by_y.data(), scratch.data(), by_x.data());
  k.conv_weight_gradient(shape, by_y.data(), x_split.data(), by_weights.data());
}

void sample_and_vary() {
  const avatar::SampleTaps taps = avatar::make_sample_taps(random(2 * 500, 0, 1), 24, 72);
  const avatar::SampleArgs args{taps.texels.data(), taps.weights.data(), taps.texel_begin.data(), taps.uses.data(), 2, 13, 24 * 72, 500};
  const std::vector<float> map = random(2 * 13 * 24 * 72), by_points = random(2 * 13 * 500), weights = random(13, 0, 1);
  std::vector<float> points(by_points.size()), by_map(map.size());
  avatar::sample_map_cpu(args, map.data(), points.data());
  avatar::sample_map_backward_cpu(args, by_points.data(), by_map.data());
  const avatar::TvArgs tv{map.data(), weights.data(), 2, 13, 24, 3, 24};
  std::vector<double> sums(2 * 13 * 24);
  avatar::total_variation_cpu(tv, sums.data());
  avatar::total_variation_backward_cpu(tv, 1, by_map.data());
  avatar::nearest_points(map, points, 5);
}

void convolve(int kernel, int stride, int rows, int columns, bool doubled) {
  using diffusion::kBlock;
  diffusion::Convolution::Shape shape;
  shape.kernel = kernel, shape.stride = stride, shape.rows = rows, shape.columns = columns, shape.doubled = doubled, shape.in_channels = 40;
  for (int i = 0; i < 48; ++i) shape.in_channel.push_back(i < 40 ? i : -1);
  for (int i = 0; i < 80; ++i) shape.out_channel.push_back(i < 72 ? i : -1);
  const std::vector<float> weights = random(static_cast<std::size_t>(72 * 40 * kernel * kernel)), bias = random(72), scale = random(2 * 48), shift = random(2 * 48);
  diffusion::Convolution conv(shape, weights.data(), bias.data());
  conv.pack();
  diffusion::FeatureMap in{nullptr, 3, doubled ? rows / 2 : rows, doubled ? columns / 2 : columns}, out{nullptr, 5, conv.out_rows(), conv.out_columns()};
  diffusion::Floats in_memory(in.size(2)), out_memory(out.size(2));
  in.data = in_memory.data();
  out.data = out_memory.data();
  diffusion::to_blocks(random(static_cast<std::size_t>(2 * 40 * in.pixels())).data(), 2, 40, in, 0);
  std::vector<diffusion::Floats> scratch;
  diffusion::Moments moments;
  for (int step = 0; step < 2; ++step) {
    diffusion::Convolution::Run run;
    run.inputs = {{in, scale.data(), shift.data()}};
    run.silu = true;
    run.out = out;
    run.moments = &moments;
    run.images = 2;
    conv.run(run, scratch);
  }
  std::vector<float> planes(static_cast<std::size_t>(2 * 72 * out.pixels()));
  diffusion::from_blocks(out, 2, 72, planes.data());
}

void attend() {
  diffusion::FeatureMap qkv{nullptr, 3 * 4 * 2, 6, 18}, out{nullptr, 4 * 2, 6, 18};
  diffusion::Floats qkv_memory(qkv.size(2)), out_memory(out.size(2)), keys;
  qkv.data = qkv_memory.data();
  out.data = out_memory.data();
  std::vector<diffusion::Floats> scratch;
  for (int step = 0; step < 2; ++step) diffusion::attend(qkv, out, 2, 4, 24, keys, scratch);
}

void normalise() {
  const diffusion::NormSiluShape shape{2, 24, 50, 8};
  const std::vector<float> x = random(2400), scale = random(48), shift = random(48), by_y = random(2400);
  std::vector<float> y(2400), mean(16), inverse(16), by_x(2400), by_scale(48), by_shift(48);
  diffusion::norm_silu_forward(shape, 1e-5, x.data(), scale.data(), shift.data(), y.data(), mean.data(), inverse.data());
  diffusion::norm_silu_backward(shape, by_y.data(), x.data(), scale.data(), shift.data(), mean.data(), inverse.data(), by_x.data(), by_scale.data(), by_shift.data());
  std::vector<std::uint16_t> x16(2400, 0x3F80), y16(2400), by16(2400, 0x3F80), by_x16(2400);
  diffusion::norm_silu_forward_bf16(shape, 1e-5, x16.data(), scale.data(), shift.data(), y16.data(), mean.data(), inverse.data());
  diffusion::norm_silu_backward_bf16(shape, by16.data(), x16.data(), scale.data(), shift.data(), mean.data(), inverse.data(), by_x16.data(), by_scale.data(), by_shift.data());
}

void lose() {
  constexpr std::size_t kPixels = 5000;
  const std::vector<float> full = random(3 * kPixels, 0, 1), parts = random(15 * kPixels, 0, 1), alphas = random(5 * kPixels, 0, 1), inner = random(kPixels, 0, 1),
                           target = random(3 * kPixels, 0, 1), skin = {0.8F, 0.6F, 0.5F};
  std::vector<std::uint8_t> labels(kPixels);
  for (std::size_t i = 0; i < kPixels; ++i) labels[i] = static_cast<std::uint8_t>(i % 6);
  std::vector<float> a(full.size()), b(parts.size()), c(alphas.size()), d(inner.size());
  double terms[train::kImageTerms];
  train::reconstruction_loss_cpu({full.data(), parts.data(), alphas.data(), inner.data(), target.data(), labels.data(), skin.data(), kPixels, {1, 1, 1, 1, 1, 1, 1, 1},
                                  a.data(), b.data(), c.data(), d.data(), terms});
}

// Threads of their own around kernels on one thread each, as the drawing of views does.
void draw_in_a_queue() {
  TaskQueue queue(4, 3);
  for (int view = 0; view < 12; ++view)
    queue.add([view] {
      omp_set_num_threads(1);
      const PooledArray<float> memory(100'000 + static_cast<std::size_t>(view));
      for (float& x : memory) x = static_cast<float>(view);
    });
  queue.finish();
}

void look_up_prior() {
  constexpr std::int64_t kRank = 5, kWidth = 300;
  const std::vector<std::int64_t> block{1, 0, 3, 1}, order{1, 0, 3, 2}, begin{0, 1, 3, 3, 4}, columns{0, 7, 7, kWidth};
  const std::vector<float> planes = random(2 * 2 * 8 * 16), masks = random(4 * 64), cosine = random(64), step = random(3 * kRank), x = random(2 * kWidth);
  const diffusion::PriorBlocks blocks{2, 2, 8, 16, 4, cosine.data(), block.data(), masks.data(), order.data(), begin.data()};
  std::vector<float> frequencies(2 * 4 * 64), back(planes.size()), y(2 * 3 * kRank), out(x.size());
  diffusion::prior_frequencies_cpu(blocks, planes.data(), frequencies.data());
  diffusion::prior_planes_cpu(blocks, frequencies.data(), back.data());
  const std::vector<std::int8_t> basis(static_cast<std::size_t>(kRank * kWidth), std::int8_t{3});
  const diffusion::PriorBasis args{2, 3, kRank, kWidth, columns.data(), basis.data(), step.data()};
  diffusion::prior_to_basis_cpu(args, x.data(), y.data());
  diffusion::prior_of_basis_cpu(args, y.data(), out.data());
}

int check() {
  omp_set_num_threads(4);
  int kernels = 0;
  const auto run = [&](const auto& what) {
    for (int again = 0; again < 2; ++again) what();
    ++kernels;
  };
  run([] { splat_both_ways(3000, 200, 150, true); });
  run([] { splat_both_ways(2000, 61, 77, false); });
  run([] { pose(3001); });
  for (int set = 0; set < avatar::decoder_kernels_count(); ++set) run([&] { decode(avatar::decoder_kernels_at(set)); });
  run(sample_and_vary);
  run([] { convolve(3, 1, 32, 48, false); });   // Winograd 4 x 4
  run([] { convolve(3, 1, 10, 20, true); });    // 2 x 2, doubled
  run([] { convolve(3, 1, 4, 12, false); });    // direct
  run([] { convolve(3, 2, 20, 30, false); });
  run([] { convolve(1, 1, 9, 31, false); });
  run(attend);
  run(look_up_prior);
  run(normalise);
  run(lose);
  run(draw_in_a_queue);
  return kernels;
}

}  // namespace
}  // namespace layeravatar

int main() {
  std::printf("%d kernels ran\n", layeravatar::check());
  return 0;
}
