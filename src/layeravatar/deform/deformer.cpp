#include "layeravatar/deform/deformer.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "layeravatar/body/joint_names.h"
#include "layeravatar/core/error.h"
#include "layeravatar/deform/kernels/neighbours.h"
#include "layeravatar/deform/kernels/pose_kernel.h"
#include "layeravatar/tensor/convert.h"
#include "layeravatar/tensor/pooled.h"

namespace layeravatar::deform {

// Rows of joints and weights that are not zero.
struct SparseWeights {
  std::vector<std::int32_t> start{0}, joint;
  std::vector<float> weight;

  void add_row(const float* dense) {
    for (std::int32_t j = 0; j < body::kJoints; ++j)
      if (dense[j] != 0.0F) {
        joint.push_back(j);
        weight.push_back(dense[j]);
      }
    start.push_back(static_cast<std::int32_t>(joint.size()));
  }
  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(start.size()) - 1; }

  // sum_j weight_j A_j of row r, zero padded.
  void blend(const std::vector<float>& transforms, std::int64_t r, float* map) const {
    std::fill(map, map + kMapSize, 0.0F);
    for (std::int32_t k = start[static_cast<std::size_t>(r)]; k < start[static_cast<std::size_t>(r) + 1]; ++k) {
      const float* a = transforms.data() + 16 * joint[static_cast<std::size_t>(k)];
      for (int e = 0; e < 12; ++e) map[e] += weight[static_cast<std::size_t>(k)] * a[e];
    }
  }
};

struct RestGaussians {
  templates::LayeredTemplate layers;
  body::BodyModel skeleton;         // 55 vertices: the joints themselves, which is all that a pose needs
  body::WeightVolume volume;
  std::vector<float> positions;     // [N, 3] shifted
  std::vector<std::uint8_t> fixed;  // [N_b] 1: the mesh's own weights hold
  std::vector<float> shape_dirs;    // [20, 3 N] at the Gaussians
  SparseWeights node_weights;       // of the volume's nodes
  SparseWeights fixed_weights;      // of the body's points; empty rows where the volume's weights hold
  torch::Tensor components;         // [N] uint8
};

namespace {

using body::kJoints;
using body::kShapeColumns;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr float kLeastSquare = 1e-7F;   // of the mean squared neighbour distance, metres squared

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

void check_attributes(const avatar::GaussianAttributes& a, std::int64_t n) {
  tensor::expect_shape(a.offset, {n, 3}, "offset");
  tensor::expect_shape(a.radius, {n, 3}, "radius");
  tensor::expect_shape(a.rotation, {n, 3}, "rotation");
  tensor::expect_shape(a.rgb, {n, 3}, "rgb");
  tensor::expect_shape(a.opacity, {n}, "opacity");
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

// Corrections, and the maps at some nodes (all where null).
Deformer::Pose prepare_nodes(const std::shared_ptr<const RestGaussians>& rest, const body::PoseParams& params,
                             const std::vector<std::int32_t>* wanted) {
  const body::PosedBody posed = body::pose(rest->skeleton, params);
  const templates::LayeredTemplate& t = rest->layers;
  auto out = std::make_shared<PreparedPose>();
  out->rest = rest;
  out->transforms = posed.transforms;
  const std::int64_t columns = 3 * t.count(), dense_columns = 3 * t.dense_count();
  out->corrections = PooledArray<float>(static_cast<std::size_t>(columns));
  combine_rows_cpu(posed.shape.data(), kShapeColumns, rest->shape_dirs.data(), columns, out->corrections.data());
  if (!t.pose_dirs.empty()) {
    const PooledArray<float> dense(static_cast<std::size_t>(dense_columns));
    combine_rows_cpu(posed.pose_feature.data(), body::kPoseFeatures, t.pose_dirs.data(), dense_columns, dense.data());
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < t.count(); ++i)
      for (std::int64_t corner = 0; corner < 3; ++corner)
        for (std::int64_t k = 0; k < 3; ++k)
          out->corrections[static_cast<std::size_t>(3 * i + k)] +=
              dense[static_cast<std::size_t>(3 * t.faces[static_cast<std::size_t>(3 * i + corner)] + k)] / 3.0F;
  }
  const std::int64_t nodes = rest->node_weights.rows(), count = wanted == nullptr ? nodes : static_cast<std::int64_t>(wanted->size());
  out->node_maps = PooledArray<float>(static_cast<std::size_t>(kMapSize * nodes));
#pragma omp parallel for schedule(static)
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int64_t v = wanted == nullptr ? k : (*wanted)[static_cast<std::size_t>(k)];
    rest->node_weights.blend(out->transforms, v, out->node_maps.data() + kMapSize * v);
  }
  out->fixed_maps = PooledArray<float>(static_cast<std::size_t>(kMapSize * t.body_count()));
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < t.body_count(); ++i)
    if (rest->fixed[static_cast<std::size_t>(i)] != 0)
      rest->fixed_weights.blend(out->transforms, i, out->fixed_maps.data() + kMapSize * i);
  return out;
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

using BlockSeeds = std::array<NeighbourSeeds, 4>;

torch::Tensor sizes_by_block(const std::array<std::int64_t, 4>& blocks, const torch::Tensor& means, BlockSeeds* seeds = nullptr) {
  torch::Tensor out = tensor::pooled_empty({means.size(0)});
  float* to = tensor::mutable_floats(out, "base sizes");
  const float* from = tensor::floats(means, "means");
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    mean_squared_neighbour_distance(from, blocks[b], to, seeds == nullptr ? nullptr : &(*seeds)[b]);
    from += 3 * blocks[b];
    to += blocks[b];
  }
  return out.clamp_min_(kLeastSquare).sqrt_();
}

struct Bound {
  PooledArray<std::int32_t> nodes;
  PooledArray<float> lines;
  [[nodiscard]] BoundArrays arrays() const { return {nodes.data(), lines.data()}; }
};

Bound bind_to(const PoseArgs& args, const torch::Tensor& offset, const torch::Tensor& radius, const torch::Tensor& rotation) {
  Bound out{PooledArray<std::int32_t>(static_cast<std::size_t>(args.count)),
            PooledArray<float>(static_cast<std::size_t>(pose_groups(args.count) * kBoundLines * kPoseGroup))};
  bind_cpu(args, tensor::floats(offset, "offset"), tensor::floats(radius, "radius"), tensor::floats(rotation, "rotation"),
           out.arrays());
  return out;
}

PooledArray<float> empty_maps(std::int64_t count) {
  return PooledArray<float>(static_cast<std::size_t>(pose_groups(count) * kMapLines * kPoseGroup));
}

struct Posed {
  torch::Tensor means, covariances, base;
};

Posed pose_bound(const Bound& bound, const PreparedPose& pose, BlockSeeds* seeds) {
  const PoseArgs args = args_of(pose);
  Posed out{tensor::pooled_empty({args.count, 3}), tensor::pooled_empty({args.count, 6}), {}};
  const PooledArray<float> maps = empty_maps(args.count);
  pose_means_cpu(args, bound.arrays(), tensor::mutable_floats(out.means, "means"), maps.data());
  out.base = sizes_by_block(pose.rest->layers.blocks, out.means, seeds);
  covariances_cpu(args, bound.arrays(), maps.data(), tensor::floats(out.base, "base"),
                  tensor::mutable_floats(out.covariances, "covariances"));
  return out;
}

struct Holder : torch::CustomClassHolder {
  Deformer::Pose pose;
};

struct PoseFunction : torch::autograd::Function<PoseFunction> {
  static variable_list forward(AutogradContext* context, const torch::Tensor& offset, const torch::Tensor& radius,
                               const torch::Tensor& rotation, const Deformer::Pose& pose) {
    const Posed posed = pose_bound(bind_to(args_of(*pose), offset, radius, rotation), *pose, nullptr);
    auto holder = c10::make_intrusive<Holder>();
    holder->pose = pose;
    context->saved_data["holder"] = c10::IValue::make_capsule(holder);
    context->save_for_backward({offset, radius, rotation, posed.base});
    return {posed.means, posed.covariances};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const auto capsule = context->saved_data["holder"].toCapsule();
    const PoseArgs args = args_of(*static_cast<const Holder&>(*capsule).pose);
    variable_list out = {tensor::pooled_empty({args.count, 3}), tensor::pooled_empty({args.count, 3}),
                         tensor::pooled_empty({args.count, 3}), torch::Tensor()};
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

Deformer::Deformer(body::BodyModel model, templates::LayeredTemplate layers, std::optional<body::WeightVolume> volume) : body_(std::move(model)) {
  check_template(layers);
  auto rest = std::make_shared<RestGaussians>();
  rest->skeleton = skeleton_of(body_);
  rest->volume = volume ? std::move(*volume) : body::canonical_volume(body_);
  rest->positions = layers.shifted_positions();
  rest->fixed = layers.weights_mask();
  rest->shape_dirs = gaussian_shape_dirs(layers);
  rest->components = torch::empty({layers.count()}, torch::kUInt8);
  constexpr std::uint8_t kComponent[6] = {255, 0, 1, 2, 3, 4};
  std::transform(layers.labels.begin(), layers.labels.end(), rest->components.data_ptr<std::uint8_t>(),
                 [&](std::int32_t label) { return kComponent[label]; });
  const auto nodes = rest->volume.nodes();
  for (std::size_t at = 0; at < nodes.size(); at += kJoints) rest->node_weights.add_row(nodes.data() + at);
  const std::vector<float> none(kJoints, 0.0F);
  for (std::size_t i = 0; i < rest->fixed.size(); ++i)
    rest->fixed_weights.add_row(rest->fixed[i] != 0 ? layers.body_weights.data() + i * kJoints : none.data());
  rest->layers = std::move(layers);
  rest_ = std::move(rest);
}

const templates::LayeredTemplate& Deformer::layers() const { return rest_->layers; }
const body::WeightVolume& Deformer::volume() const { return rest_->volume; }

Deformer::Pose Deformer::prepare(const body::PoseParams& params) const { return prepare_nodes(rest_, params, nullptr); }

splat::Gaussians Deformer::pose(const avatar::GaussianAttributes& a, const Pose& prepared) const {
  LAV_CHECK(prepared != nullptr && prepared->rest == rest_, "the pose was prepared by another deformer");
  check_attributes(a, count());
  const variable_list posed =
      PoseFunction::apply(a.offset.contiguous(), a.radius.contiguous(), a.rotation.contiguous(), prepared);
  return {posed[0], posed[1], a.rgb, a.opacity, rest_->components};
}

struct PosableAvatar::State {
  std::shared_ptr<const RestGaussians> rest;
  Bound bound;
  std::vector<std::int32_t> nodes;  // of the volume that this avatar touches
  torch::Tensor colours, opacities;
  std::mutex guard;
  BlockSeeds seeds;
};

PosableAvatar Deformer::bind(const avatar::GaussianAttributes& a) const {
  check_attributes(a, count());
  PosableAvatar out;
  out.state_ = std::make_shared<PosableAvatar::State>();
  PosableAvatar::State& s = *out.state_;
  s.rest = rest_;
  PreparedPose unposed;  // binding reads no map
  unposed.rest = rest_;
  s.bound = bind_to(args_of(unposed), a.offset.detach().contiguous(), a.radius.detach().contiguous(), a.rotation.detach().contiguous());
  s.colours = a.rgb.detach();
  s.opacities = a.opacity.detach();
  constexpr auto& kSize = body::WeightVolume::kSize;
  std::vector<std::uint8_t> touched(static_cast<std::size_t>(rest_->node_weights.rows()));
  for (const std::int32_t node : s.bound.nodes)
    for (std::int32_t c = 0; node >= 0 && c < 8; ++c)
      touched[static_cast<std::size_t>(node + (c & 1) + kSize[0] * ((c >> 1 & 1) + kSize[1] * (c >> 2)))] = 1;
  for (std::size_t v = 0; v < touched.size(); ++v)
    if (touched[v] != 0) s.nodes.push_back(static_cast<std::int32_t>(v));
  return out;
}

splat::Gaussians PosableAvatar::pose(const body::PoseParams& params) const {
  State& s = *state_;
  const Deformer::Pose prepared = prepare_nodes(s.rest, params, &s.nodes);
  BlockSeeds seeds;
  {
    const std::lock_guard lock(s.guard);
    std::swap(seeds, s.seeds);  // a second thread meanwhile starts without
  }
  const Posed posed = pose_bound(s.bound, *prepared, &seeds);
  {
    const std::lock_guard lock(s.guard);
    std::swap(seeds, s.seeds);
  }
  return {posed.means, posed.covariances, s.colours, s.opacities, s.rest->components};
}

Deformer::PosedPoints Deformer::posed_points(const torch::Tensor& offset, const PreparedPose& prepared) const {
  LAV_CHECK(prepared.rest == rest_, "the pose was prepared by another deformer");
  tensor::expect_shape(offset, {count(), 3}, "offset");
  const PoseArgs args = args_of(prepared);
  PosedPoints out{torch::empty({args.count, 3}), torch::zeros({args.count, 4, 4})};
  const torch::Tensor offsets = offset.contiguous(), none = torch::zeros({args.count, 3});
  const PooledArray<float> maps = empty_maps(args.count);
  pose_means_cpu(args, bind_to(args, offsets, none, none).arrays(), tensor::mutable_floats(out.means, "means"), maps.data());
  // W = D [I | -c].
  float* to = tensor::mutable_floats(out.maps, "maps");
  for (std::int64_t i = 0; i < args.count; ++i, to += 16) {
    const float* from = maps.data() + i / kPoseGroup * kPoseGroup * kMapLines + i % kPoseGroup;
    for (int e = 0; e < 12; ++e) to[e] = from[e * kPoseGroup];
    for (int r = 0; r < 3; ++r)
      for (int k = 0; k < 3; ++k) to[4 * r + 3] -= to[4 * r + k] * args.canonical[static_cast<std::size_t>(k)];
    to[15] = 1.0F;
  }
  return out;
}

torch::Tensor Deformer::base_sizes(const torch::Tensor& means) const {
  tensor::expect_shape(means, {count(), 3}, "means");
  return sizes_by_block(rest_->layers.blocks, means.detach().contiguous());
}

}  // namespace layeravatar::deform
