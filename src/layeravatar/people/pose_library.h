// The 16 CC0 poses as SMPL-X parameters, and natural standing poses (spec/cc0_people.md sections 1.3, 2, 3).
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layeravatar/body/pose_params.h"
#include "layeravatar/people/cc0_body.h"

namespace layeravatar::people {

inline constexpr std::string_view kPoseLicence = "CC0-1.0";

/// Names of the poses that are proven CC0: fight01-04, fly01-02, gym01, run01, sit01, standing01-06, tpose.
std::span<const std::string_view> static_pose_names();

struct FittedPose {
  body::PoseParams pose;  // betas zero; centred, see centre_upon_origin
  double mean_error = 0;  // metres over the vertices of the mean body, against the pose on all 163 bones
  double worst_error = 0;
};

/// Turns a pose of the package's 163 bones into rotations of the 55 joints, joint by joint from the root: the rotation
/// about the joint's posed place that fits best (Kabsch) the vertices that the joint carries, and its child if there is
/// just one. Throws Error(kInput) for a name outside the list above.
FittedPose fit_static_pose(const Cc0Body& body, const BaseMesh& base, const std::filesystem::path& package,
                           const std::string& name);

/// All 16 by name.
using PoseLibrary = std::map<std::string, body::PoseParams>;
PoseLibrary fit_pose_library(const Cc0Body& body, const BaseMesh& base, const std::filesystem::path& package);

/// An .npz with one array of 189 numbers per pose (body::PoseLayout::k189).
void write_pose_library(const std::filesystem::path& path, const PoseLibrary& poses);
PoseLibrary read_pose_library(const std::filesystem::path& path);

/// The same pose with transl such that the pelvis stands over the origin and the vertical middle of the body (of the
/// pose's betas) lies at y = 0: a camera at 10 m with focal length 5000 sees 2.048 m of height in 1024 pixels.
body::PoseParams centre_upon_origin(const body::BodyModel& model, body::PoseParams pose);

/// Whether somebody stands, walks or jumps with the arms down: the trunk leans less than 20 degrees, wrists are below
/// the shoulders, knees below the hips and feet below the knees, and no knee bends more than 60 degrees.
bool is_upright(const body::BodyModel& model, const body::PoseParams& pose);

/// An upright pose: half of them sample_pose(seed), else one of `bases` (the library's standing poses, upright frames
/// of a motion), drawn part of the way to the default viewing pose, facing +z within 20 degrees, with small noise in
/// which knees and elbows do not overstretch. `bases` may be empty. Same seed, same pose. Betas are zero, transl
/// canonical.
body::PoseParams sample_upright_pose(std::uint64_t seed, std::span<const body::PoseParams> bases);

}  // namespace layeravatar::people
