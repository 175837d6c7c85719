// The CC0 body as an SMPL-X-compatible model: 55 joints, metres, T-pose (spec/cc0_people.md section 2).
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "layeravatar/body/body_model.h"
#include "layeravatar/people/human_assets.h"
#include "layeravatar/people/macro_model.h"

namespace layeravatar::people {

/// Base vertices that the model takes over: the body's, from 0, and the eyes'.
inline constexpr std::int32_t kBodyVertices = 13380, kEyesBegin = 14598, kEyesEnd = 14742;

/// Vertices: 13380 of the body, 144 of the eyes, then 55 that carry the joints. Triangles only use the first two
/// groups. The mean pelvis lies at (0, -0.35, 0), as in SMPL-X, so that body::kCanonicalOffset brings it to the origin.
struct Cc0Body {
  body::BodyModel model;                    // prepared; 10 betas, expressions are zero
  std::vector<float> uvs;                   // [T, 2] v up
  std::vector<std::int32_t> uv_faces;       // [F, 3] uv ids of the triangles model.faces
  std::vector<std::uint8_t> visible_faces;  // [F] 0: inner mouth and the like, never seen from outside
  /// Vertex sets: hands forearms upper_arms feet lower_legs upper_legs hips torso neck head; of the head also eyes face
  /// scalp forehead nose ears, and what is never seen: hidden_head, parts of it eye_sockets and mouth_inside.
  std::map<std::string, std::vector<std::int32_t>> regions;
  // The same shape space over all base vertices in the rest A-pose (decimetres), to which garments are fitted.
  std::vector<float> rest_mean;                                // [19158, 3]
  std::vector<float> rest_dirs;                                // [19158, 3, 10]
  std::vector<float> base_weights;                             // [19158, 55] skinning weights of all base vertices
  std::vector<double> t_pose_rotations;                        // [55, 3, 3] about world axes: A-pose to T-pose
  std::array<float, 3> rest_origin{};                          // decimetres; subtracted in the T-pose
  std::vector<std::vector<std::int32_t>> joint_base_vertices;  // [55] base vertices whose mean is the joint
};

/// Principal components of `samples` random adults (fixed seeds), all 19158 vertices, standard deviation 1 per beta.
/// `package` holds the T-pose.
Cc0Body build_cc0_body(const HumanAssets& assets, const std::filesystem::path& package, int samples = 600);

/// Betas whose body is nearest (least squares over all base vertices) to the morphed body of `shape`.
std::array<float, 10> betas_of(const Cc0Body& body, const HumanAssets& assets, const MacroParams& shape);

/// All 19158 base vertices in the rest A-pose, decimetres, of a body shape.
std::vector<Point> rest_vertices(const Cc0Body& body, const std::array<float, 10>& betas);

/// Takes points from the rest A-pose (decimetres) of a body shape into a pose of the model (metres, world):
/// linear blend skinning by `weights` [n, 55], first into the T-pose by its fixed rotations, then into `pose`
/// (whose betas are the shape).
std::vector<Point> pose_points(const Cc0Body& body, const std::vector<Point>& rest_points,
                               const std::vector<float>& weights, const body::PoseParams& pose);

/// Rotations of all bones of one of the package's poses (src/json/poses/poses.json), row-major, about the rest pose's
/// world axes, relative to the parent.
std::vector<std::array<double, 9>> read_bone_pose(const std::filesystem::path& package, const BaseMesh& base,
                                                  const std::string& name);

/// Arrays of the container (release names plus vt, ft, region_*, rest_mean, rest_dirs, base_weights), written as .npz.
void write_cc0_body(const std::filesystem::path& path, const Cc0Body& body);
Cc0Body read_cc0_body(const std::filesystem::path& path);

}  // namespace layeravatar::people
