// Motions of SMPL-X parameters: X-Avatar's pickles and AMASS archives (spec/model.md 12.3, spec/body_and_data.md 13.2).
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "layeravatar/body/array_source.h"
#include "layeravatar/body/pose_params.h"
#include "layeravatar/body/smplx_file.h"

namespace layeravatar::body {

enum class MotionKind {
  kXAvatar,  // a pickled dict; y down, z away from the viewer, as in the frame of a camera
  kAmass,    // an .npz of AMASS's SMPL-X part ("stageii"); z up
};

/// Rotation, row-major, from the motion's axes to ours (y up). Parameters are left as they are: a camera C that looks at
/// the world looks at the motion as C * world_from_motion.
const std::array<double, 9>& world_from_motion(MotionKind kind);
/// The release shows a kind from this one of its 36 cameras.
int usual_view(MotionKind kind);
/// Every n-th frame is taken unless told otherwise: 1 and 8.
std::int64_t usual_stride(MotionKind kind);

struct MotionOptions {
  std::int64_t start = 0;
  std::int64_t frames = 0;                // 0: as many as there are
  std::int64_t stride = 0;                // 0: usual_stride
  bool with_translation = false;          // the path of `trans` or `transl`, from the first frame taken
  const HandPca* hands = nullptr;         // its means are added: some files hold hands relative to the relaxed hand
};

struct Motion {
  MotionKind kind = MotionKind::kXAvatar;
  std::vector<PoseParams> frames;     // betas zero; transl kCanonicalOffset, plus the path where it was asked for
  std::int64_t frames_in_file = 0;
  double rate = 0;                    // of `frames`, a second; 0 where the file does not tell
  std::vector<std::string> warnings;  // each one line, without the file's name
};

/// Any number of frames from one on. Throws Error(kInput): "<file>: 'body_pose' is missing", "... has 63 columns; expected
/// 72", "'jaw_pose' has 3 frames, 'body_pose' has 4", "'pose_jaw' is missing; is this an SMPL+H file? SMPL-X (stageii) is
/// needed", non-finite numbers; Error(kConfig) for frames that the file does not have.
Motion motion_from(const ArraySource& arrays, MotionKind kind, const MotionOptions& options = {});

/// An .npz is AMASS's, with a warning when its name does not say `stageii`; a pickle is AMASS's only with that name.
Motion read_motion(const std::filesystem::path& path, const MotionOptions& options = {});

}  // namespace layeravatar::body
