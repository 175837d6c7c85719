#include "layeravatar/body/smplx_file.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "layeravatar/body/array_source.h"
#include "layeravatar/core/error.h"

namespace layeravatar::body {
namespace {
constexpr std::int64_t kSmplVertices = 6890;
constexpr std::int64_t kFullComponents = 400;
constexpr std::int64_t kFullExpression = 300;  // first expression component of a full file
constexpr std::int64_t kJointCount = static_cast<std::int64_t>(kJoints);
constexpr std::int64_t kFeatureCount = static_cast<std::int64_t>(kPoseFeatures);

[[noreturn]] void reject(const ArraySource& file, const std::string& what) {
  throw Error(ErrorKind::kInput, file.file() + ": " + what);
}

io::Array need(const ArraySource& file, const std::string& key) {
  if (!file.contains(key)) reject(file, "array '" + key + "' is missing; is this an SMPL-X v1.1 model?");
  return file.read(key);
}

io::Array need(const ArraySource& file, const std::string& key, const std::vector<std::int64_t>& shape) {
  io::Array array = need(file, key);
  if (array.shape != shape)
    reject(file, "array '" + key + "'; expected " + io::shape_text(shape) + ", found " + io::shape_text(array.shape));
  return array;
}

SmplxFile read_model(const ArraySource& file) {
  SmplxFile out;
  BodyModel& m = out.model;
  const io::Array vertices = need(file, "v_template");
  if (vertices.shape.size() != 2 || vertices.shape[1] != 3)
    reject(file, "array 'v_template'; expected (V, 3), found " + io::shape_text(vertices.shape));
  const std::int64_t count = vertices.shape[0];
  if (count == 0) reject(file, "array 'v_template'; expected at least one vertex, found (0, 3)");
  if (count == kSmplVertices) reject(file, "this is an SMPL/SMPL-H model (6890 vertices); expected SMPL-X (10475)");
  m.v_template = io::to_floats(vertices);

  const io::Array shape = need(file, "shapedirs");
  if (shape.shape.size() != 3 || shape.shape[0] != count || shape.shape[1] != 3 ||
      shape.shape[2] < static_cast<std::int64_t>(kShapeColumns))
    reject(file, "array 'shapedirs'; expected " + io::shape_text({count, 3, kFullComponents}) + ", found " +
                     io::shape_text(shape.shape));
  const std::int64_t columns = shape.shape[2];
  if (columns < kFullComponents)
    out.warnings.push_back("only " + std::to_string(columns) + " shape components; expression taken from 10..19");
  const std::int64_t expression = columns < kFullComponents ? static_cast<std::int64_t>(kBetas) : kFullExpression;
  const auto all = io::to_floats(shape);
  const std::size_t rows = m.v_template.size();
  m.shapedirs.reserve(rows * kShapeColumns);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t l = 0; l < kShapeColumns; ++l) {
      const std::size_t from = l < kBetas ? l : l - kBetas + static_cast<std::size_t>(expression);
      m.shapedirs.push_back(all[r * static_cast<std::size_t>(columns) + from]);
    }

  const auto correctives = io::to_floats(need(file, "posedirs", {count, 3, kFeatureCount}));
  m.posedirs.resize(correctives.size());
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t f = 0; f < kPoseFeatures; ++f) m.posedirs[f * rows + r] = correctives[r * kPoseFeatures + f];
  m.j_regressor = io::to_floats(need(file, "J_regressor", {kJointCount, count}));
  m.weights = io::to_floats(need(file, "weights", {count, kJointCount}));
  const auto tree = io::to_integers(need(file, "kintree_table", {2, kJointCount}), file.file() + ": kintree_table");
  m.parents.assign(tree.begin(), tree.begin() + kJointCount);
  const io::Array faces = need(file, "f");
  if (faces.shape.size() != 2 || faces.shape[1] != 3)
    reject(file, "array 'f'; expected (F, 3), found " + io::shape_text(faces.shape));
  m.faces = io::to_integers(faces, file.file() + ": f");
  try {
    m.prepare();
  } catch (const Error& e) {
    throw Error(e.kind(), file.file() + ": " + e.what());
  }
  for (auto& warning : body_model_warnings(m)) out.warnings.push_back(std::move(warning));
  return out;
}

std::vector<float> finite(const ArraySource& file, const std::string& key, const std::vector<std::int64_t>& shape) {
  std::vector<float> out = io::to_floats(need(file, key, shape));
  if (!std::all_of(out.begin(), out.end(), [](float x) { return std::isfinite(x); }))
    reject(file, "array '" + key + "' contains non-finite numbers");
  return out;
}
}  // namespace

SmplxFile read_smplx_npz(const std::filesystem::path& path) { return read_model(NpzSource(io::NpzReader(path))); }

SmplxFile read_smplx(const std::filesystem::path& path) { return read_model(*open_arrays(path)); }

HandPca read_hand_pca(const std::filesystem::path& path) {
  const auto file = open_arrays(path);
  HandPca out;
  out.left_components = finite(*file, "hands_componentsl", {45, 45});
  out.right_components = finite(*file, "hands_componentsr", {45, 45});
  const auto left = finite(*file, "hands_meanl", {45}), right = finite(*file, "hands_meanr", {45});
  std::copy(left.begin(), left.end(), out.left_mean.begin());
  std::copy(right.begin(), right.end(), out.right_mean.begin());
  return out;
}

}  // namespace layeravatar::body
