#include "layeravatar/deform/deformer.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/torch.h>

#include <algorithm>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/core/error.h"
#include "layeravatar/deform/kernels/neighbours.h"
#include "layeravatar/deform/kernels/pose_kernel.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::deform {
namespace {

using body::kJoints;
using body::kShapeColumns;
constexpr float kLeastSquare = 1e-7F;  // of the mean squared neighbour distance

body::WeightVolume volume_of(const body::BodyModel& body) {
  const body::PosedBody canonical = body::pose(body, body::canonical_pose());
  // Vertices that carry joints belong to no surface and have no say in the weights of space.
  std::vector<std::uint8_t> used(static_cast<std::size_t>(body.vertex_count()), 0);
  for (const std::int64_t id : body.faces) used[static_cast<std::size_t>(id)] = 1;
  if (std::all_of(used.begin(), used.end(), [](std::uint8_t u) { return u != 0; }) || body.faces.size() < 30)
    return body::WeightVolume::build(canonical.vertices, body.weights);
  std::vector<float> vertices, weights;
  for (std::size_t v = 0; v < used.size(); ++v) {
    if (used[v] == 0) continue;
    vertices.insert(vertices.end(), canonical.vertices.begin() + static_cast<long>(3 * v), canonical.vertices.begin() + static_cast<long>(3 * v + 3));
    weights.insert(weights.end(), body.weights.begin() + static_cast<long>(kJoints * v), body.weights.begin() + static_cast<long>(kJoints * (v + 1)));
  }
  return body::WeightVolume::build(vertices, weights);
}

// The pose's blended bone maps for a row of weights.
template <class Each>
void blend(const float* transforms, const Each& each, float* map) {
  std::fill(map, map + 12, 0.0F);
  each([&](std::int32_t joint, float weight) {
    const float* a = transforms + 16 * joint;
    for (int e = 0; e < 12; ++e) map[e] += weight * a[e];
  });
}

}  // namespace

Deformer::Deformer(const body::BodyModel& body, const templates::LayeredTemplate& layers)
    : body_(body), layers_(layers), volume_(volume_of(body)), positions_(layers.shifted_positions()), fixed_(layers.weights_mask()) {
  const std::int64_t n = layers.count();
  LAV_CHECK(layers.blocks[0] + layers.blocks[1] + layers.blocks[2] + layers.blocks[3] == n, "the template's blocks do not cover it");
  shape_dirs_.resize(static_cast<std::size_t>(n) * 3 * kShapeColumns);
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i)
    for (std::size_t c = 0; c < 3; ++c) {
      const float* from = layers.shape_dirs.data() + static_cast<std::size_t>(layers.faces[3 * i + c]) * 3 * kShapeColumns;
      for (std::size_t e = 0; e < 3 * kShapeColumns; ++e) shape_dirs_[i * 3 * kShapeColumns + e] += from[e] / 3.0F;
    }
  const auto nodes = volume_.nodes();
  node_start_.push_back(0);
  for (std::size_t at = 0; at < nodes.size(); at += kJoints) {
    for (std::size_t j = 0; j < kJoints; ++j)
      if (nodes[at + j] != 0.0F) {
        node_joint_.push_back(static_cast<std::int32_t>(j));
        node_weight_.push_back(nodes[at + j]);
      }
    node_start_.push_back(static_cast<std::int32_t>(node_joint_.size()));
  }
  components_ = torch::empty({n}, torch::kUInt8);
  constexpr std::uint8_t kComponent[6] = {255, 0, 1, 2, 3, 4};
  for (std::int64_t i = 0; i < n; ++i)
    components_.data_ptr<std::uint8_t>()[i] = kComponent[layers.labels[static_cast<std::size_t>(i)]];
  canonical_ = body::canonical_pose().transl;
}

std::shared_ptr<const PreparedPose> Deformer::prepare(const body::PoseParams& params) const {
  const body::PosedBody posed = body::pose(body_, params);
  auto out = std::make_shared<PreparedPose>();
  out->transforms = posed.transforms;
  const std::int64_t n = layers_.count();
  out->corrections.resize(static_cast<std::size_t>(3 * n));
  const bool correctives = !layers_.pose_dirs.empty();
  const auto row = static_cast<std::size_t>(3 * layers_.dense_count());
  std::vector<float> dense;  // pose offsets of the dense vertices
  if (correctives) {
    dense.assign(row, 0.0F);
    for (std::size_t f = 0; f < posed.pose_feature.size(); ++f) {
      const float p = posed.pose_feature[f];
      if (p == 0.0F) continue;
      const float* dirs = layers_.pose_dirs.data() + f * row;
      for (std::size_t e = 0; e < row; ++e) dense[e] += p * dirs[e];
    }
  }
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < n; ++i)
    for (int k = 0; k < 3; ++k) {
      const float* dirs = shape_dirs_.data() + (3 * i + k) * kShapeColumns;
      float sum = 0;
      for (std::size_t l = 0; l < kShapeColumns; ++l) sum += posed.shape[l] * dirs[l];
      if (correctives)
        for (int c = 0; c < 3; ++c)
          sum += dense[3 * static_cast<std::size_t>(layers_.faces[static_cast<std::size_t>(3 * i + c)]) + static_cast<std::size_t>(k)] / 3.0F;
      out->corrections[static_cast<std::size_t>(3 * i + k)] = sum;
    }
  const auto nodes = static_cast<std::int64_t>(node_start_.size()) - 1;
  out->node_maps.resize(static_cast<std::size_t>(12 * nodes));
#pragma omp parallel for schedule(static)
  for (std::int64_t v = 0; v < nodes; ++v)
    blend(out->transforms.data(), [&](const auto& add) {
      for (std::int32_t k = node_start_[static_cast<std::size_t>(v)]; k < node_start_[static_cast<std::size_t>(v) + 1]; ++k)
        add(node_joint_[static_cast<std::size_t>(k)], node_weight_[static_cast<std::size_t>(k)]);
    }, out->node_maps.data() + 12 * v);
  const std::int64_t body_count = layers_.body_count();
  out->fixed_maps.assign(static_cast<std::size_t>(12 * body_count), 0.0F);
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < body_count; ++i) {
    if (fixed_[static_cast<std::size_t>(i)] == 0) continue;
    blend(out->transforms.data(), [&](const auto& add) {
      for (std::int32_t j = 0; j < kJoints; ++j)
        if (const float w = layers_.body_weights[static_cast<std::size_t>(i * kJoints + j)]; w != 0.0F) add(j, w);
    }, out->fixed_maps.data() + 12 * i);
  }
  return out;
}

namespace {

struct Holder : torch::CustomClassHolder {
  const Deformer* deformer = nullptr;
  std::shared_ptr<const PreparedPose> pose;
};

}  // namespace

struct PoseFunction : torch::autograd::Function<PoseFunction> {
  static PoseArgs args_of(const Deformer& d, const PreparedPose& p) {
    return {.count = d.count(),
            .body_count = d.layers_.body_count(),
            .positions = d.positions_.data(),
            .frames = d.layers_.frames.data(),
            .corrections = p.corrections.data(),
            .node_maps = p.node_maps.data(),
            .fixed_maps = p.fixed_maps.data(),
            .fixed = d.fixed_.data(),
            .canonical = d.canonical_,
            .centre = d.volume_.centre(),
            .half_size = d.volume_.half_size()};
  }

  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const torch::Tensor& offset,
                                                const torch::Tensor& radius, const torch::Tensor& rotation,
                                                const Deformer* deformer, const std::shared_ptr<const PreparedPose>& pose) {
    const PoseArgs args = args_of(*deformer, *pose);
    torch::Tensor means = torch::empty({args.count, 3}), maps = torch::empty({args.count, 12}), covariances = torch::empty({args.count, 6});
    pose_means_cpu(args, tensor::floats(offset, "offset"), tensor::mutable_floats(means, "means"), tensor::mutable_floats(maps, "maps"));
    const torch::Tensor base = deformer->base_sizes(means);
    covariances_cpu(args, tensor::floats(maps, "maps"), tensor::floats(radius, "radius"), tensor::floats(rotation, "rotation"),
                    tensor::floats(base, "base"), tensor::mutable_floats(covariances, "covariances"));
    auto holder = c10::make_intrusive<Holder>();
    holder->deformer = deformer;
    holder->pose = pose;
    context->saved_data["holder"] = c10::IValue::make_capsule(holder);
    context->save_for_backward({offset, radius, rotation, base});
    return {means, covariances};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const auto capsule = context->saved_data["holder"].toCapsule();
    const auto& holder = static_cast<const Holder&>(*capsule);
    const PoseArgs args = args_of(*holder.deformer, *holder.pose);
    torch::Tensor out[3] = {torch::empty({args.count, 3}), torch::empty({args.count, 3}), torch::empty({args.count, 3})};
    const torch::Tensor gm = grads[0].contiguous(), gc = grads[1].contiguous();
    pose_backward_cpu(args, tensor::floats(saved[0], "offset"), tensor::floats(saved[1], "radius"), tensor::floats(saved[2], "rotation"),
                      tensor::floats(saved[3], "base"), tensor::floats(gm, "gradient"), tensor::floats(gc, "gradient"),
                      tensor::mutable_floats(out[0], "gradient"), tensor::mutable_floats(out[1], "gradient"), tensor::mutable_floats(out[2], "gradient"));
    return {out[0], out[1], out[2], torch::Tensor(), torch::Tensor()};
  }
};

splat::Gaussians Deformer::pose(const avatar::GaussianAttributes& a, const std::shared_ptr<const PreparedPose>& prepared) const {
  const std::int64_t n = count();
  tensor::expect_shape(a.offset, {n, 3}, "offset");
  tensor::expect_shape(a.radius, {n, 3}, "radius");
  tensor::expect_shape(a.rotation, {n, 3}, "rotation");
  tensor::expect_shape(a.rgb, {n, 3}, "rgb");
  tensor::expect_shape(a.opacity, {n}, "opacity");
  const auto posed = PoseFunction::apply(a.offset.contiguous(), a.radius.contiguous(), a.rotation.contiguous(), this, prepared);
  return {posed[0], posed[1], a.rgb, a.opacity, components_};
}

Deformer::PosedPoints Deformer::posed_points(const torch::Tensor& offset, const PreparedPose& prepared) const {
  const PoseArgs args = PoseFunction::args_of(*this, prepared);
  tensor::expect_shape(offset, {args.count, 3}, "offset");
  torch::Tensor means = torch::empty({args.count, 3}), maps = torch::empty({args.count, 12});
  const torch::Tensor o = offset.contiguous();
  pose_means_cpu(args, tensor::floats(o, "offset"), tensor::mutable_floats(means, "means"), tensor::mutable_floats(maps, "maps"));
  // W = D [I | -c].
  torch::Tensor full = torch::zeros({args.count, 4, 4});
  full.slice(1, 0, 3) = maps.reshape({args.count, 3, 4});
  const torch::Tensor c = torch::tensor({canonical_[0], canonical_[1], canonical_[2]});
  full.slice(1, 0, 3).select(2, 3).sub_(full.slice(1, 0, 3).slice(2, 0, 3).matmul(c));
  full.select(1, 3).select(1, 3).fill_(1.0);
  return {means, full};
}

torch::Tensor Deformer::base_sizes(const torch::Tensor& means) const {
  tensor::expect_shape(means, {count(), 3}, "means");
  torch::Tensor out = torch::empty({count()});
  std::int64_t begin = 0;
  for (const std::int64_t size : layers_.blocks) {
    mean_squared_neighbour_distance(tensor::floats(means, "means") + 3 * begin, size, out.data_ptr<float>() + begin);
    begin += size;
  }
  return out.clamp_min_(kLeastSquare).sqrt_();
}

}  // namespace layeravatar::deform
