#include "layeravatar/deform/deformer.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <utility>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/core/error.h"
#include "layeravatar/deform/kernels/neighbours.h"
#include "layeravatar/deform/kernels/pose_kernel.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::deform {

struct RestGaussians {
  templates::LayeredTemplate layers;
  body::WeightVolume volume;
  std::vector<float> positions;     // [N, 3] shifted
  std::vector<std::uint8_t> fixed;  // [N_b] 1: the mesh's own weights hold
};

namespace {

using body::kJoints;
using body::kShapeColumns;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr float kLeastSquare = 1e-7F;   // of the mean squared neighbour distance, metres squared
constexpr std::int64_t kColumns = 4096;  // of a matrix that are summed at a time

void check_template(const templates::LayeredTemplate& t) {
  const auto n = static_cast<std::size_t>(t.count());
  const auto nb = static_cast<std::size_t>(t.body_count());
  LAV_CHECK(t.blocks[0] + t.blocks[1] + t.blocks[2] + t.blocks[3] == t.count() &&
                *std::min_element(t.blocks.begin(), t.blocks.end()) >= 0,
            "the template's blocks do not cover it");
  LAV_CHECK(t.positions.size() == 3 * n && t.frames.size() == 9 * n && t.faces.size() == 3 * n,
            "template: expected positions [N, 3], frames [N, 3, 3] and faces [N, 3]");
  LAV_CHECK(t.body_weights.size() == nb * kJoints && t.face_mask.size() == nb && t.hands_mask.size() == nb &&
                t.outside_mask.size() == nb,
            "template: expected weights [N_b, 55] and masks [N_b]");
  LAV_CHECK(t.pose_dirs.empty() ||
                t.pose_dirs.size() == static_cast<std::size_t>(3 * t.dense_count()) * body::kPoseFeatures,
            "template: expected pose directions [486, 3 M]");
  const auto within = [](const std::vector<std::int32_t>& values, std::int64_t end) {
    return std::all_of(values.begin(), values.end(), [&](std::int32_t v) { return v >= 0 && v < end; });
  };
  LAV_CHECK(within(t.faces, t.dense_count()) && within(t.labels, 6), "template: a face or a label is out of range");
}

// Joints follow the shape linearly: a body of 55 vertices, each a joint, has the same transforms in every pose.
body::BodyModel skeleton_of(const body::BodyModel& body) {
  constexpr std::size_t kWidth = 3 * kShapeColumns;
  const auto count = static_cast<std::size_t>(body.vertex_count());
  body::BodyModel out;
  out.v_template.resize(3 * kJoints);
  out.shapedirs.resize(kWidth * kJoints);
  for (std::size_t j = 0; j < kJoints; ++j) {
    double position[3] = {}, dirs[kWidth] = {};
    for (std::size_t v = 0; v < count; ++v) {
      const double r = body.j_regressor[j * count + v];
      if (r == 0) continue;
      for (std::size_t k = 0; k < 3; ++k) position[k] += r * body.v_template[3 * v + k];
      for (std::size_t e = 0; e < kWidth; ++e) dirs[e] += r * body.shapedirs[kWidth * v + e];
    }
    for (std::size_t k = 0; k < 3; ++k) out.v_template[3 * j + k] = static_cast<float>(position[k]);
    for (std::size_t e = 0; e < kWidth; ++e) out.shapedirs[kWidth * j + e] = static_cast<float>(dirs[e]);
  }
  out.j_regressor.assign(kJoints * kJoints, 0.0F);
  for (std::size_t j = 0; j < kJoints; ++j) out.j_regressor[(kJoints + 1) * j] = 1.0F;
  out.weights = out.j_regressor;
  out.parents = body.parents;
  out.faces = {0, 1, 2};
  out.prepare();
  return out;
}

// Mean over the corners of each Gaussian's face, [20, 3 N].
std::vector<float> gaussian_shape_dirs(const templates::LayeredTemplate& t) {
  const auto row = static_cast<std::size_t>(3 * t.count());
  std::vector<float> out(row * kShapeColumns, 0.0F);
  for (std::size_t i = 0; i < t.faces.size(); ++i)
    for (std::size_t k = 0; k < 3; ++k) {
      const float* from = t.shape_dirs.data() + (3 * static_cast<std::size_t>(t.faces[i]) + k) * kShapeColumns;
      for (std::size_t l = 0; l < kShapeColumns; ++l) out[l * row + i / 3 * 3 + k] += from[l] / 3.0F;
    }
  return out;
}

// out[c] = sum_r factors[r] * matrix[r, c].
std::vector<float> combine_rows(const float* factors, std::int64_t rows, const std::vector<float>& matrix) {
  const std::int64_t columns = static_cast<std::int64_t>(matrix.size()) / rows;
  std::vector<float> out(static_cast<std::size_t>(columns), 0.0F);
#pragma omp parallel for schedule(static)
  for (std::int64_t begin = 0; begin < columns; begin += kColumns) {
    const std::int64_t end = std::min(begin + kColumns, columns);
    for (std::int64_t r = 0; r < rows; ++r) {
      if (factors[r] == 0.0F) continue;
      const float* from = matrix.data() + r * columns;
      for (std::int64_t c = begin; c < end; ++c) out[static_cast<std::size_t>(c)] += factors[r] * from[c];
    }
  }
  return out;
}

void add_map(const std::vector<float>& transforms, std::int32_t joint, float weight, float* map) {
  const float* a = transforms.data() + 16 * joint;
  for (int e = 0; e < 12; ++e) map[e] += weight * a[e];
}

PoseArgs args_of(const PreparedPose& p) {
  const RestGaussians& rest = *p.rest;
  return {.count = rest.layers.count(),
          .body_count = rest.layers.body_count(),
          .positions = rest.positions.data(),
          .frames = rest.layers.frames.data(),
          .corrections = p.corrections.data(),
          .node_maps = p.node_maps.data(),
          .fixed_maps = p.fixed_maps.data(),
          .fixed = rest.fixed.data(),
          .canonical = body::kCanonicalOffset,
          .centre = rest.volume.centre(),
          .half_size = rest.volume.half_size()};
}

torch::Tensor sizes_by_block(const std::array<std::int64_t, 4>& blocks, const torch::Tensor& means) {
  torch::Tensor out = torch::empty({means.size(0)});
  float* to = tensor::mutable_floats(out, "base sizes");
  const float* from = tensor::floats(means, "means");
  for (const std::int64_t size : blocks) {
    mean_squared_neighbour_distance(from, size, to);
    from += 3 * size;
    to += size;
  }
  return out.clamp_min_(kLeastSquare).sqrt_();
}

struct Holder : torch::CustomClassHolder {
  Deformer::Pose pose;
};

struct PoseFunction : torch::autograd::Function<PoseFunction> {
  static variable_list forward(AutogradContext* context, const torch::Tensor& offset, const torch::Tensor& radius,
                               const torch::Tensor& rotation, const Deformer::Pose& pose) {
    const PoseArgs args = args_of(*pose);
    torch::Tensor means = torch::empty({args.count, 3});
    torch::Tensor covariances = torch::empty({args.count, 6});
    torch::Tensor maps = torch::empty({args.count, 12});
    float* map_data = tensor::mutable_floats(maps, "maps");
    pose_means_cpu(args, tensor::floats(offset, "offset"), tensor::mutable_floats(means, "means"), map_data);
    const torch::Tensor base = sizes_by_block(pose->rest->layers.blocks, means);
    covariances_cpu(args, map_data, tensor::floats(radius, "radius"), tensor::floats(rotation, "rotation"),
                    tensor::floats(base, "base"), tensor::mutable_floats(covariances, "covariances"));
    auto holder = c10::make_intrusive<Holder>();
    holder->pose = pose;
    context->saved_data["holder"] = c10::IValue::make_capsule(holder);
    context->save_for_backward({offset, radius, rotation, base});
    return {means, covariances};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const auto capsule = context->saved_data["holder"].toCapsule();
    const PoseArgs args = args_of(*static_cast<const Holder&>(*capsule).pose);
    variable_list out = {torch::empty({args.count, 3}), torch::empty({args.count, 3}), torch::empty({args.count, 3}),
                         torch::Tensor()};
    const torch::Tensor grad_means = grads[0].contiguous(), grad_covariances = grads[1].contiguous();
    pose_backward_cpu(args, tensor::floats(saved[0], "offset"), tensor::floats(saved[1], "radius"),
                      tensor::floats(saved[2], "rotation"), tensor::floats(saved[3], "base"),
                      tensor::floats(grad_means, "gradient"), tensor::floats(grad_covariances, "gradient"),
                      tensor::mutable_floats(out[0], "gradient"), tensor::mutable_floats(out[1], "gradient"),
                      tensor::mutable_floats(out[2], "gradient"));
    return out;
  }
};

}  // namespace

Deformer::Deformer(const body::BodyModel& body, templates::LayeredTemplate layers)
    : body_(body), skeleton_(skeleton_of(body)) {
  check_template(layers);
  auto rest = std::make_shared<RestGaussians>();
  rest->volume = body::canonical_volume(body);
  rest->positions = layers.shifted_positions();
  rest->fixed = layers.weights_mask();
  shape_dirs_ = gaussian_shape_dirs(layers);
  components_ = torch::empty({layers.count()}, torch::kUInt8);
  constexpr std::uint8_t kComponent[6] = {255, 0, 1, 2, 3, 4};
  std::transform(layers.labels.begin(), layers.labels.end(), components_.data_ptr<std::uint8_t>(),
                 [&](std::int32_t label) { return kComponent[label]; });
  rest->layers = std::move(layers);
  const auto nodes = rest->volume.nodes();
  node_start_.push_back(0);
  for (std::size_t at = 0; at < nodes.size(); at += kJoints) {
    for (std::size_t j = 0; j < kJoints; ++j)
      if (nodes[at + j] != 0.0F) {
        node_joint_.push_back(static_cast<std::int32_t>(j));
        node_weight_.push_back(nodes[at + j]);
      }
    node_start_.push_back(static_cast<std::int32_t>(node_joint_.size()));
  }
  rest_ = std::move(rest);
}

const templates::LayeredTemplate& Deformer::layers() const { return rest_->layers; }
const body::WeightVolume& Deformer::volume() const { return rest_->volume; }

Deformer::Pose Deformer::prepare(const body::PoseParams& params) const {
  const body::PosedBody posed = body::pose(skeleton_, params);
  const templates::LayeredTemplate& t = rest_->layers;
  auto out = std::make_shared<PreparedPose>();
  out->rest = rest_;
  out->transforms = posed.transforms;
  out->corrections = combine_rows(posed.shape.data(), kShapeColumns, shape_dirs_);
  if (!t.pose_dirs.empty()) {
    const std::vector<float> dense = combine_rows(posed.pose_feature.data(), body::kPoseFeatures, t.pose_dirs);
    for (std::size_t i = 0; i < t.faces.size(); ++i)
      for (std::size_t k = 0; k < 3; ++k)
        out->corrections[i / 3 * 3 + k] += dense[3 * static_cast<std::size_t>(t.faces[i]) + k] / 3.0F;
  }
  const auto nodes = static_cast<std::int64_t>(node_start_.size()) - 1;
  out->node_maps.assign(static_cast<std::size_t>(12 * nodes), 0.0F);
#pragma omp parallel for schedule(static)
  for (std::int64_t v = 0; v < nodes; ++v) {
    const auto begin = static_cast<std::size_t>(node_start_[static_cast<std::size_t>(v)]);
    const auto end = static_cast<std::size_t>(node_start_[static_cast<std::size_t>(v) + 1]);
    for (std::size_t k = begin; k < end; ++k)
      add_map(out->transforms, node_joint_[k], node_weight_[k], out->node_maps.data() + 12 * v);
  }
  const std::int64_t body_count = t.body_count();
  out->fixed_maps.assign(static_cast<std::size_t>(12 * body_count), 0.0F);
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < body_count; ++i) {
    if (rest_->fixed[static_cast<std::size_t>(i)] == 0) continue;
    for (std::int32_t j = 0; j < kJoints; ++j)
      if (const float w = t.body_weights[static_cast<std::size_t>(i * kJoints + j)]; w != 0.0F)
        add_map(out->transforms, j, w, out->fixed_maps.data() + 12 * i);
  }
  return out;
}

splat::Gaussians Deformer::pose(const avatar::GaussianAttributes& a, const Pose& prepared) const {
  LAV_CHECK(prepared != nullptr && prepared->rest == rest_, "the pose was prepared by another deformer");
  const std::int64_t n = count();
  tensor::expect_shape(a.offset, {n, 3}, "offset");
  tensor::expect_shape(a.radius, {n, 3}, "radius");
  tensor::expect_shape(a.rotation, {n, 3}, "rotation");
  tensor::expect_shape(a.rgb, {n, 3}, "rgb");
  tensor::expect_shape(a.opacity, {n}, "opacity");
  const variable_list posed =
      PoseFunction::apply(a.offset.contiguous(), a.radius.contiguous(), a.rotation.contiguous(), prepared);
  return {posed[0], posed[1], a.rgb, a.opacity, components_};
}

Deformer::PosedPoints Deformer::posed_points(const torch::Tensor& offset, const PreparedPose& prepared) const {
  LAV_CHECK(prepared.rest == rest_, "the pose was prepared by another deformer");
  tensor::expect_shape(offset, {count(), 3}, "offset");
  const PoseArgs args = args_of(prepared);
  PosedPoints out{torch::empty({args.count, 3}), torch::zeros({args.count, 4, 4})};
  torch::Tensor maps = torch::empty({args.count, 12});
  const torch::Tensor offsets = offset.contiguous();
  pose_means_cpu(args, tensor::floats(offsets, "offset"), tensor::mutable_floats(out.means, "means"),
                 tensor::mutable_floats(maps, "maps"));
  // W = D [I | -c].
  const float* from = tensor::floats(maps, "maps");
  float* to = tensor::mutable_floats(out.maps, "maps");
  for (std::int64_t i = 0; i < args.count; ++i, from += 12, to += 16) {
    for (int r = 0; r < 3; ++r) {
      std::copy_n(from + 4 * r, 4, to + 4 * r);
      for (int k = 0; k < 3; ++k) to[4 * r + 3] -= from[4 * r + k] * args.canonical[static_cast<std::size_t>(k)];
    }
    to[15] = 1.0F;
  }
  return out;
}

torch::Tensor Deformer::base_sizes(const torch::Tensor& means) const {
  tensor::expect_shape(means, {count(), 3}, "means");
  return sizes_by_block(rest_->layers.blocks, means.detach().contiguous());
}

}  // namespace layeravatar::deform
